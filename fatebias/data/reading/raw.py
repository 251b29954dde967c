"""What a file holds, before any of it is judged; the reader and the simulator both fill it."""

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
    """The parts of an AnnData object that a screen is built from.

    Parameters
    ----------
    source
        The file, for messages.
    cells
        Names of all cells, (N,).
    fate_values
        ``obsm[fate_prob_key]`` as stored, (N, columns).
    fate_names
        Pairs of origin and column names, the ones to trust first in front.
    terminal
        Terminal state of each cell where obs has that categorical, else None.
    guides
        ``obsm[guide_key]``, (N, guide columns), duplicates summed.
    guide_columns, guide_columns_from
        Names of the guide columns as found, and where they stand.
    day, rep
        Label of each cell as found, (N,).
    weight
        The obs column ``data.weights``, or None.
    guide_map
        The parsed guide map.
    cluster
        The obs column ``data.cluster_key``, or None.
    graph
        The neighbour graph ``obsp[connectivities_key]``, (N, N), or None.
    commitment
        The obs column ``data.commitment_key``, or None.
    """

    source: str
    cells: NDArray[Any]
    fate_values: NDArray[Any]
    fate_names: tuple[tuple[str, tuple[str, ...]], ...]
    terminal: pd.Categorical | None
    guides: csr_matrix
    guide_columns: tuple[Any, ...]
    guide_columns_from: str
    day: pd.Series[Any]
    rep: pd.Series[Any]
    weight: pd.Series[Any] | None
    guide_map: GuideMap
    cluster: pd.Series[Any] | None = None
    graph: csr_matrix | None = None
    commitment: pd.Series[Any] | None = None

    def at(self, part: str, key: str) -> str:
        """Write out where something stands: ``file: obsm['key']``."""
        return f"{self.source}: {part}[{key!r}]"
