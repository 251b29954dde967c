"""Cells that the model cannot tell apart become one row: the same posterior from fewer rows.

The log-likelihood is linear in p, so cells with the same day, replicate, number of guides and targeting
guides share their logits, and their weighted fate probabilities add up.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fatebias.data.screen import Screen


@dataclass(frozen=True)
class CollapsedRows:
    """The data of the likelihood, one row for each group of cells."""

    p: NDArray[np.float64]  # (M, F) weighted sums of fate probabilities, reference fate first
    day: NDArray[np.int64]  # (M,)
    rep: NDArray[np.int64]  # (M,)
    k_centered: NDArray[np.float64]  # (M,) number of guides minus its mean on that day
    indptr: NDArray[np.int64]  # (M + 1,) row m holds guides[indptr[m]:indptr[m + 1]]
    guides: NDArray[np.int64]  # targeting guides of all rows, ids from 1 to G
    n_cells: NDArray[np.int64]  # (M,) cells in each row
    row_of_cell: NDArray[np.int64]  # (N,) the row that each cell belongs to
    guide_gene: NDArray[np.int64]  # (G,) gene of each guide, from 0
    n_genes: int
    n_days: int
    n_reps: int
    covariates: NDArray[np.float64]  # (M, C) further columns of the shared effects

    @property
    def n_rows(self) -> int:
        """M."""
        return len(self.day)

    @property
    def n_guides(self) -> int:
        """G."""
        return len(self.guide_gene)

    @property
    def n_covariates(self) -> int:
        """C."""
        return self.covariates.shape[1]

    @property
    def n_effects(self) -> int:
        """F*, the number of non-reference fates."""
        return self.p.shape[1] - 1


def collapse(screen: Screen) -> CollapsedRows:
    """Return rows of cells that share day, replicate, guides and covariates, by day, then replicate."""
    chosen, row_of_cell = _group_cells(screen)
    weighted = screen.p * screen.weight[:, None]
    p = np.empty((len(chosen), screen.p.shape[1]))
    for f in range(p.shape[1]):
        p[:, f] = np.bincount(row_of_cell, weighted[:, f], minlength=len(chosen))
    return _rows(screen, chosen, p, row_of_cell)


def each_cell(screen: Screen) -> CollapsedRows:
    """Return one row for each cell, in the order of the screen: for minibatches, and for cells' scores."""
    everyone = np.arange(len(screen.day), dtype=np.int64)
    return _rows(screen, everyone, screen.p * screen.weight[:, None], everyone)


def _group_cells(screen: Screen) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return one cell of each row, (M,), and the row of each cell, (N,)."""
    key = _keys(screen)
    first, inverse = _groups(key)
    order = np.lexsort((first, key[first, 1], key[first, 0]))
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return first[order], rank[inverse]


def _keys(screen: Screen) -> NDArray[np.int32]:
    """Return day, replicate, burden, covariates and the sorted guides of each cell as one row of integers."""
    ids = -np.sort(-screen.guide_ids, axis=1)  # real guides first, whatever order they were read in
    ids = ids[:, : max(1, int((ids > 0).sum(axis=1).max(initial=0)))]
    head = np.stack([screen.day, screen.rep, screen.n_guides], axis=1)
    values = [np.unique(column, return_inverse=True)[1] for column in _covariates(screen).T]
    return np.concatenate([head, *(each.reshape(-1, 1) for each in values), ids], axis=1).astype(np.int32)


def _covariates(screen: Screen) -> NDArray[np.float64]:
    """Return the covariates of each cell, (N, C), C of 0 without any."""
    if screen.covariates is None or not screen.C:
        return np.zeros((screen.N, 0))
    return screen.covariates


def _groups(key: NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the first member of each group of equal rows, and the group of each row."""
    # np.unique on whole rows sorts them as bytes, which takes most of the time of a large screen; so rows
    # are hashed to 64 bits, and numpy's exact grouping decides if two different rows share a hash.
    odd = np.random.default_rng(0).integers(1, 2**62, size=key.shape[1], dtype=np.uint64) * 2 + 1
    mixed = key.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    hashed = ((mixed ^ (mixed >> np.uint64(27))) * odd).sum(axis=1, dtype=np.uint64)
    _, first, inverse = np.unique(hashed, return_index=True, return_inverse=True)
    if not np.array_equal(key[first[inverse]], key):
        _, first, inverse = np.unique(key, axis=0, return_index=True, return_inverse=True)
    return first, inverse.ravel()


def _rows(
    screen: Screen, chosen: NDArray[np.int64], p: NDArray[np.float64], row_of_cell: NDArray[np.int64]
) -> CollapsedRows:
    """Return rows that take day, replicate, burden and guides from the chosen cells."""
    ids = screen.guide_ids[chosen]
    real = ids > 0
    return CollapsedRows(
        p=p,
        day=screen.day[chosen].astype(np.int64),
        rep=screen.rep[chosen].astype(np.int64),
        k_centered=screen.k_centered[chosen],
        indptr=np.concatenate([[0], np.cumsum(real.sum(axis=1))]).astype(np.int64),
        guides=ids[real].astype(np.int64),
        n_cells=np.bincount(row_of_cell, minlength=len(chosen)),
        row_of_cell=row_of_cell,
        guide_gene=screen.guide_gene,
        n_genes=len(screen.gene_names),
        n_days=len(screen.day_labels),
        n_reps=len(screen.rep_labels),
        covariates=_covariates(screen)[chosen],
    )
