"""The serving index: what it holds, by hand; what is not in it; and that the check finds what must not be."""

import sys
from dataclasses import replace

import pyarrow
import pyarrow.parquet
import pytest
import torch
from torch import Tensor, nn

import tiny_interactions
from expunge.errors import BadFile, BadSetting, ExpungeError, MissingExtra
from expunge.interactions import Interactions
from expunge.studies.serving import check_index, export_index
from expunge.tasks import RecommendationTask

USERS, ITEMS = ("ann", "bob", "cy", "dee"), ("ant", "bee", "cat", "dog", "eel")
#   ann chose ant and bee, bob bee, dee cat; cy chose dog, and nothing else
WHOLE = Interactions.of(4, 5, [(0, 0), (0, 1), (1, 1), (2, 3), (3, 2)])


class Scored(nn.Module):
    """Scores pairs from a table."""

    def __init__(self, table: Tensor) -> None:
        super().__init__()
        self.table = nn.Parameter(table)

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        return self.table[users, items]


TABLE = torch.tensor(
    [[9.0, 9.0, 1.0, 3.0, 2.0], [0.5, 9.0, 0.0, 4.0, 1.0], [5.0, 4.0, 3.0, 2.0, 1.0], [1.0, 2.0, 9.0, 3.0, 4.0]]
)
TASK = RecommendationTask(lambda: Scored(torch.zeros(4, 5)))
NAMES = {"users": USERS, "items": ITEMS}


def export(path, interactions: Interactions, table: Tensor = TABLE, **settings) -> list[tuple]:
    export_index(path, TASK, Scored(table.clone()), interactions, **settings)
    columns = pyarrow.parquet.read_table(path).to_pydict()
    assert list(columns) == ["user", "rank", "item", "score"]
    return list(zip(*columns.values(), strict=True))


def write(path, **columns) -> None:
    usual = {"user": ["ann"], "rank": [1], "item": ["cat"], "score": [0.5]}
    pyarrow.parquet.write_table(pyarrow.table(usual | columns), path)


# ---- what it holds ------------------------------------------------------------------------------------------------------


def test_an_index_by_hand(tmp_path):
    """User cy has lost the only pair, and gets what was chosen most; item dog is gone, and so is user dee."""
    left = WHOLE.without_users(torch.tensor([3])).without_items(torch.tensor([3]))
    assert export(tmp_path / "index.parquet", left, k=2, **NAMES) == [
        ("ann", 1, "eel", 2.0),
        ("ann", 2, "cat", 1.0),
        ("bob", 1, "eel", 1.0),
        ("bob", 2, "ant", 0.5),
        ("cy", 1, "bee", None),
        ("cy", 2, "ant", None),
    ]
    assert check_index(tmp_path / "index.parquet", left, **NAMES) == {
        "lists": 3,
        "entries": 6,
        "unserved": 0,
        "gone_users": 0,
        "gone_items": 0,
    }


def test_names_are_numbers_where_none_are_given_and_lists_may_be_short(tmp_path):
    rows = export(tmp_path / "index.parquet", WHOLE)
    assert [row[:3] for row in rows if row[0] == 0] == [(0, 1, 3), (0, 2, 4), (0, 3, 2)]
    assert len(rows) == 3 + 4 + 4 + 4
    assert check_index(tmp_path / "index.parquet", WHOLE)["entries"] == 15


def test_what_nobody_chose_is_not_popular(tmp_path):
    left = WHOLE.without(torch.tensor([3]))
    assert [row[2] for row in export(tmp_path / "i.parquet", left, k=5, **NAMES) if row[0] == "cy"] == ["bee", "ant", "cat"]


def test_who_chose_everything_has_no_list(tmp_path):
    full = Interactions.of(2, 2, [(0, 0), (0, 1), (1, 0)])
    export_index(tmp_path / "i.parquet", TASK, Scored(torch.zeros(2, 2)), full)
    assert check_index(tmp_path / "i.parquet", full) == {
        "lists": 1,
        "entries": 1,
        "unserved": 1,
        "gone_users": 0,
        "gone_items": 0,
    }


@pytest.mark.parametrize("kind", ["users", "items", "pairs"])
def test_lists_of_a_network_are_its_own(tmp_path, kind):
    task, model = tiny_interactions.task("light-gcn"), tiny_interactions.trained("light-gcn")
    left = tiny_interactions.parts().without(tiny_interactions.removal(kind)).retain.interactions
    export_index(tmp_path / "index.parquet", task, model, left, k=7)
    columns = pyarrow.parquet.read_table(tmp_path / "index.parquet").to_pydict()
    lists = task.lists(model, left, k=7)
    served = left.served.nonzero().flatten()
    assert columns["item"] == lists[served].flatten().tolist()
    assert columns["user"] == served.repeat_interleave(7).tolist() and columns["rank"][:8] == [1, 2, 3, 4, 5, 6, 7, 1]
    assert all(first >= second for first, second in zip(columns["score"][:6], columns["score"][1:7], strict=True))
    counts = check_index(tmp_path / "index.parquet", left)
    assert (counts["lists"], counts["unserved"]) == (len(served), 0)


# ---- what the check finds -----------------------------------------------------------------------------------------------


def test_an_index_from_before_the_request_is_found_out(tmp_path):
    path = tmp_path / "index.parquet"
    export(path, WHOLE, **NAMES)
    without_user, without_items = WHOLE.without_users(torch.tensor([1])), WHOLE.without_items(torch.tensor([0, 1, 2, 3]))
    with pytest.raises(BadFile, match="still serves 1 user that had to go, in 4 entries: bob; export it again"):
        check_index(path, without_user, **NAMES)
    with pytest.raises(ExpungeError, match="still serves 4 items that had to go, in 11 entries: ant, bee, cat and 1 more; exp"):
        check_index(path, without_items, **NAMES)
    export(path, without_user, **NAMES)
    assert check_index(path, without_user, **NAMES)["lists"] == 3


def test_names_that_nobody_knows_are_found(tmp_path):
    write(tmp_path / "i.parquet", user=["eve"])
    with pytest.raises(BadFile, match="names 1 user that nobody knows: eve"):
        check_index(tmp_path / "i.parquet", WHOLE, **NAMES)
    write(tmp_path / "i.parquet", item=pyarrow.array([None], pyarrow.string()))
    with pytest.raises(BadFile, match="names 1 item that nobody knows: None"):
        check_index(tmp_path / "i.parquet", WHOLE, **NAMES)
    write(tmp_path / "i.parquet")
    with pytest.raises(BadFile, match="names 1 user that nobody knows: ann"):
        check_index(tmp_path / "i.parquet", WHOLE)


def test_who_is_served_but_has_no_list_is_counted(tmp_path):
    write(tmp_path / "i.parquet")
    assert check_index(tmp_path / "i.parquet", WHOLE.without_users(torch.tensor([3])), **NAMES)["unserved"] == 2


def test_files_that_are_no_index_are_refused(tmp_path):
    with pytest.raises(BadFile, match=r"index not found: .*none\.parquet"):
        check_index(tmp_path / "none.parquet", WHOLE)
    export(tmp_path / "whole.parquet", WHOLE)
    (tmp_path / "cut.parquet").write_bytes((tmp_path / "whole.parquet").read_bytes()[:-20])
    with pytest.raises(BadFile, match="is no whole Parquet file"):
        check_index(tmp_path / "cut.parquet", WHOLE)
    pyarrow.parquet.write_table(pyarrow.table({"user": [0], "item": [1]}), tmp_path / "other.parquet")
    with pytest.raises(BadFile, match="is no index: it needs the columns user, rank, item, score, and has user, item"):
        check_index(tmp_path / "other.parquet", WHOLE)


# ---- what is refused, and leaves the old file ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"users": USERS[:3]}, "3 names were given for 4 users"),
        ({"items": ("ant",) * 5}, "two items have one name"),
        ({"k": 0}, "k must be at least 1"),
        ({"table": torch.full((4, 5), torch.nan)}, "the model's scores are not numbers; nothing was written"),
    ],
    ids=lambda each: next(iter(each)) if isinstance(each, dict) else "",
)
def test_what_cannot_be_exported_leaves_the_old_index(tmp_path, settings, message):
    path = tmp_path / "index.parquet"
    export(path, WHOLE, **NAMES)
    before = path.read_bytes()
    with pytest.raises(BadSetting, match=message):
        export(path, WHOLE, **settings)
    assert path.read_bytes() == before and [each.name for each in tmp_path.iterdir()] == ["index.parquet"]


def test_an_index_is_replaced_as_a_whole(tmp_path):
    path = tmp_path / "lists" / "index.parquet"
    first = export(path, WHOLE, **NAMES)
    second = export(path, replace(WHOLE, gone_users=torch.tensor([0])), **NAMES)
    assert len(first) > len(second) and [each.name for each in path.parent.iterdir()] == ["index.parquet"]


def test_without_pyarrow_it_is_said_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for call in (lambda: check_index(tmp_path, WHOLE), lambda: export_index(tmp_path, TASK, Scored(TABLE), WHOLE)):
        with pytest.raises(MissingExtra, match=r"a serving index needs pyarrow: pip install 'expunge\[recommend\]'"):
            call()
