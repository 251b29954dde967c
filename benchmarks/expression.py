"""Labels as CellRank would make them: absorption probabilities on the neighbour graph of expression.

A stand-in for CellRank's pseudotime kernel and GPCCA estimator (Lange et al. 2022,
doi 10.1038/s41592-021-01346-6) on simulated expression. Cells move from a common origin towards the corner of
the fate to which they lean; a walk over the neighbour graph, along pseudotime more than against it, ends in
the terminal cells of a fate, and a cell's label is the probability of each end. Neighbours lean towards other
fates than the cell itself, so that labels are drawn together: their expectation is no longer pi.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags_array
from scipy.sparse.linalg import gmres
from scipy.spatial import cKDTree

from fatebias.data.reading.clusters import GRAPH_BLOCKS, graph_blocks
from fatebias.data.screen import Screen

Array = NDArray[np.float64]

NEIGHBOURS = 30
LEANING = 5.0  # concentration of what cells of equal pi lean to
NOISE = 0.1  # SD of each coordinate; corners of fates are 1.4 apart
NOISE_ONLY = 2  # coordinates without any signal
BACKWARD = 10.0  # a step back in pseudotime is less likely by exp(-10 x step)
TERMINAL = 0.015  # share of the cells in each fate's terminal state
TOLERANCE = 1e-5


def absorption(screen: Screen, pi: Array, rng: np.random.Generator) -> Screen:
    """Return the screen with absorption probabilities as labels and blocks of the graph as clusters."""
    leaning = rng.standard_gamma(LEANING * pi)
    leaning /= leaning.sum(axis=1, keepdims=True)
    progress = (screen.day + rng.random(screen.N)) / screen.D
    place = progress[:, None] * (leaning - 1 / leaning.shape[1])
    place = np.column_stack([place, progress, np.zeros((screen.N, NOISE_ONLY))])
    place += rng.normal(0.0, NOISE, place.shape)
    pseudotime = place[:, leaning.shape[1]]
    graph = neighbour_graph(place)
    ends = [_foremost(progress * column) for column in leaning.T]
    p = absorbed(forward(graph, pseudotime), ends)
    group = screen.day.astype(np.int64) * screen.R + screen.rep
    cluster = graph_blocks(graph, group)
    return dataclasses.replace(screen, p=p, cluster=cluster, cluster_source=GRAPH_BLOCKS)


def neighbour_graph(place: Array) -> csr_matrix:
    """Link each cell to the nearest ones, itself not included; weights are 1, (N, N)."""
    nearest = cKDTree(place).query(place, k=NEIGHBOURS + 1)[1][:, 1:]
    row = np.repeat(np.arange(len(place)), NEIGHBOURS)
    return csr_matrix((np.ones(row.size), (row, nearest.ravel())), (len(place), len(place)))


def forward(graph: csr_matrix, pseudotime: Array) -> csr_matrix:
    """Return transition probabilities that favour steps along pseudotime, rows that sum to 1."""
    row, column = graph.nonzero()
    back = np.maximum(pseudotime[row] - pseudotime[column], 0)
    steps = csr_matrix((np.exp(-BACKWARD * back), (row, column)), graph.shape)
    return csr_matrix(diags_array(1 / np.asarray(steps.sum(axis=1)).ravel()) @ steps)


def absorbed(steps: csr_matrix, ends: list[NDArray[np.int64]]) -> Array:
    """Return the probability to end in each of the sets of cells, (N, F): A = Q A + R among the others.

    A cell in two sets belongs to the first.
    """
    n_cells = steps.shape[0]
    p = np.zeros((n_cells, len(ends)))
    for f, cells in reversed(list(enumerate(ends))):
        p[cells] = np.eye(len(ends))[f]
    free = ~p.any(axis=1)
    from_free = steps[free]
    rest = diags_array(np.ones(int(free.sum()))) - from_free[:, free]
    inward = from_free @ p
    for f in range(len(ends)):
        solved, failed = gmres(rest, inward[:, f], rtol=TOLERANCE, restart=50, maxiter=40)
        if failed:
            raise RuntimeError(f"absorption probabilities of fate {f} did not settle")
        p[free, f] = solved
    p = np.clip(p, 0, None)
    return p / p.sum(axis=1, keepdims=True)


def _foremost(score: Array) -> NDArray[np.int64]:
    return np.argsort(-score, kind="stable")[: max(1, round(TERMINAL * len(score)))]
