"""Replicates: a column of the covariates in obsm, else of obs; ordered by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fatebias.config import DataConfig
from fatebias.data.reading.elements import as_series, frame_columns, frame_series
from fatebias.data.reading.labels import Levels, by_name, check_count
from fatebias.data.reading.stores import Store
from fatebias.errors import DataError
from fatebias.pasted import choice, setting

if TYPE_CHECKING:
    import pandas as pd

REPLICATES = ("rep", "sample", "donor", "batch", "library", "mouse", "embryo")


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


def _alike(store: Store, data: DataConfig) -> list[str]:
    """Return the columns of obs, those first that are named as replicates often are."""
    others = [key for key in store.keys("obs") if key != data.day_key]
    return sorted(others, key=lambda key: not any(part in key.casefold() for part in REPLICATES))


def _elsewhere(store: Store, name: str) -> str | None:
    """Return the setting that names another table of obsm with the column, None where there is none."""
    tables = [key for key in store.keys("obsm") if name in (frame_columns(store.raw_element(key)) or ())]
    return setting("data.covar_key", tables[0]) if tables else None


def _fix(store: Store, data: DataConfig) -> str:
    others = _alike(store, data)
    alone = f"where there is one replicate alone, adata.obs[{data.rep_key!r}] = 'one' before it is written"
    named = _elsewhere(store, data.rep_key) or (choice("data.rep_key", others) if others else None)
    return alone if named is None else f"{named}; {alone}"


def _no_replicate(store: Store, columns: tuple[Any, ...] | None, data: DataConfig) -> DataError:
    key, name = data.covar_key, data.rep_key
    in_obs = f"obs, which has {', '.join(store.keys('obs')) or 'nothing'}"
    if key not in store.keys("obsm"):
        return DataError(
            f"obsm[{key!r}] is absent",
            where=f"{store.source}: replicates",
            found=f"obsm has {', '.join(store.keys('obsm')) or 'nothing'}; no column {name!r} in {in_obs}",
            fix=_fix(store, data) + store.absent_hint,
        )
    if columns is None:
        return DataError(
            "the covariates have no column names",
            where=f"{store.source}: obsm[{key!r}]",
            found="a matrix",
            allowed=f"a DataFrame or structured array with a column {name!r}, or that column in {in_obs}",
            fix=_fix(store, data),
        )
    return DataError(
        f"the covariates have no column {name!r}",
        where=f"{store.source}: obsm[{key!r}]",
        found=columns,
        allowed=f"a column here, or in {in_obs}",
        fix=choice("data.rep_key", [*_alike(store, data), *columns], name),
    )
