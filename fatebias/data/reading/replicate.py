"""Replicates: a column of the covariates in obsm, else of obs; ordered by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fatebias.config import DataConfig
from fatebias.data.reading.elements import as_series, frame_columns, frame_series
from fatebias.data.reading.labels import Levels, by_name, check_count
from fatebias.data.reading.stores import Store
from fatebias.errors import DataError

if TYPE_CHECKING:
    import pandas as pd


def replicate_levels(column: pd.Series[Any], where: str, data: DataConfig) -> Levels:
    """Order replicates by name, numbers within names by value."""
    levels = by_name(column, where, data.meant_labels)
    check_count("R", "replicates", data.R, levels.labels, where)
    return levels


def read_replicates(store: Store, data: DataConfig) -> tuple[pd.Series[Any], str]:
    """Return the replicate of each cell, (N,), and where it was found."""
    key, name = data.covar_key, data.rep_key
    columns: tuple[Any, ...] | None = ()
    if key in store.keys("obsm"):
        covar = store.raw_element(key)
        where = f"{store.source}: obsm[{key!r}]"
        columns = frame_columns(covar)
        if columns is not None and name in columns:
            return next(column for _, column in frame_series(covar, where, only=name)), f"{where}[{name!r}]"
    if name in store.keys("obs"):
        return as_series(store.value("obs", name)), f"{store.source}: obs[{name!r}]"
    raise _no_replicate(store, columns, data)


def _no_replicate(store: Store, columns: tuple[Any, ...] | None, data: DataConfig) -> DataError:
    key, name = data.covar_key, data.rep_key
    in_obs = f"obs, which has {', '.join(store.keys('obs')) or 'nothing'}"
    if key not in store.keys("obsm"):
        return DataError(
            f"obsm[{key!r}] is absent",
            where=f"{store.source}: replicates",
            found=f"obsm has {', '.join(store.keys('obsm')) or 'nothing'}; no column {name!r} in {in_obs}",
            fix="data.covar_key=KEY with one of these, or data.rep_key=COLUMN with a column of obs"
            + store.absent_hint,
        )
    if columns is None:
        return DataError(
            "the covariates have no column names",
            where=f"{store.source}: obsm[{key!r}]",
            found="a matrix",
            allowed=f"a DataFrame or structured array with a column {name!r}, or that column in {in_obs}",
            fix="data.rep_key=COLUMN with a column of obs",
        )
    return DataError(
        f"the covariates have no column {name!r}",
        where=f"{store.source}: obsm[{key!r}]",
        found=columns,
        allowed=f"a column here, or in {in_obs}",
        fix="data.rep_key=COLUMN with one of these",
    )
