"""Recommenders: what they read, against a second way to work it out."""

import copy

import pytest
import torch
import torch.nn.functional as F

import tiny_interactions as tiny
from expunge.engine import Engine
from expunge.errors import BadSetting
from expunge.interactions import Interactions, PairBatch
from expunge.models.recommenders import RECOMMENDERS, build_recommender


def dense_operator(clicks: Interactions) -> torch.Tensor:
    adjacent = torch.zeros(clicks.users + clicks.items, clicks.users + clicks.items, dtype=torch.double)
    adjacent[clicks.pairs[:, 0], clicks.users + clicks.pairs[:, 1]] = 1
    adjacent = adjacent + adjacent.T
    scale = adjacent.sum(1).rsqrt().nan_to_num(posinf=0)
    return scale[:, None] * adjacent * scale


def test_light_gcn_averages_over_the_dense_graph():
    clicks = tiny.parts().train
    model = build_recommender("light-gcn", clicks, dim=8, layers=2)().double()
    rows = torch.cat([model.user_rows, model.item_rows])
    once = dense_operator(clicks) @ rows
    wanted = (rows + once + dense_operator(clicks) @ once) / 3
    found = torch.cat(model.embeddings(clicks))
    assert torch.allclose(found.double(), wanted, atol=1e-5)


def test_mgcn_is_the_published_formula_on_dense_matrices():
    clicks = tiny.parts().train
    model = copy.deepcopy(tiny.trained("mgcn")).eval()
    rows = torch.cat([model.user_rows, model.item_rows])
    operator = dense_operator(clicks).float()
    content = (rows + operator @ rows + operator @ operator @ rows) / 3
    views = []
    for name in ("image", "text"):
        features = clicks.features[name] + model.modal[name]
        pure = model.item_rows * model.purifier[name](model.projection[name](features))
        cosine = F.normalize(clicks.features[name]) @ F.normalize(clicks.features[name]).T
        kept = torch.zeros_like(cosine).scatter(1, cosine.topk(10).indices, cosine.topk(10).values.clamp_min(0))
        degree = kept.sum(1)
        spread = (kept / (degree[:, None] * degree).sqrt()) @ pure
        views.append(torch.cat([operator[: clicks.users, clicks.users :] @ spread, spread]))
    attention = torch.stack([model.query(view) for view in views]).softmax(0)
    common = (attention * torch.stack(views)).sum(0)
    gates = [model.preference[name](content) for name in ("image", "text")]
    side = (sum(gate * (view - common) for gate, view in zip(gates, views, strict=True)) + common) / 3
    assert torch.allclose(torch.cat(model.embeddings(clicks)), content + side, atol=1e-5)


@pytest.mark.parametrize("name", RECOMMENDERS)
def test_a_score_is_the_product_of_embeddings(name):
    clicks, model = tiny.parts().train, copy.deepcopy(tiny.trained(name)).eval()
    users, items = model.embeddings(clicks)
    batch = next(iter(tiny.stream(clicks.pairs[:50])))
    found = model(batch)
    assert torch.allclose(found[:, 0], (users[batch.users] * items[batch.items]).sum(1), atol=1e-5)
    assert torch.allclose(found[:, 3], (users[batch.users] * items[batch.negatives[:, 2]]).sum(1), atol=1e-5)
    assert not found[:, -1].any(), "in evaluation mode nothing is added to the loss"


@pytest.mark.parametrize("name", RECOMMENDERS)
def test_it_ranks_unseen_pairs_above_chance(name):
    assert tiny.task(name).evaluate(tiny.trained(name), tiny.parts().without(tiny.removal("users")).holdout)["pair_auc"] > 0.7


def test_contrast_over_all_rows_is_the_published_loss():
    clicks = tiny.parts().train
    model = build_recommender("mgcn", clicks, dim=8, contrast=None, contrast_weight=0.5, regularisation=0.0)().train()
    batch = next(tiny.stream(clicks.pairs[:32]).epoch(torch.Generator().manual_seed(0)))
    state = model.propagate(clicks)
    wanted = 0.0
    for part, numbers in ((batch.users, batch.users), (batch.items, batch.items + clicks.users)):
        content, side = model._fused(state.content[numbers], [view[numbers] for view in state.views])
        logits = F.normalize(side) @ F.normalize(content).T / 0.2
        wanted += F.cross_entropy(logits, torch.arange(len(part)))
    assert torch.allclose(model(batch)[:, -1].mean(), 0.5 * wanted, atol=1e-5)


def test_removed_features_are_read_from_nowhere():
    clicks = tiny.parts().train
    model = build_recommender("mgcn", clicks, dim=8)().eval()
    items = torch.tensor([3])
    changed = Interactions.of(clicks.users, clicks.items, clicks.pairs, {**clicks.features})
    changed.features["image"][3] += 5  # another picture
    first, second = (each.without_features("image", items) for each in (clicks, changed))
    assert torch.equal(model.embeddings(first)[1], model.embeddings(second)[1])
    read = [model.modal.read(each, "image") for each in (clicks, first)]
    assert read[0][3].any() and not read[1][3].any() and torch.equal(read[0][4:], read[1][4:])


def test_freedom_thins_the_graph_anew_in_each_pass_and_resumes():
    clicks = tiny.parts().train
    model = Engine(0).new_model(build_recommender("freedom", clicks, dim=8, thinned=0.5)).train()
    before = model._thin(clicks)
    assert before.entries == 2 * int(0.5 * len(clicks))
    again = Engine(1).new_model(build_recommender("freedom", clicks, dim=8, thinned=0.5))
    again.load_state_dict(model.state_dict())
    assert torch.equal(again._thin(clicks).dense(), before.dense())
    model.seen += len(clicks)
    assert not torch.equal(model._thin(clicks).dense(), before.dense())


def test_what_cannot_be_built_says_why():
    clicks = tiny.parts().train
    with pytest.raises(BadSetting, match="there is no recommender 'svd'"):
        build_recommender("svd", clicks)
    with pytest.raises(BadSetting, match="light-gcn or bpr-mf"):
        build_recommender("mgcn", Interactions.of(2, 2, [[0, 0]]))
    with pytest.raises(BadSetting, match="cannot be built"):
        build_recommender("bpr-mf", clicks, depth=3)


def test_a_users_own_network_is_asked_pair_by_pair():
    clicks = tiny.parts().train

    class Popular(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.arange(clicks.items).float())

        def forward(self, users: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
            return self.weight[items]

    task, model = tiny.RecommendationTask(Popular), Popular()
    batch = PairBatch(torch.tensor([0, 1]), torch.tensor([5, 6]), torch.tensor([[4, 9], [7, 8]]), clicks)
    assert task.outputs(model, batch).tolist() == [[5, 4, 9, 0], [6, 7, 8, 0]]
    assert task.scores(task.outputs(model, batch), batch).tolist() == [0.5, 0.0]
    assert task.lists(model, clicks, torch.tensor([0]), k=2).max() == clicks.items - 1
