"""ML efficacy as the released code computes it, with the two faults of its encoding that a switch can mend.

Both tables are scaled by the real range. A column of categories with two values becomes 0 and 1 in the order in which they
appear in its table, any other one column of 0 or 1 for each value, in its place. Then the target is taken by its number (-1
for the last). Two faults follow:

    target   of a target with more than two categories the last of its columns is predicted, from the others of them
    labels   the two values of a column are numbered in each table by themselves: where another comes first, they are swapped

Source: V. Chundawat, A. Tarun, M. Mandal, M. Lahoti, P. Narang, github.com/vikram2000b/tabsyndex (MIT).
"""

from collections.abc import Collection

import numpy as np
import pandas as pd  # type: ignore[import-untyped, unused-ignore]

from expunge.tabular.coded import Array
from expunge.tabular.scoring.efficacy import Learnable, published_efficacy
from expunge.tabular.scoring.pair import Pair, Part, Task, as_numbers

DEFECTS = ("labels", "target")  # in an order, so that settings are spelled alike in every process


def official_efficacy(pair: Pair, target: str, task: Task, defects: Collection[str]) -> Part:
    """The part of ML efficacy, with such faults of :data:`DEFECTS` as `defects` names."""
    raw, names = [as_numbers(each) for each in (pair.real, pair.synthetic)], list(pair.names)
    low, high = np.nanmin(raw[0], axis=0), np.nanmax(raw[0], axis=0)
    median = np.nanmedian(raw[0], axis=0)
    scaled = [(np.where(np.isnan(each), median, each) - low) / np.where(high > low, high - low, 1.0) for each in raw]
    categories = {each.name for each in pair.schema.categories}
    real, synthetic = (_encoded(pd.DataFrame(each, columns=names), categories, defects) for each in scaled)
    said: tuple[str, ...] = ()
    if list(real) != list(synthetic):
        said = ("The released code stops here, as a category is in one table alone; inputs are those of the real table.",)
        synthetic = synthetic.reindex(columns=list(real), fill_value=0.0)
    tables = [_parted(table, scaled[place], names, target, defects) for place, table in enumerate((real, synthetic))]
    if not tables[0].inputs.shape[1]:
        return Part(None, warnings=(*said, "There is no column besides the target: ML efficacy can't be told."))
    if task == "classification" and len(np.unique(tables[0].targets)) < 2:
        return Part(None, warnings=(*said, "The real table's target has one value only: ML efficacy can't be told."))
    if task == "classification" and len(np.unique(tables[1].targets)) < 2:
        return Part(0.0, warnings=(*said, "The synthetic table's target has one value only: no model learns anything from it."))
    found = published_efficacy(tables[0], tables[1], task)
    return Part(found.value, details=found.details, warnings=said)


def _encoded(table: pd.DataFrame, categories: Collection[str], defects: Collection[str]) -> pd.DataFrame:
    """The released code's inputs; each is called by the column that it is of, and by its value if it stands for one."""
    parts: dict[tuple[str, str], pd.Series] = {}
    for name in table:
        column, distinct = table[name], table[name].nunique()
        if name not in categories:
            parts[name, ""] = column
        elif distinct == 1:
            parts[name, ""] = column * 0.0
        elif distinct == 2:
            parts[name, ""] = pd.Series(pd.factorize(column, sort="labels" not in defects)[0].astype(np.float64))
        else:
            parts |= {(name, repr(value)): (column == value).astype(np.float64) for value in sorted(column.unique())}
    return pd.DataFrame(parts)


def _parted(table: pd.DataFrame, scaled: Array, names: list[str], target: str, defects: Collection[str]) -> Learnable:
    """Inputs and target."""
    place = names.index(target)
    own = [name for name in table if name[0] == target]
    if "target" in defects or len(own) == 1:
        chosen = table.columns[-1 if place == len(names) - 1 else place] if "target" in defects else own[0]
        return Learnable(table.drop(columns=[chosen]).to_numpy(), table[chosen].to_numpy())
    return Learnable(table.drop(columns=own).to_numpy(), np.unique(scaled[:, place], return_inverse=True)[1])
