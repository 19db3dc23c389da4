"""Whole tables of public sets, with all columns as they stand in the file: for those who work on tables, not on inputs."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from expunge.data import adult
from expunge.data.diabetes import TARGET as PROGRESSION
from expunge.data.published import PublicSet, file_in
from expunge.data.table import read_frame
from expunge.errors import BadFile

if TYPE_CHECKING:
    import pandas as pd  # type: ignore[import-untyped, unused-ignore]

_COLLECTION = "github.com/stedy/Machine-Learning-with-R-datasets"


@dataclass(frozen=True)
class WholeTable:
    """One table.

    Args:
        read: reads it; raises BadFile where it is not there.
        target: the column that models are trained to predict.
        categorical: columns whose numbers name categories.
    """

    read: "Callable[[], pd.DataFrame]"
    target: str
    categorical: tuple[str, ...] = ()

    @property
    def available(self) -> bool:
        """Whether the file is there."""
        try:
            self.read()
        except BadFile:
            return False
        return True


def _diabetes() -> "pd.DataFrame":
    from sklearn.datasets import load_diabetes  # type: ignore[import-untyped, unused-ignore]  # a second's import

    return load_diabetes(as_frame=True, scaled=False).frame.rename(columns={"target": PROGRESSION})


def _file(title: str, names: tuple[str, ...], address: str) -> "Callable[[], pd.DataFrame]":
    public = PublicSet("tabular", title, address, (), (), (0, 0))
    return lambda: read_frame(file_in(public.folder(names[0]), names, public))


WHOLE_TABLES = {
    "diabetes": WholeTable(_diabetes, PROGRESSION, ("sex",)),
    "concrete": WholeTable(_file("Concrete", ("concrete.csv",), _COLLECTION), "strength"),
    "wine": WholeTable(_file("White wine", ("whitewines.csv",), _COLLECTION), "quality", ("quality",)),
    "adult": WholeTable(_file("Adult", adult.FILES, adult.ADULT.address), adult.TARGET),
}
