"""Cells that the model cannot tell apart become one row: the same posterior from fewer rows.

The likelihood of SPEC 3 is linear in p, so cells with the same day, replicate, number of guides
and non-NTC guides share their logits, and their weighted fate probabilities add up.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fatebias.data.screen import Screen


@dataclass(frozen=True)
class CollapsedRows:
    """Design of the likelihood, one row for each group of cells.

    Attributes
    ----------
    p
        Weighted sums of fate probabilities, shape (M, F), reference fate first.
    day, rep
        Indices, shape (M,).
    k_centered
        Number of guides minus its mean on that day, shape (M,).
    indptr, guides
        Non-NTC guides of row m: ``guides[indptr[m]:indptr[m + 1]]``, ids from 1 to G.
    n_cells
        Cells behind each row, shape (M,).
    gene_of_guide
        Gene of each guide, shape (G + 1,), 0 for guide 0.
    n_genes, n_days, n_reps
        L, D, R.
    """

    p: NDArray[np.float64]
    day: NDArray[np.int64]
    rep: NDArray[np.int64]
    k_centered: NDArray[np.float64]
    indptr: NDArray[np.int64]
    guides: NDArray[np.int64]
    n_cells: NDArray[np.int64]
    gene_of_guide: NDArray[np.int64]
    n_genes: int
    n_days: int
    n_reps: int

    @property
    def n_rows(self) -> int:
        """M."""
        return len(self.day)

    @property
    def n_guides(self) -> int:
        """G."""
        return len(self.gene_of_guide) - 1

    @property
    def n_effects(self) -> int:
        """F*, the number of non-reference fates."""
        return self.p.shape[1] - 1


def collapse(screen: Screen) -> CollapsedRows:
    """Collapse a screen into rows of cells that share day, replicate and guides.

    Parameters
    ----------
    screen
        The screen.

    Returns
    -------
    CollapsedRows
        At most as many rows as cells, ordered by day, then replicate.
    """
    chosen, row_of_cell = group_cells(screen)
    weighted = screen.p * screen.weight[:, None]
    p = np.empty((len(chosen), screen.p.shape[1]))
    for f in range(p.shape[1]):
        p[:, f] = np.bincount(row_of_cell, weighted[:, f], minlength=len(chosen))
    n_cells = np.bincount(row_of_cell, minlength=len(chosen))
    return _rows(screen, chosen, p, n_cells.astype(np.int64))


def group_cells(screen: Screen) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Find the rows of `collapse`.

    Parameters
    ----------
    screen
        The screen.

    Returns
    -------
    chosen : ndarray
        A cell of each row, shape (M,).
    row_of_cell : ndarray
        The row that each cell is part of, shape (N,).
    """
    key = _keys(screen)
    first, inverse = _groups(key)
    order = np.lexsort((first, key[first, 1], key[first, 0]))
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return first[order], rank[inverse]


def each_cell(screen: Screen) -> CollapsedRows:
    """Give every cell a row of its own, in the order of the screen, for minibatches of cells.

    Parameters
    ----------
    screen
        The screen.

    Returns
    -------
    CollapsedRows
        N rows.
    """
    everyone = np.arange(len(screen.day), dtype=np.int64)
    return _rows(screen, everyone, screen.p * screen.weight[:, None], np.ones(len(everyone), dtype=np.int64))


def _keys(screen: Screen) -> NDArray[np.int32]:
    """Write day, replicate, burden and the sorted guides of each cell as one row of integers."""
    ids = -np.sort(-screen.guide_ids, axis=1)  # real guides first, whatever order they were read in
    ids = ids[:, : max(1, int((ids > 0).sum(axis=1).max(initial=0)))]
    head = np.stack([screen.day, screen.rep, screen.n_guides], axis=1)
    return np.concatenate([head, ids], axis=1).astype(np.int32)


def _groups(key: NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Group equal rows: the first member of each group, and the group of each row.

    Rows are hashed to 64 bits and the groups checked against the rows themselves; should two
    different rows ever share a hash, numpy's slower exact grouping decides.
    """
    odd = np.random.default_rng(0).integers(1, 2**62, size=key.shape[1], dtype=np.uint64) * 2 + 1
    mixed = key.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    hashed = ((mixed ^ (mixed >> np.uint64(27))) * odd).sum(axis=1, dtype=np.uint64)
    _, first, inverse = np.unique(hashed, return_index=True, return_inverse=True)
    if not np.array_equal(key[first[inverse]], key):
        _, first, inverse = np.unique(key, axis=0, return_index=True, return_inverse=True)
    return first, inverse.ravel()


def _rows(
    screen: Screen, chosen: NDArray[np.int64], p: NDArray[np.float64], n_cells: NDArray[np.int64]
) -> CollapsedRows:
    ids = screen.guide_ids[chosen]
    real = ids > 0
    return CollapsedRows(
        p=p,
        day=screen.day[chosen].astype(np.int64),
        rep=screen.rep[chosen].astype(np.int64),
        k_centered=screen.k_centered[chosen],
        indptr=np.concatenate([[0], np.cumsum(real.sum(axis=1))]).astype(np.int64),
        guides=ids[real].astype(np.int64),
        n_cells=n_cells.astype(np.int64),
        gene_of_guide=screen.gene_of_guide.astype(np.int64),
        n_genes=len(screen.gene_names),
        n_days=len(screen.day_labels),
        n_reps=len(screen.rep_labels),
    )
