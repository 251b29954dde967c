"""Each replicate's own estimate of a gene's effect, all other effects held where the fit has them."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fatebias import names
from fatebias.data.screen import Screen
from fatebias.model.design_matrix import DesignMatrix

Array = NDArray[np.float64]

FEWEST_CELLS = 10  # of a gene in a replicate on a day: with fewer there is no estimate
WIDE = 5.0  # SD of a normal around the fit, logits: where labels are all of one fate an estimate stays finite
ROUNDS = 12
LONGEST_MOVE = 2.0  # logits in a round: far from the mode a whole step overshoots
TOLERANCE = 1e-6


def replicate_effects(
    design: DesignMatrix, flat: Array, weight: float, betahat: Array, screen: Screen
) -> dict[str, pd.DataFrame]:
    """Return, by fate, ``gene, replicate, betahat_d*, se_d*, cells_d*``, one row a gene and replicate.

    Parameters
    ----------
    design
        Of the screen.
    flat
        The fit's effects, (size,).
    weight
        Likelihood weight of the fit.
    betahat
        The gene estimates that mash is given, (L, F*, D), in logits against the reference.
    screen
        For names and numbers of cells.

    Returns
    -------
    dict of pandas.DataFrame
        One for each fate but the reference. Empty with one replicate. An estimate is `betahat` and how far
        the mode of the replicate's own labels is from that of all replicates together, both with nothing but
        this gene's effect on this day free; its error is that of the labels alone. NaN with fewer than 10
        cells.
    """
    n_genes, n_days, n_reps = screen.L, screen.D, screen.R
    labels = names.day_columns(names.BETAHAT, n_days), names.day_columns(names.SE, n_days)
    counts = names.day_columns(names.CELLS_BY_DAY, n_days)
    if n_reps < 2:
        empty = pd.DataFrame(columns=[names.GENE, names.REPLICATE, *labels[0], *labels[1], *counts])
        return dict.fromkeys(screen.fates[1:], empty)
    pairs = _Pairs(design, flat, weight)
    day = pairs.gene * n_days + pairs.day
    together, _ = pairs.modes(day, n_genes * n_days)
    apart, covariance = pairs.modes(day * n_reps + pairs.rep, n_genes * n_days * n_reps)
    shape = (n_genes, n_days, n_reps)
    cell, gene = screen.gene_holdings()
    held = np.bincount(
        (gene * n_days + screen.day[cell]) * n_reps + screen.rep[cell], minlength=int(np.prod(shape))
    ).reshape(shape)
    few = held < FEWEST_CELLS
    head = {
        names.GENE: np.repeat(np.asarray(screen.gene_names, dtype=object), n_reps),
        names.REPLICATE: list(screen.rep_labels) * n_genes,
    }
    found = {}
    for f, fate in enumerate(screen.fates[1:]):
        moved = apart[:, f].reshape(shape) - together[:, f].reshape(*shape[:2], 1)
        estimate = np.where(few, np.nan, betahat[:, f, :, None] + moved)
        error = np.where(few, np.nan, np.sqrt(covariance[:, f, f]).reshape(shape))
        table = pd.DataFrame(head)
        for columns, values in zip((*labels, counts), (estimate, error, held), strict=True):
            table[columns] = np.swapaxes(values, 1, 2).reshape(-1, n_days)
        found[fate] = table
    return found


class _Pairs:
    """Collapsed rows by the genes that they carry: one pair for each row and gene."""

    def __init__(self, design: DesignMatrix, flat: Array, weight: float) -> None:
        rows = design.rows
        row = np.repeat(np.arange(rows.n_rows), np.diff(rows.indptr))
        gene = rows.guide_gene[rows.guides - 1]
        # A cell with two guides of a gene has its effect twice in the model.
        pair, times = np.unique(row * np.int64(rows.n_genes) + gene, return_counts=True)
        row, self.gene = np.divmod(pair, rows.n_genes)
        self.times = times.astype(float)
        self.day, self.rep = rows.day[row].astype(np.int64), rows.rep[row].astype(np.int64)
        self.p = weight * rows.p[row]  # (pairs, F) the reference first
        self.logits = design.logits(flat)[row]  # (pairs, F*)

    def modes(self, group: NDArray[np.int64], n_groups: int) -> tuple[Array, Array]:
        """Return for each group of pairs the move of their gene's effects, (n, F*), and its covariance."""
        n_fates = self.logits.shape[1]
        move = np.zeros((n_groups, n_fates))
        total = self.p.sum(axis=1)
        for _ in range(ROUNDS):
            pi = _softmax(self.logits + self.times[:, None] * move[group])
            slope = self.times[:, None] * (self.p[:, 1:] - total[:, None] * pi)
            score = _sums(slope, group, n_groups) - move / WIDE**2
            curvature = (self.times**2 * total)[:, None, None] * (
                np.einsum("if,fg->ifg", pi, np.eye(n_fates)) - pi[:, :, None] * pi[:, None, :]
            )
            hessian = _sums(curvature.reshape(len(group), -1), group, n_groups).reshape(-1, n_fates, n_fates)
            hessian += np.eye(n_fates) / WIDE**2
            step = np.linalg.solve(hessian, score[:, :, None])[:, :, 0]
            step *= np.minimum(1, LONGEST_MOVE / np.maximum(np.abs(step).max(axis=1), 1e-12))[:, None]
            move += step
            if np.abs(step).max(initial=0) < TOLERANCE:
                break
        return move, np.asarray(np.linalg.inv(hessian), dtype=np.float64)


def _softmax(logits: Array) -> Array:
    """Return the probabilities of the non-reference fates, (n, F*)."""
    top = np.maximum(logits.max(axis=1, keepdims=True), 0)
    raised = np.exp(logits - top)
    return np.asarray(raised / (np.exp(-top) + raised.sum(axis=1, keepdims=True)))


def _sums(values: Array, group: NDArray[np.int64], n_groups: int) -> Array:
    """Sum rows by group, (n, columns)."""
    return np.column_stack([np.bincount(group, column, n_groups) for column in values.T])
