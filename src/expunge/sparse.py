"""A sparse matrix that does not change, times a dense one that is learned: propagation over a graph, and sparse features.

    Y = M X,        dL/dX = M^T dL/dY

Both products run over compressed rows, M's and those of its transpose, which are laid out once. PyTorch's own backward of a
sparse product sorts the matrix anew each time, or gives a gradient to M that nobody asked for.
"""

import warnings
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse
import torch
from torch import Tensor

from expunge.errors import BadSetting


class SparseMatrix:
    """A constant sparse matrix of float32; `matrix @ dense` is differentiable in `dense`, as often as one likes.

    Args:
        rows: the matrix, shape (n, m), as a `torch.sparse_csr` tensor.
        columns: its transpose in the same form.

    >>> matrix = SparseMatrix.from_entries([0, 0, 1], [0, 2, 1], [1.0, 2.0, 3.0], (2, 3))
    >>> (matrix @ torch.ones(3, 1)).flatten().tolist(), (matrix.T @ torch.ones(2, 1)).flatten().tolist()
    ([3.0, 3.0], [1.0, 3.0, 2.0])
    """

    def __init__(self, rows: Tensor, columns: Tensor) -> None:
        self.rows, self.columns = rows, columns

    @classmethod
    def from_entries(cls, row: Any, column: Any, value: Any, shape: tuple[int, int]) -> "SparseMatrix":
        """From coordinates; entries at the same place are added.

        Raises:
            BadSetting: if an entry lies outside of `shape`.
        """
        parts = [np.asarray(part) for part in (row, column)]
        for part, size, what in zip(parts, shape, ("row", "column"), strict=True):
            if len(part) and not (part.min() >= 0 and part.max() < size):
                place = int(part.min() if part.min() < 0 else part.max())
                raise BadSetting(f"an entry of a sparse matrix of shape {shape} lies in {what} {place}")
        matrix = scipy.sparse.coo_matrix((np.asarray(value, dtype=np.float32), tuple(parts)), shape=shape)
        return cls.from_scipy(matrix.tocsr())

    @classmethod
    def from_scipy(cls, matrix: "scipy.sparse.csr_matrix") -> "SparseMatrix":
        """From a scipy matrix."""
        return cls(_compressed(matrix), _compressed(matrix.T))

    @property
    def T(self) -> "SparseMatrix":
        """The transpose."""
        return SparseMatrix(self.columns, self.rows)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.rows.shape[0], self.rows.shape[1]

    @property
    def entries(self) -> int:
        """How many places hold a value."""
        return self.rows.values().numel()

    def __len__(self) -> int:
        return self.rows.shape[0]

    def __matmul__(self, dense: Tensor) -> Tensor:
        return _Product.apply(dense, self)

    def __getitem__(self, rows: Tensor) -> "SparseMatrix":
        """Some of the rows, in this order."""
        return SparseMatrix.from_scipy(self.scipy[rows.cpu().numpy()]).to(self.rows.device)

    @cached_property
    def scipy(self) -> "scipy.sparse.csr_matrix":
        """The same in scipy, on the CPU."""
        parts = (self.rows.values(), self.rows.col_indices(), self.rows.crow_indices())
        return scipy.sparse.csr_matrix(tuple(part.cpu().numpy() for part in parts), shape=self.shape)

    def dense(self) -> Tensor:
        """All entries, shape (n, m)."""
        return self.rows.to_dense()

    def to(self, device: Any, **options: Any) -> "SparseMatrix":
        """The same on another device."""
        return SparseMatrix(self.rows.to(device, **options), self.columns.to(device, **options))

    def __deepcopy__(self, memo: dict[int, Any]) -> "SparseMatrix":
        return self  # it does not change

    def __repr__(self) -> str:
        return f"SparseMatrix({self.shape[0]:,} x {self.shape[1]:,}, {self.entries:,} entries)"


class _Product(torch.autograd.Function):
    """M X with the backward M^T G, which is such a product again."""

    @staticmethod
    def forward(dense: Tensor, matrix: SparseMatrix) -> Tensor:
        with torch.autocast(dense.device.type, enabled=False):  # sparse products know no half precision
            return matrix.rows @ dense.to(matrix.rows.dtype).contiguous()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, SparseMatrix], output: Tensor) -> None:
        ctx.matrix, ctx.kind = inputs[1], inputs[0].dtype

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _Product.apply(gradient, ctx.matrix.T).to(ctx.kind), None


def _compressed(matrix: Any) -> Tensor:
    matrix = matrix.tocsr()
    matrix.sum_duplicates()
    matrix.sort_indices()
    narrow = max(matrix.nnz, *matrix.shape) < 2**31  # 32-bit places are read faster
    kind = np.int32 if narrow else np.int64
    starts, places = (torch.as_tensor(part.astype(kind)) for part in (matrix.indptr, matrix.indices))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        values = torch.as_tensor(matrix.data.astype(np.float32))
        return torch.sparse_csr_tensor(starts, places, values, matrix.shape, check_invariants=True)
