"""Sparse matrices: products and all their derivatives are those of the dense matrix."""

import numpy as np
import pytest
import scipy.sparse
import torch

from expunge.errors import BadSetting
from expunge.sparse import SparseMatrix


@pytest.fixture
def matrix():
    generator = np.random.default_rng(0)
    row, column = generator.integers(0, 7, 12), generator.integers(0, 5, 12)
    return SparseMatrix.from_entries(row, column, generator.normal(size=12), (7, 5))


def dense(rows: int, columns: int, seed: int = 0, **options: bool) -> torch.Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed)).requires_grad_(**options)


def test_entries_at_the_same_place_are_added():
    matrix = SparseMatrix.from_entries([1, 0, 1], [2, 0, 2], [1.5, 4, 2], (2, 3))
    assert matrix.dense().tolist() == [[4, 0, 0], [0, 0, 3.5]]
    assert matrix.entries == 2 and matrix.shape == (2, 3) and len(matrix) == 2
    assert repr(matrix) == "SparseMatrix(2 x 3, 2 entries)"


def test_products_are_those_of_the_dense_matrix(matrix):
    wide = dense(5, 3)
    assert torch.allclose(matrix @ wide, matrix.dense() @ wide, atol=1e-6)
    tall = dense(7, 3)
    assert torch.allclose(matrix.T @ tall, matrix.dense().T @ tall, atol=1e-6)
    assert matrix.T.shape == (5, 7) and torch.equal(matrix.T.T.dense(), matrix.dense())


def test_a_transposed_view_is_multiplied_as_it_is(matrix):
    wide = dense(3, 5)
    assert torch.allclose(matrix @ wide.T, matrix.dense() @ wide.T, atol=1e-6)


def test_products_have_the_gradient_of_the_dense_matrix(matrix):
    ours, theirs = dense(5, 3, requires_grad=True), dense(5, 3, requires_grad=True)
    weights = dense(7, 3, seed=1)
    ((matrix @ ours) * weights).sum().backward()
    ((matrix.dense() @ theirs) * weights).sum().backward()
    assert torch.allclose(ours.grad, theirs.grad, atol=1e-6)


def test_products_have_second_derivatives(matrix):
    point, direction = dense(5, 2, requires_grad=True), dense(5, 2, seed=1)

    def loss(values, product):
        return (product(values).tanh() ** 2).sum() + (product(values) ** 3).sum()

    found = []
    for product in (lambda values: matrix @ values, lambda values: matrix.dense() @ values):
        (first,) = torch.autograd.grad(loss(point, product), point, create_graph=True)
        (second,) = torch.autograd.grad((first * direction).sum(), point)
        found.append(second)
    assert torch.allclose(*found, atol=1e-4) and found[0].abs().sum() > 1


def test_functional_gradients_go_through(matrix):
    found = torch.func.grad(lambda values: (matrix @ values).square().sum())(dense(5, 2))
    assert torch.allclose(found, 2 * matrix.dense().T @ matrix.dense() @ dense(5, 2), atol=1e-5)


def test_double_precision_is_brought_to_single(matrix):
    assert (matrix @ dense(5, 2).double()).dtype == torch.float32


def test_rows_are_taken_in_the_order_that_is_asked_for(matrix):
    rows = torch.tensor([4, 0, 4])
    taken = matrix[rows]
    assert torch.equal(taken.dense(), matrix.dense()[rows])
    assert torch.allclose(taken.T @ torch.ones(3, 1), matrix.dense()[rows].T @ torch.ones(3, 1), atol=1e-6)


def test_it_goes_over_to_scipy_and_back(matrix):
    assert scipy.sparse.issparse(matrix.scipy)
    assert np.array_equal(matrix.scipy.toarray(), matrix.dense().numpy())
    assert torch.equal(SparseMatrix.from_scipy(matrix.scipy).dense(), matrix.dense())


def test_a_matrix_without_entries():
    matrix = SparseMatrix.from_entries([], [], [], (3, 2))
    assert matrix.entries == 0 and (matrix @ torch.ones(2, 4)).tolist() == [[0.0] * 4] * 3
    assert (matrix.T @ torch.ones(3, 1)).shape == (2, 1)


@pytest.mark.parametrize(("row", "column", "where"), [([0, 2], [0, 0], "row 2"), ([0], [3], "column 3"), ([-1], [0], "row")])
def test_entries_outside_are_refused(row, column, where):
    with pytest.raises(BadSetting, match=rf"shape \(2, 3\) lies in {where}"):
        SparseMatrix.from_entries(row, column, [1.0] * len(row), (2, 3))


def test_it_moves(matrix):
    moved = matrix.to("meta")
    assert moved.rows.device.type == moved.columns.device.type == "meta" and moved.shape == (7, 5)


def test_under_mixed_precision_products_stay_whole():
    matrix = SparseMatrix.from_entries([0, 1, 1], [0, 0, 2], [1.0, 2.0, 3.0], (2, 3))
    dense = torch.randn(3, 2, dtype=torch.bfloat16, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = matrix @ dense
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, matrix.dense() @ dense.float())
    found.sum().backward()
    assert dense.grad.dtype == torch.bfloat16
    torch.testing.assert_close(dense.grad.float(), (matrix.dense().T @ torch.ones(2, 2)))
