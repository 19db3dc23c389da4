"""How a job spells out what must go of a recommender."""

import pytest
import torch

from expunge.data import load_interactions
from expunge.errors import BadSetting
from expunge.requests import ForgetFeatures, ForgetItems, ForgetPairs, ForgetUsers
from expunge.studies.recommendation_job import interaction_parts, interaction_request_from, interaction_task


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({"users": 0.05, "seed": 3}, ForgetUsers(fraction=0.05, seed=3)),
        ({"users": ["ada", 2]}, ForgetUsers(("ada", 2))),
        ({"items": ["film"]}, ForgetItems(("film",))),
        ({"pairs": [["ada", "film"]]}, ForgetPairs((("ada", "film"),))),
        ({"pairs": 10}, ForgetPairs(fraction=10.0)),
        ({"features": "image", "of": ["film"]}, ForgetFeatures("image", ("film",))),
        ({"features": "image", "of": 0.1}, ForgetFeatures("image", fraction=0.1)),
        ({"class": 3}, None),
        ({"edges": 0.05}, None),
    ],
)
def test_a_mapping_spells_out_a_request(fields, wanted):
    assert interaction_request_from(fields) == wanted


def test_ids_are_read_from_files(tmp_path):
    (tmp_path / "leavers.txt").write_text("ada\nbo\n")
    (tmp_path / "films.csv").write_text("item_id,why\nf1,licence\nf2,licence\n")
    (tmp_path / "withdrawn.csv").write_text("when,item,user\n1,f1,ada\n")
    assert interaction_request_from({"users_in": str(tmp_path / "leavers.txt")}) == ForgetUsers(("ada", "bo"))
    assert interaction_request_from({"items_in": str(tmp_path / "films.csv")}) == ForgetItems(("f1", "f2"))
    assert interaction_request_from({"pairs_in": str(tmp_path / "withdrawn.csv")}) == ForgetPairs((("ada", "f1"),))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"users": 0.05, "items": 0.05}, "has no field 'items'"),
        ({"users": ["ada"], "seed": 1}, "leave out the seed"),
        ({"users": True}, "not True"),
        ({"pairs": ["ada"]}, r"\[\[ada, film\]"),
        ({"features": "image"}, "say of which items"),
        ({"users_in": 3}, "names a file"),
    ],
)
def test_what_makes_no_request_says_what_would(fields, message):
    with pytest.raises(BadSetting, match=message):
        interaction_request_from(fields)


def test_the_embedded_set_goes_from_a_mapping_to_a_split():
    source = load_interactions("tastes")
    task = interaction_task(source, "mgcn", {"dim": 8})
    request = interaction_request_from({"users": 0.05})
    assert request is not None
    training, split, total = interaction_parts(source, request, 0, 512)
    assert training.examples == total == split.forget.examples + split.retain.examples
    assert not torch.isin(split.retain.pairs[:, 0], split.forget.pairs[:, 0]).any()
    assert torch.isfinite(task.outputs(task.new_model(), next(iter(split.holdout)))).all()
