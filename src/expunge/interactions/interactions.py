"""Interactions: which users chose which items, and what is known of the items."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse
import torch
from torch import Tensor

from expunge.errors import BadSetting
from expunge.interactions.item_graph import item_graph
from expunge.sparse import SparseMatrix

_ALIKE = "items alike"  # under which graphs of items are kept


@dataclass(frozen=True, eq=False)
class Interactions:
    """Implicit feedback. It never changes: what is deleted makes a new one, which remembers the whole.

    Users and items keep their numbers when some of them go, so that a model's weights keep their shapes.

    Args:
        users: how many users there are, U.
        items: how many items there are, I.
        pairs: who chose what, int64, shape (n, 2), each once, sorted by user and item. :meth:`of` brings pairs into this form.
        features: for each modality, by name, the features of all items, float32, shape (I, d_m). A row of zeros is an item of
            which nothing is known in this modality.
        gone_users: users that are not served any more, sorted, shape (g,).
        gone_items: items that are not offered any more, sorted, shape (g,).
        gone_features: for each modality, the items whose features were taken away, sorted.
        before: what this was cut from.

    >>> clicks = Interactions.of(2, 3, [[1, 0], [0, 2], [0, 2]])
    >>> clicks.pairs.tolist(), clicks.without_items(torch.tensor([2])).pairs.tolist()
    ([[0, 2], [1, 0]], [[1, 0]])
    """

    users: int
    items: int
    pairs: Tensor
    features: Mapping[str, Tensor] = field(default_factory=dict)
    gone_users: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.long))
    gone_items: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.long))
    gone_features: Mapping[str, Tensor] = field(default_factory=dict)
    before: "Interactions | None" = None

    def __post_init__(self) -> None:
        if self.pairs.dim() != 2 or self.pairs.shape[1] != 2:
            raise BadSetting(f"pairs of shape {tuple(self.pairs.shape)} do not do; expected (pairs, 2): user, item")
        for name, values in self.features.items():
            if values.dim() != 2 or len(values) != self.items:
                shape = tuple(values.shape)
                raise BadSetting(f"features '{name}' have shape {shape}; expected one row for each of {self.items:,} items")

    @classmethod
    def of(cls, users: int, items: int, pairs: Any, features: Mapping[str, Any] | None = None) -> "Interactions":
        """Interactions from pairs in any order; repetitions are left out. Features that are not finite count as unknown, 0.

        Raises:
            BadSetting: if a pair names a user or an item that there is not, or features do not fit the items.
        """
        found = torch.as_tensor(pairs.cpu() if isinstance(pairs, Tensor) else np.asarray(pairs)).reshape(-1, 2)
        if len(found) and (found.is_floating_point() or found.dtype == torch.bool):
            raise BadSetting(f"pairs are given by whole numbers, not by {str(found.dtype).removeprefix('torch.')}")
        found = torch.unique(found.long(), dim=0)
        for column, size, what in ((0, users, "user"), (1, items, "item")):
            values = found[:, column]
            if len(values) and not (int(values.min()) >= 0 and int(values.max()) < size):
                wrong = int(values.min()) if int(values.min()) < 0 else int(values.max())
                raise BadSetting(f"a pair names {what} {wrong:,}, but there are {size:,} ({what}s 0..{size - 1:,})")
        known = {name: torch.nan_to_num(torch.as_tensor(x).float(), 0.0, 0.0, 0.0) for name, x in (features or {}).items()}
        return cls(users, items, found, known)

    # ---- what is in it --------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self.pairs)

    @property
    def whole(self) -> "Interactions":
        """All before anything was deleted."""
        return self if self.before is None else self.before.whole

    def key(self, pairs: Tensor) -> Tensor:
        """One number for each pair, shape (n,)."""
        return pairs[:, 0] * self.items + pairs[:, 1]

    @cached_property
    def keys(self) -> Tensor:
        """The number of each pair, sorted, shape (n,)."""
        return self.key(self.pairs)

    def has(self, pairs: Tensor) -> Tensor:
        """Whether each of some pairs is there: bool, shape (n,)."""
        return among(self.key(pairs), self.keys)

    @cached_property
    def popularity(self) -> Tensor:
        """How many users chose each item, float32, shape (I,)."""
        return torch.bincount(self.pairs[:, 1], minlength=self.items).float()

    @cached_property
    def activity(self) -> Tensor:
        """How many items each user chose, float32, shape (U,)."""
        return torch.bincount(self.pairs[:, 0], minlength=self.users).float()

    @cached_property
    def offered(self) -> Tensor:
        """Items that may be recommended: bool, shape (I,)."""
        found = torch.ones(self.items, dtype=torch.bool, device=self.pairs.device)
        found[self.gone_items] = False
        return found

    @cached_property
    def served(self) -> Tensor:
        """Users to whom something may be recommended: bool, shape (U,)."""
        found = torch.ones(self.users, dtype=torch.bool, device=self.pairs.device)
        found[self.gone_users] = False
        return found

    @cached_property
    def starts(self) -> Tensor:
        """Where the pairs of each user begin in `pairs`, and where the last ones end: shape (U + 1,)."""
        counts = torch.bincount(self.pairs[:, 0], minlength=self.users).cumsum(0)
        return torch.cat([counts.new_zeros(1), counts])

    # ---- what networks read ---------------------------------------------------------------------------------------

    @property
    def operator(self) -> SparseMatrix:
        """D^-1/2 [[0, R], [R^T, 0]] D^-1/2 over users, then items: shape (U + I, U + I); zero rows where there is no pair."""
        found: SparseMatrix = self.kept("operator", lambda: self._bipartite(self.pairs))
        return found

    @property
    def to_users(self) -> SparseMatrix:
        """The block of `operator` that sends items' values to users: shape (U, I)."""

        def build() -> SparseMatrix:
            block = self.operator.scipy[: self.users, self.users :]
            return SparseMatrix.from_scipy(block.tocsr()).to(self.pairs.device)

        found: SparseMatrix = self.kept("to users", build)
        return found

    def operator_of(self, rows: Tensor) -> SparseMatrix:
        """`operator` of some of the pairs, given by their rows."""
        return self._bipartite(self.pairs[rows])

    def _bipartite(self, pairs: Tensor) -> SparseMatrix:
        user, item = pairs.T.cpu().numpy()
        size = self.users + self.items
        ones = np.ones(len(user), dtype=np.float64)
        adjacent = scipy.sparse.coo_matrix((ones, (user, item + self.users)), shape=(size, size)).tocsr()
        adjacent = adjacent + adjacent.T
        degree = np.asarray(adjacent.sum(1)).ravel()
        scale = scipy.sparse.diags(np.divide(1, np.sqrt(degree), out=np.zeros_like(degree), where=degree > 0))
        return SparseMatrix.from_scipy((scale @ adjacent @ scale).tocsr()).to(self.pairs.device)

    def item_graph(self, modality: str, neighbours: int, weighted: bool = True) -> SparseMatrix:
        """Each item's most similar items in one modality, shape (I, I); see :mod:`~expunge.interactions.item_graph`."""

        def build() -> SparseMatrix:
            given = self.features[modality].cpu()
            without = torch.zeros(self.items, dtype=torch.bool)
            without[self.gone_items.cpu()] = True
            return item_graph(given, neighbours, ~without, weighted).to(self.pairs.device)

        found: SparseMatrix = self.kept(f"{_ALIKE} in {modality}, {neighbours}, {weighted}", build)
        return found

    # ---- others ---------------------------------------------------------------------------------------------------

    def without(self, rows: Tensor) -> "Interactions":
        """All but some pairs, given as numbers of rows of `pairs` or as a mask over them."""
        keep = torch.ones(len(self.pairs), dtype=torch.bool, device=self.pairs.device)
        keep[rows] = False
        return self._with_item_graphs(replace(self, pairs=self.pairs[keep], before=self))

    def without_users(self, users: Tensor) -> "Interactions":
        """All but the pairs of some users, who are not served any more."""
        left = self.without(torch.isin(self.pairs[:, 0], users))
        return self._with_item_graphs(replace(left, gone_users=torch.cat([self.gone_users, users]).unique()))

    def without_items(self, items: Tensor) -> "Interactions":
        """All but the pairs of some items, which are not offered any more and of which no feature is known any more."""
        left = self.without(torch.isin(self.pairs[:, 1], items))
        features = {name: _zeroed(values, items) for name, values in self.features.items()}
        return replace(left, gone_items=torch.cat([self.gone_items, items]).unique(), features=features)

    def without_features(self, modality: str, items: Tensor) -> "Interactions":
        """All pairs; but of some items nothing is known any more in one modality.

        Raises:
            BadSetting: if there is no such modality.
        """
        if modality not in self.features:
            raise BadSetting(f"there is no modality '{modality}'; there are {', '.join(self.features) or 'none'}")
        gone = dict(self.gone_features)
        gone[modality] = torch.cat([gone.get(modality, items[:0]), items]).unique()
        features = dict(self.features) | {modality: _zeroed(self.features[modality], items)}
        return replace(self, features=features, gone_features=gone, before=self)

    def _with_item_graphs(self, left: "Interactions") -> "Interactions":
        """The same; it takes over the graphs of items, of which none has gone or lost features."""
        left._kept.update({name: made for name, made in self._kept.items() if name.startswith(_ALIKE)})
        return left

    def kept(self, name: str, build: Callable[[], Any]) -> Any:
        """What `build` makes of these interactions, made once."""
        if name not in self._kept:
            self._kept[name] = build()
        return self._kept[name]

    @cached_property
    def _kept(self) -> dict[str, Any]:
        return {}

    @cached_property
    def _placed(self) -> dict[torch.device, "Interactions"]:
        return {}

    def to(self, device: Any, **options: Any) -> "Interactions":
        """The same on another device; it is carried there once."""
        device = torch.empty(0, device=device).device  # "cuda" is the current one of several
        if device == self.pairs.device:
            return self
        if device not in self._placed:
            self._placed[device] = replace(
                self,
                pairs=self.pairs.to(device),
                features={name: values.to(device) for name, values in self.features.items()},
                gone_users=self.gone_users.to(device),
                gone_items=self.gone_items.to(device),
                gone_features={name: items.to(device) for name, items in self.gone_features.items()},
                before=None if self.before is None else self.before.to(device),
            )
        return self._placed[device]

    @cached_property
    def digest(self) -> str:
        """Equal for equal interactions: of users, items, pairs, features and what is gone."""
        found = hashlib.blake2b(f"{self.users} {self.items}".encode())
        parts = {"pairs": self.pairs, "users": self.gone_users, "items": self.gone_items}
        parts |= {f"features {name}": values for name, values in sorted(self.features.items())}
        for name, part in parts.items():
            found.update(f"{name} {part.dtype} {tuple(part.shape)}".encode())
            found.update(part.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
        return found.hexdigest()[:32]

    def __repr__(self) -> str:
        parts = [f"{self.users:,} users", f"{self.items:,} items", f"{len(self.pairs):,} pairs"]
        parts += [f"{name} of {values.shape[1]:,}" for name, values in self.features.items()]
        return f"Interactions({', '.join(parts)})"


def among(wanted: Tensor, known: Tensor) -> Tensor:
    """Whether each of some numbers is one of those known, which are sorted: bool, same shape."""
    if not len(known):
        return torch.zeros_like(wanted, dtype=torch.bool)
    return known[torch.searchsorted(known, wanted).clamp_max(len(known) - 1)] == wanted


def _zeroed(values: Tensor, rows: Tensor) -> Tensor:
    changed = values.clone()
    changed[rows] = 0
    return changed
