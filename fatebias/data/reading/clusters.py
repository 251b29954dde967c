"""Groups of cells that may share noise: an obs column, or blocks of the neighbour graph."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from fatebias.data.reading.labels import refuse_missing, text
from fatebias.pasted import setting

if TYPE_CHECKING:
    import pandas as pd

# A block holds many neighbourhoods, so that few of them cross its edge.
FEWEST_CELLS = 200
NEIGHBOURHOODS = 10

REPLICATE_AND_DAY = "replicate and day"
GRAPH_BLOCKS = "blocks of the neighbour graph within replicate and day"


def column_clusters(column: pd.Series, where: str, meant: Collection[str] = ()) -> NDArray[np.int32]:
    """Return the cluster of each cell from 0, one for each value of a column, (N,)."""
    import pandas as pd

    codes, values = pd.factorize(column, sort=True)
    labels = [text(value) for value in values]
    fix = f"fill in the column, or {setting('data.cluster_key', None)}"
    refuse_missing(codes, labels, where, meant, "cluster", fix)
    return codes.astype(np.int32)


def graph_blocks(graph: csr_matrix, group: NDArray[np.integer]) -> NDArray[np.int32]:
    """Cut the neighbour graph (N, N) of each group into blocks of nearby cells; return each block, (N,).

    `group` (N,) is replicate and day as one number. Cells are put in the reverse Cuthill-McKee order of the
    group's own graph, in which neighbours are near each other, and the order is cut into pieces.
    """
    from scipy.sparse.csgraph import reverse_cuthill_mckee

    block = np.empty(len(group), dtype=np.int32)
    number = 0
    for each in np.unique(group):
        members = np.flatnonzero(group == each)
        within = graph[members][:, members]
        degree = float(np.median(np.diff(within.indptr))) if len(members) else 0.0
        order = reverse_cuthill_mckee((within + within.T).tocsr(), symmetric_mode=True)
        size = max(FEWEST_CELLS, NEIGHBOURHOODS * degree)
        pieces = max(1, int(len(members) // size))
        block[members[order]] = number + np.arange(len(members)) * pieces // len(members)
        number += pieces
    return block
