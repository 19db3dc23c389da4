"""Whether removed features can be told from embeddings: by a closed form, planted, and what there is to ask about."""

import math

import numpy as np
import pytest
import torch

from expunge.audits import FeatureRecovery, Figure, References
from expunge.audits.feature_recovery import recovered, removed_items
from expunge.errors import BadSetting
from expunge.interactions import Removal

ITEMS, GONE = 30, torch.tensor([3, 7, 8])


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def made_of(shop, removal: Removal, **features: torch.Tensor):
    """Every item is chosen by one of three users, but for the last, which nobody chose."""
    return shop(3, ITEMS, [(item % 3, item) for item in range(ITEMS - 1)], [], removal, features)


def cosine(audit, subject) -> float:
    return audit(subject)["feature_cosine"].value


# ---- the regression -----------------------------------------------------------------------------------------------------


def test_it_is_ridge_regression_in_closed_form():
    embeddings, features = 3 * normal(12, 3) + 5, normal(12, 4, seed=1)
    fitted, removed = torch.arange(9), torch.arange(9, 12)
    known, true = embeddings[:9].double().numpy(), features[:9].double().numpy()
    middle, scale = known.mean(0), known.std(0)
    z, y = (known - middle) / scale, true - true.mean(0)
    weights = np.linalg.solve(z.T @ z + 2.0 * np.eye(3), z.T @ y)
    told = (embeddings[9:].double().numpy() - middle) / scale @ weights
    wanted = features[9:].double().numpy() - true.mean(0)
    expected = (told * wanted).sum(1) / np.linalg.norm(told, axis=1) / np.linalg.norm(wanted, axis=1)
    assert recovered(embeddings, features, fitted, removed, 2.0).tolist() == pytest.approx(expected.tolist(), abs=1e-5)


def test_a_feature_of_one_number_and_an_embedding_that_never_changes():
    embeddings = torch.tensor([[1.0, 4.0], [2.0, 4.0], [3.0, 4.0], [9.0, 4.0], [-9.0, 4.0]])
    features = torch.tensor([[10.0], [20.0], [30.0], [99.0], [99.0]])
    told = recovered(embeddings, features, torch.arange(3), torch.tensor([3, 4]), 1.0)
    assert told.tolist() == pytest.approx([1.0, -1.0]), "above and below the mean of 20, where both are above it"


# ---- the figure ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("removal", [Removal(features={"image": GONE}), Removal(items=GONE)], ids=["features", "items"])
def test_embeddings_that_are_made_of_features_give_them_away_and_others_do_not(shop, removal):
    features = normal(ITEMS, 4)
    made = made_of(shop, removal, image=features)
    assert removed_items(made.split.retain.interactions, "image").tolist() == GONE.tolist()
    mixed = features @ normal(4, 6, seed=1)
    cleaned = mixed.clone()
    cleaned[GONE] = mixed[GONE].roll(1, 0)
    subject, clean, blank = (made.embedding(each) for each in (mixed, cleaned, normal(ITEMS, 6, seed=2)))
    audit = FeatureRecovery(alpha=1e-3)
    assert cosine(audit, subject) == pytest.approx(1.0, abs=1e-3)
    assert cosine(audit, blank) < 0.6 and cosine(audit, clean) < 0.6
    found = audit(subject, References(retrained=(clean,)))
    assert found == {"feature_cosine": Figure(cosine(audit, subject), cosine(audit, clean))}


def test_an_original_is_asked_about_the_true_features_too(shop):
    features = normal(ITEMS, 4)
    made = made_of(shop, Removal(features={"image": GONE}), image=features)
    after, before = (cosine(FeatureRecovery(), made.embedding(features, before)) for before in (False, True))
    assert before == after > 0.9


def test_items_that_nobody_chose_and_those_without_features_teach_nothing(shop):
    features = normal(ITEMS, 4)
    features[0] = 0
    made = made_of(shop, Removal(features={"image": GONE}), image=features)
    embeddings = features.clone()
    usual = cosine(FeatureRecovery(), made.embedding(embeddings))
    embeddings[[0, ITEMS - 1]] = 1e3
    assert cosine(FeatureRecovery(), made.embedding(embeddings)) == usual
    embeddings[1] = 1e3
    assert cosine(FeatureRecovery(), made.embedding(embeddings)) != pytest.approx(usual, abs=0.01)


def test_an_item_that_never_had_features_is_not_asked_about(shop):
    features = normal(ITEMS, 4)
    features[3] = 0
    left = made_of(shop, Removal(features={"image": GONE}), image=features).split.retain.interactions
    assert removed_items(left, "image").tolist() == [7, 8]


def test_of_items_that_go_every_modality_is_asked_for_and_of_features_their_own(shop):
    image, text = normal(ITEMS, 4), normal(ITEMS, 5, seed=1)
    by_kind = {
        name: made_of(shop, removal, image=image, text=text)
        for name, removal in {"items": Removal(items=GONE), "image": Removal(features={"image": GONE})}.items()
    }
    audit = FeatureRecovery(alpha=1e-3)
    assert cosine(audit, by_kind["image"].embedding(image)) == pytest.approx(1.0, abs=1e-3)
    both = cosine(audit, by_kind["items"].embedding(torch.cat([image, text], 1)))
    half = cosine(audit, by_kind["items"].embedding(image))
    assert both == pytest.approx(1.0, abs=1e-3) and half < 0.8, "the texts cannot be told from pictures"


def test_where_no_features_went_or_nothing_embeds_there_is_no_figure(shop):
    features = normal(ITEMS, 4)
    for removal in (Removal(users=torch.tensor([1])), Removal(rows=torch.tensor([4]))):
        made = made_of(shop, removal, image=features)
        assert FeatureRecovery()(made.embedding(features)) == {}
    assert FeatureRecovery()(made_of(shop, Removal(items=GONE)).embedding(features)) == {}, "there are no features at all"
    foreign = made_of(shop, Removal(items=GONE), image=features)
    assert FeatureRecovery()(foreign.subject(torch.zeros(3, ITEMS))) == {}
    few = made_of(shop, Removal(features={"image": torch.arange(ITEMS - 2)}), image=features)
    assert FeatureRecovery()(few.embedding(features)) == {}, "one item is left to learn from"


def test_embeddings_that_are_no_numbers_give_no_number(shop):
    made = made_of(shop, Removal(items=GONE), image=normal(ITEMS, 4))
    embeddings = normal(ITEMS, 4)
    embeddings[3] = math.nan
    assert math.isnan(cosine(FeatureRecovery(), made.embedding(embeddings)))


def test_a_penalty_that_is_none_is_refused():
    with pytest.raises(BadSetting, match="alpha must be above 0, not 0"):
        FeatureRecovery(alpha=0)
