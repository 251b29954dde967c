"""Where guides and guide map come from: obsm, text calls, a modality; a table, or the screen itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fatebias.config import DataConfig
from fatebias.data.reading.elements import frame_columns, sparse_matrix
from fatebias.data.reading.guide_calls import read_calls
from fatebias.data.reading.guide_map import GuideMap, read_guide_map
from fatebias.data.reading.guide_matrix import GuideMatrix
from fatebias.data.reading.guides_inside import (
    CALLS,
    PERTURBATIONS,
    map_of_perturbations,
    map_of_var,
    modality_matrix,
    no_guide_map,
)
from fatebias.data.reading.modalities import ChosenParts
from fatebias.data.reading.stores import Store
from fatebias.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

GUIDE_NAMES = "guide_names"
OBSM, MODALITY, AS_TEXT = "obsm", "modality", "text"


def source_of_guides(parts: ChosenParts, data: DataConfig) -> str:
    """Return where the guides are: the configured place, else the first that is there."""
    if data.guide_calls is not None:
        return AS_TEXT
    if parts.guides is not None:
        return MODALITY
    in_obs = data.guide_key not in parts.store.keys("obsm") and CALLS in parts.store.keys("obs")
    return AS_TEXT if in_obs else OBSM


def read_guides(
    parts: ChosenParts, kind: str, cells: NDArray[Any], guide_map: GuideMap, data: DataConfig
) -> GuideMatrix:
    """Read the guides of `cells` (N,) from the place that `source_of_guides` chose."""
    if kind == MODALITY and parts.guides is not None:
        return modality_matrix(parts.guides, cells)
    if kind == AS_TEXT:
        source = data.guide_calls or CALLS
        return read_calls(parts.store, cells, source, data.guide_threshold, tuple(guide_map.gene_of))
    where = f"{parts.store.source}: obsm[{data.guide_key!r}]"
    element = parts.store.raw_element(data.guide_key)
    columns, columns_from = _guide_columns(parts.store, element, data)
    return GuideMatrix(sparse_matrix(element, where), where, columns, columns_from)


def read_map(parts: ChosenParts, guides: Path | pd.DataFrame | GuideMap | None, data: DataConfig) -> GuideMap:
    """Read the guide map that is given, else what the screen says itself of its guides."""
    if isinstance(guides, GuideMap):
        return guides
    if guides is not None:
        return read_guide_map(guides, data.two_targets)
    if parts.guides is not None:
        return map_of_var(parts.guides, data.two_targets)
    if PERTURBATIONS in parts.store.keys("uns"):
        return map_of_perturbations(parts.store, data.two_targets)
    raise no_guide_map(parts.store)


def _guide_columns(store: Store, guides: Any, data: DataConfig) -> tuple[tuple[Any, ...], str]:
    columns = frame_columns(guides)
    if columns is not None:
        return columns, "the DataFrame's columns"
    for key in (f"{data.guide_key}_names", GUIDE_NAMES):
        if key in store.keys("uns"):
            return tuple(np.ravel(store.value("uns", key)).tolist()), f"uns[{key!r}]"
    raise DataError(
        "the names of the guide columns are unknown",
        where=f"{store.source}: obsm[{data.guide_key!r}]",
        found=f"a matrix without column names; uns has {', '.join(store.keys('uns')) or 'nothing'}",
        allowed=f"a DataFrame, or a matrix with uns[{GUIDE_NAMES!r}]",
        fix=f"adata.uns[{GUIDE_NAMES!r}] = [...] with the guide names in the order of the columns",
    )
