"""What a file holds, before any of it is checked; the reader and the simulator both fill it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from fatebias.data.reading.guide_map import GuideMap

if TYPE_CHECKING:
    import pandas as pd
    from scipy.sparse import csr_matrix


@dataclass(frozen=True, eq=False)
class RawScreen:
    """The parts of an AnnData object that a screen is built from."""

    source: str  # the file's path or "the AnnData object", for messages
    cells: NDArray[Any]  # (N,) names of all cells
    fate_values: NDArray[Any]  # (N, columns) obsm[fate_prob_key] as stored
    fate_names: tuple[tuple[str, tuple[str, ...]], ...]  # origin and column names, the most trusted first
    terminal: pd.Categorical | None  # (N,) terminal state of each cell, where obs has that categorical
    terminal_key: str  # the obs column of `terminal`, or where it would be
    guides: csr_matrix  # (N, guide columns) duplicates summed
    guides_at: str  # where they were found, for messages
    guide_columns: tuple[Any, ...]  # names of the guide columns as found
    guide_columns_from: str  # where these names were found
    day: pd.Series[Any]  # (N,) label as found
    rep: pd.Series[Any]  # (N,) label as found
    rep_at: str  # where it was found, for messages
    weight: pd.Series[Any] | None  # (N,) obs[data.weights]
    guide_map: GuideMap
    cluster: pd.Series[Any] | None = None  # (N,) obs[data.cluster_key]
    graph: csr_matrix | None = None  # (N, N) obsp[connectivities_key]
    commitment: pd.Series[Any] | None = None  # (N,) obs[data.commitment_key]
    covariates: tuple[tuple[str, str, pd.Series[Any]], ...] = ()  # name, place, column (N,)
    batches: tuple[tuple[str, pd.Series[Any]], ...] = ()  # obs columns that may name a cell's reaction
    guides_called: bool = False  # the guides are calls, whatever their counts
    guide_notes: tuple[str, ...] = ()
    noted_fates: tuple[tuple[str, ...], str] | None = None  # fates, the reference first, and the contrast

    def at(self, part: str, key: str) -> str:
        """Return where an element is: ``file: obsm['key']``."""
        return f"{self.source}: {part}[{key!r}]"
