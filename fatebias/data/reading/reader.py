"""From an AnnData on disk or in memory to a `RawScreen`: the elements that the model needs, and no others."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fatebias.config import DataConfig
from fatebias.data.reading.anndata_file import open_store
from fatebias.data.reading.confounding import BATCHES
from fatebias.data.reading.covariates import read_covariates
from fatebias.data.reading.day_columns import day_fix
from fatebias.data.reading.elements import (
    as_series,
    dense_matrix,
    frame_columns,
    frame_index,
    sparse_matrix,
)
from fatebias.data.reading.fate_names import CELLRANK_1, terminal_keys
from fatebias.data.reading.guide_map import GuideMap
from fatebias.data.reading.guide_source import OBSM, read_guides, read_map, source_of_guides
from fatebias.data.reading.modalities import ChosenParts, choose_parts
from fatebias.data.reading.raw import RawScreen
from fatebias.data.reading.replicate import read_replicates
from fatebias.data.reading.stores import Store
from fatebias.errors import DataError
from fatebias.pasted import choice, setting

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from scipy.sparse import csr_matrix


# In uns of a screen that `fatebias prepare` wrote: its fates, the reference first, and the contrast.
NOTED, NOTED_FATES, NOTED_CONTRAST = "fatebias", "fates", "contrast_fate"


def read_raw(
    source: Path | AnnData, guides: Path | pd.DataFrame | GuideMap | None, data: DataConfig
) -> RawScreen:
    """Read the elements that a screen needs; nothing but the guide map is checked yet.

    Without `guides` the guide map is what the screen itself says of its guides.
    """
    with open_store(source) as opened:
        parts = choose_parts(opened, data)
        return _read_parts(parts, read_map(parts, guides, data), data)


def _read_parts(parts: ChosenParts, guide_map: GuideMap, data: DataConfig) -> RawScreen:
    store = parts.store
    cells = store.names()
    kind = source_of_guides(parts, data)
    for part, key, name in (
        ("obsm", data.fate_prob_key, "fate_prob_key"),
        *((("obsm", data.guide_key, "guide_key"),) if kind == OBSM else ()),
        ("obs", data.day_key, "day_key"),
        *((("obs", data.weights, "weights"),) if data.weights else ()),
        *((("obs", data.cluster_key, "cluster_key"),) if data.cluster_key else ()),
        *((("obs", data.commitment_key, "commitment_key"),) if data.commitment_key else ()),
    ):
        check_key(store, part, key, name, data)
    fates = store.raw_element(data.fate_prob_key)
    rep, rep_at = read_replicates(store, data)
    terminal, terminal_key = _terminal_states(store, data)
    fate_values = dense_matrix(fates, f"{store.source}: obsm[{data.fate_prob_key!r}]")
    guides = read_guides(parts, kind, cells, guide_map, data)
    raw = RawScreen(
        source=store.source,
        cells=cells,
        fate_values=fate_values,
        fate_names=_fate_names(store, fates, data),
        noted_fates=_noted_fates(store),
        terminal=terminal,
        terminal_key=terminal_key,
        guides=guides.matrix,
        guides_at=guides.where,
        guide_columns=guides.columns,
        guide_columns_from=guides.columns_from,
        guides_called=guides.called,
        guide_notes=guides.notes,
        day=as_series(store.value("obs", data.day_key)),
        rep=rep,
        rep_at=rep_at,
        weight=as_series(store.value("obs", data.weights)) if data.weights else None,
        guide_map=guide_map,
        cluster=as_series(store.value("obs", data.cluster_key)) if data.cluster_key else None,
        graph=_graph(store, data),
        commitment=as_series(store.value("obs", data.commitment_key)) if data.commitment_key else None,
        covariates=read_covariates(store, data),
        batches=tuple(
            (name, as_series(store.value("obs", name))) for name in BATCHES if name in store.keys("obs")
        ),
    )
    _check_lengths(store, raw, data, kind == OBSM)
    return raw


def check_key(store: Store, part: str, key: str, name: str, data: DataConfig) -> None:
    """Refuse a screen that lacks the element that ``data.NAME`` names."""
    present = store.keys(part)
    if key in present:
        return
    taken = {data.fate_prob_key, data.guide_key, data.covar_key} - {key} if part == "obsm" else ()
    free = [each for each in present if each not in taken] or present
    fix = day_fix(store, key) if name == "day_key" else choice(f"data.{name}", free, key)
    if part == "obsm" and key in store.keys("obs"):
        fix = f"obs has a column {key!r}: adata.obsm[{key!r}] = adata.obs[[{key!r}]]"
    older = [each for each in CELLRANK_1 if each in present]
    if name == "fate_prob_key" and older:
        fix = f"{setting('data.fate_prob_key', older[0])}, which is CellRank 1's"
    raise DataError(
        f"{part}[{key!r}] is absent",
        where=f"{store.source}: {part}",
        found=f"{part} has {', '.join(present) or 'nothing'}",
        fix=fix + store.absent_hint,
    )


def _fate_names(store: Store, fates: Any, data: DataConfig) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Collect the names that the data give the fate columns, the most trusted first."""
    found: list[tuple[str, tuple[str, ...]]] = []
    columns = frame_columns(fates)
    if columns is not None:
        found.append(("the DataFrame", tuple(str(column) for column in columns)))
    lineage = getattr(fates, "names", None) if isinstance(fates, np.ndarray) else None
    if lineage is not None:
        found.append(("the Lineage", tuple(str(name) for name in lineage)))
    key = f"{data.fate_prob_key}_names"
    if key in store.keys("uns"):
        found.append((f"uns[{key!r}]", tuple(str(name) for name in np.ravel(store.value("uns", key)))))
    return tuple(found)


def _noted_fates(store: Store) -> tuple[tuple[str, ...], str] | None:
    if NOTED not in store.keys("uns"):
        return None
    noted = store.value("uns", NOTED)
    if not isinstance(noted, Mapping) or not {NOTED_FATES, NOTED_CONTRAST} <= set(noted):
        return None
    return tuple(str(fate) for fate in np.ravel(noted[NOTED_FATES])), str(noted[NOTED_CONTRAST])


def _terminal_states(store: Store, data: DataConfig) -> tuple[pd.Categorical | None, str]:
    """Return the terminal state of each cell, None where no column has them, and the column's key."""
    keys = terminal_keys(data.fate_prob_key)
    for key in keys:
        if key in store.keys("obs"):
            column = as_series(store.value("obs", key))
            return (column.array if hasattr(column, "cat") else None), key
    return None, keys[0]


def _graph(store: Store, data: DataConfig) -> csr_matrix | None:
    """Read the neighbour graph if there is one and no column of clusters replaces it."""
    if data.cluster_key or data.connectivities_key not in store.keys("obsp"):
        return None
    where = f"{store.source}: obsp[{data.connectivities_key!r}]"
    return sparse_matrix(store.value("obsp", data.connectivities_key), where)


def _check_lengths(store: Store, raw: RawScreen, data: DataConfig, guides_in_obsm: bool) -> None:
    """Check that every part has the same cells in the same order."""
    n_cells = raw.cells.size
    if n_cells == 0:
        raise DataError("the screen has no cells", where=store.source, fix="check how it was subset")
    lengths = {
        raw.at("obsm", data.fate_prob_key): raw.fate_values.shape[0],
        raw.guides_at: raw.guides.shape[0],
        raw.rep_at: raw.rep.size,
        raw.at("obs", data.day_key): raw.day.size,
    }
    for where, length in lengths.items():
        if length != n_cells:
            raise DataError(
                f"{length} rows for {n_cells} cells",
                where=where,
                allowed=f"{n_cells} rows",
                fix="write the file again: adata.write_h5ad(PATH)",
            )
    used = [data.fate_prob_key]
    used += [data.guide_key] if guides_in_obsm else []
    used += [data.covar_key] if raw.rep_at.startswith(raw.at("obsm", data.covar_key)) else []
    for key in used:
        index = frame_index(store.raw_element(key), raw.at("obsm", key))
        if index is not None and not np.array_equal(index.astype(str), raw.cells.astype(str)):
            raise DataError(
                "the rows of a DataFrame are other cells than those of obs, or in another order",
                where=raw.at("obsm", key),
                fix=f"adata.obsm[{key!r}] = adata.obsm[{key!r}].loc[adata.obs_names], then write again",
            )
