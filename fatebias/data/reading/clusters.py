"""Groups of cells that may share noise: a column of the user's, or blocks of the neighbour graph."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import reverse_cuthill_mckee

from fatebias.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

# A block holds many neighbourhoods, so that few of them cross its edge.
FEWEST_CELLS = 200
NEIGHBOURHOODS = 10

REPLICATE_AND_DAY = "replicate and day"
GRAPH_BLOCKS = "blocks of the neighbour graph within replicate and day"


def column_clusters(column: pd.Series, where: str) -> NDArray[np.int32]:
    """Give each value of a column a number.

    Parameters
    ----------
    column
        Value of each cell, (N,).
    where
        Where it stands, for messages.

    Returns
    -------
    ndarray
        Cluster of each cell from 0, (N,).

    Raises
    ------
    DataError
        When a value is missing.
    """
    import pandas as pd

    codes, _ = pd.factorize(column, sort=True)
    missing = int((codes < 0).sum())
    if missing:
        raise DataError(
            f"{missing} cells have no cluster",
            where=where,
            found="missing values",
            allowed="a value for every cell",
            fix="fill the column, or data.cluster_key=null",
        )
    return codes.astype(np.int32)


def graph_blocks(graph: csr_matrix, group: NDArray[np.integer]) -> NDArray[np.int32]:
    """Cut the neighbour graph of each group into blocks of cells that lie close together.

    Cells are put in the reverse Cuthill-McKee order of the group's own graph, in which neighbours stand
    near each other, and the order is cut into pieces.

    Parameters
    ----------
    graph
        Neighbours of each cell, (N, N); weights do not matter.
    group
        Replicate and day of each cell as one number, (N,).

    Returns
    -------
    ndarray
        Block of each cell from 0, (N,).
    """
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
