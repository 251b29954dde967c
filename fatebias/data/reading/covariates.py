"""Covariates beside day and replicate: numbers in SDs within days, categories as a column a level."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fatebias.config import DataConfig
from fatebias.data.reading.elements import as_series, frame_columns, frame_series, numeric_column
from fatebias.data.reading.labels import by_name
from fatebias.data.reading.raw import RawScreen
from fatebias.data.reading.stores import Store
from fatebias.errors import DataError, some
from fatebias.pasted import setting

if TYPE_CHECKING:
    import pandas as pd

# A column of whole numbers with at most this many values is a category: lanes are numbered.
MOST_NUMBERED_LEVELS = 20
# A number with more different values than this share of the cells leaves no cells to collapse.
OWN_VALUES = 0.5


@dataclass(frozen=True, eq=False)
class Factor:
    """A category of each kept cell."""

    name: str
    codes: NDArray[np.int32]  # (N,)
    labels: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Covariates:
    """What the shared effects get besides day, replicate and burden."""

    columns: NDArray[np.float64]  # (N, C)
    names: tuple[str, ...]  # (C,) log_umi, lane=1, lane=2
    factors: tuple[Factor, ...]
    told: tuple[str, ...]  # how each covariate was taken
    notes: tuple[str, ...] = ()


def read_covariates(store: Store, data: DataConfig) -> tuple[tuple[str, str, pd.Series[Any]], ...]:
    """Return name, place and column of each of ``data.covariates``, of obs or else of the table in obsm."""
    return tuple(_column(store, name, data) for name in data.covariates)


def _column(store: Store, name: str, data: DataConfig) -> tuple[str, str, pd.Series[Any]]:
    if name in store.keys("obs"):
        return name, f"{store.source}: obs[{name!r}]", as_series(store.value("obs", name))
    beside: tuple[Any, ...] = ()
    if data.covar_key in store.keys("obsm"):
        table, where = store.raw_element(data.covar_key), f"{store.source}: obsm[{data.covar_key!r}]"
        beside = frame_columns(table) or ()
        if name in beside:
            column = next(column for _, column in frame_series(table, where, only=name))
            return name, f"{where}[{name!r}]", column
    taken = (data.day_key, data.rep_key, *data.covariates)
    others = [key for key in (*store.keys("obs"), *map(str, beside)) if key not in taken]
    near = difflib.get_close_matches(name, others, n=1, cutoff=0) + others
    raise DataError(
        f"the covariate {name!r} is no column of the screen",
        where=f"{store.source}: data.covariates",
        found=f"obs has {', '.join(store.keys('obs')) or 'nothing'}"
        + (f"; obsm[{data.covar_key!r}] has {', '.join(map(str, beside))}" if beside else ""),
        fix=setting("data.covariates", near[:1]) + " with columns of these"
        if near
        else f"{setting('data.covariates', [])} fits without",
    )


def model_covariates(
    raw: RawScreen, kept: NDArray[np.bool_], day: NDArray[np.int32], data: DataConfig
) -> Covariates:
    """Return the covariates of the kept cells as columns for the model; `day` (N,) is that of kept cells."""
    columns: list[NDArray[np.float64]] = []
    names: list[str] = []
    factors, told, notes = [], [], []
    for name, where, column in raw.covariates:
        column = column[kept].reset_index(drop=True)
        if _is_number(column):
            columns.append(_in_sds(numeric_column(column, where).astype(np.float64), day, name, where))
            names.append(name)
            told.append(f"{name} (a number, in SDs within days)")
            if len(np.unique(columns[-1])) > OWN_VALUES * len(column):
                notes.append(f"{name} differs between most cells: they do not collapse into rows")
            continue
        levels = by_name(column, where, data.meant_labels)
        order = levels.labels
        if len(order) == 1:
            raise _says_nothing(name, where, f"the same value in all cells, {order[0]!r}")
        factor = Factor(name, levels.codes, order)
        factors.append(factor)
        columns += [(factor.codes == level).astype(np.float64) for level in range(len(order))]
        names += [f"{name}={label}" for label in order]
        told.append(f"{name} ({len(order)} categories)")
    stacked = np.column_stack(columns) if columns else np.zeros((int(kept.sum()), 0))
    return Covariates(stacked, tuple(names), tuple(factors), tuple(told), tuple(notes))


def _is_number(column: pd.Series[Any]) -> bool:
    """Whether a column is a quantity: not text, not a category, not a few whole numbers such as lanes."""
    if column.dtype.kind not in "iuf":
        return False
    values = numeric_column(column, "").astype(np.float64)
    values = values[np.isfinite(values)]
    return len(np.unique(values)) > MOST_NUMBERED_LEVELS or bool((values != np.floor(values)).any())


def _in_sds(value: NDArray[np.float64], day: NDArray[np.int32], name: str, where: str) -> NDArray[np.float64]:
    """Centre a number within each day, and scale it by its SD within days."""
    wrong = ~np.isfinite(value)
    if wrong.any():
        raise DataError(
            f"{int(wrong.sum())} of {value.size} cells have no value of the covariate {name}",
            where=where,
            found=f"NaN or infinity in rows {some(np.flatnonzero(wrong)[:5].tolist())} of the kept cells",
            allowed="a finite number in every cell",
            fix="fill in the column, remove those cells, or leave it out of data.covariates",
        )
    centred = value - (np.bincount(day, value) / np.bincount(day))[day]
    spread = float(centred.std())
    if spread <= 1e-9 * max(1.0, float(np.abs(value).max())):
        raise _says_nothing(name, where, "the same value in all cells of each day")
    return centred / spread


def _says_nothing(name: str, where: str, found: str) -> DataError:
    return DataError(
        f"the covariate {name} says nothing",
        where=where,
        found=found,
        allowed="a column that differs between cells of a day",
        fix="leave it out of data.covariates",
    )
