"""What all graphs have alike: features scaled and kept sparse where they are, and graphs of torch_geometric taken over."""

import numpy as np
import pytest
import scipy.sparse
import torch

from expunge.data.graph_files import from_pyg
from expunge.data.graph_source import scaled
from expunge.errors import BadSetting
from expunge.sparse import SparseMatrix

EDGES = [[0, 1], [0, 3], [1, 2]]


# ---- features ---------------------------------------------------------------------------------------------------------------


def test_features_that_are_never_negative_are_divided_by_their_sum():
    features = np.array([[1.0, 3, 0], [0, 0, 0], [0, 2, 0]])
    assert scaled(features, True).tolist() == [[0.25, 0.75, 0], [0, 0, 0], [0, 1, 0]]
    assert scaled(features, False).tolist() == features.tolist()


def test_features_that_may_be_negative_are_standardised_by_column():
    features = np.array([[-1.0, 5, 0.1, 7], [3, 5, 0.1, 9], [4, 5, 0.1, 8]])
    found = scaled(features, True)
    assert torch.allclose(found.mean(0), torch.zeros(4), atol=1e-6)
    assert torch.allclose(found.std(0, unbiased=False), torch.tensor([1.0, 0, 0, 1]), atol=1e-6)
    assert found[:, 1:3].abs().max() == 0 and found.dtype == torch.float32


def test_features_that_are_mostly_zeros_are_kept_sparse():
    few, many = np.zeros((4, 11)), np.zeros((4, 10))
    few[0, 3], few[1, :3] = 5, 2
    many[0, 3], many[1, :3] = 5, 2
    found = scaled(few, True)
    assert isinstance(found, SparseMatrix) and found.entries == 4
    assert isinstance(scaled(many, True), torch.Tensor)  # just one in ten
    assert torch.allclose(found.dense().sum(1), torch.tensor([1.0, 1, 0, 0]))
    kept = scipy.sparse.csr_matrix((np.array([5.0, 0]), ([0, 1], [3, 1])), shape=(4, 11))
    assert scaled(kept, True).entries == 1 and kept.nnz == 2 and kept[0, 3] == 5  # what is given stays as it is


# ---- torch_geometric --------------------------------------------------------------------------------------------------------


def data(**parts):
    from torch_geometric.data import Data

    both_ways = torch.tensor([[0, 1, 1, 2, 0, 3], [1, 0, 2, 1, 3, 0]])
    return Data(**{"x": torch.eye(4) + 1, "edge_index": both_ways, "y": torch.tensor([0, 1, 0, 2]), **parts})


def test_data_of_torch_geometric_is_taken():
    masks = {"train_mask": torch.tensor([True, False, True, False]), "test_mask": torch.tensor([False, True, False, False])}
    source = from_pyg(data(**masks), "mine", normalise=False)
    assert source.name == "mine" and source.graph.edges.tolist() == EDGES and source.note == ""
    assert torch.equal(source.graph.x, torch.eye(4) + 1) and source.graph.labels.tolist() == [0, 1, 0, 2]
    assert source.classes == ("0", "1", "2") and source.train_nodes.tolist() == [0, 2] and source.test_nodes.tolist() == [1]
    several = {name: torch.stack([mask, ~mask], 1) for name, mask in masks.items()}
    assert from_pyg(data(**several)).train_nodes.tolist() == [0, 2]
    assert from_pyg(data(train_mask=masks["train_mask"])).train_nodes is None
    assert torch.allclose(from_pyg(data()).graph.x.sum(1), torch.ones(4))
    turned = from_pyg(data(edge_index=torch.tensor([[3, 1, 2], [0, 0, 1]])))
    assert turned.graph.digest == from_pyg(data()).graph.digest and turned.note == ""


def test_sparse_features_of_torch_geometric_stay_sparse():
    x = torch.zeros(4, 30)
    x[[0, 2, 2], [4, 7, 1]] = 2
    for form in (x, x.to_sparse_coo(), x.to_sparse_csr()):
        source = from_pyg(data(x=form), normalise=False)
        assert isinstance(source.graph.features, SparseMatrix) and torch.equal(source.graph.x, x)


def test_kinds_of_edges_make_a_knowledge_graph():
    source = from_pyg(data(x=None, y=None, num_nodes=5, edge_type=torch.tensor([0, 2, 2, 0, 0, 0])))
    assert source.graph.nodes == 5 and source.graph.relations == 3 and source.relations == ("0", "1", "2")
    assert source.graph.edges.tolist() == [[0, 1, 0], [0, 3, 0], [1, 0, 2], [1, 2, 2], [2, 1, 0], [3, 0, 0]]


def test_targets_that_are_no_classes_are_left_out_and_named():
    for y in (torch.randn(4), torch.ones(4, 2, dtype=torch.long), torch.tensor([-2, 0, 1, 1])):
        source = from_pyg(data(y=y))
        assert source.graph.labels is None and source.classes == () and "not one class number for each node" in source.note
    assert from_pyg(data(y=torch.tensor([[0], [1], [1], [0]]))).graph.labels.tolist() == [0, 1, 1, 0]


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"edge_index": None}, "a Data has no tensor edge_index"),
        (
            {"edge_index": torch.zeros(3, 2, dtype=torch.long)},
            r"edge_index is torch.int64 of shape \(3, 2\); .* shape \(2, m\)",
        ),
        ({"edge_index": torch.zeros(2, 3)}, "edge_index is torch.float32"),
        ({"edge_index": torch.tensor([[0], [4]])}, "an edge names node 4, but there are 4"),
        ({"x": torch.tensor([[0.0], [1], [np.nan], [1]])}, "feature 0 of node 2 is not finite"),
        ({"x": torch.zeros(4)}, r"x is of shape \(4,\); expected real numbers of shape \(4, features\)"),
        ({"edge_type": torch.tensor([0, 1])}, r"edge_type is torch.int64 of shape \(2,\); .* shape \(6,\)"),
        ({"edge_type": torch.tensor([0, 1, 0, -1, 0, 0])}, "an edge names relation -1"),
        ({"train_mask": torch.tensor([0, 2])}, r"train_mask is torch.int64 of shape \(2,\); expected bool of shape \(4,\)"),
    ],
)
def test_data_that_is_no_graph_is_refused(parts, message):
    with pytest.raises(BadSetting, match=message):
        from_pyg(data(**parts))
