"""Average marginal effects: how knocking a gene down changes the probabilities of fates, mean over cells."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fatebias import names
from fatebias.config import Config
from fatebias.data.screen import Screen
from fatebias.estimates.estimates import GeneEstimates
from fatebias.files.atomic import atomic_path
from fatebias.files.paths import RunPaths
from fatebias.inference.posterior import Posterior, flat_means
from fatebias.model.design_matrix import DesignMatrix, design_of
from fatebias.model.softmax import exponentials

Array = NDArray[np.float64]

# Largest matrix of rows by genes in memory, in entries.
ENTRIES_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class MarginalEffects:
    """Changes of probability; 0.05 is five percentage points."""

    mean: Array  # (L, D, F) sums to zero over fates; NaN where all cells of the day carry the gene, or none
    se: Array  # (L, D, F)


def marginal_effects(
    screen: Screen, cfg: Config, posterior: Posterior, given: GeneEstimates
) -> MarginalEffects:
    """Return each gene's effect on the fates' probabilities, averaged over the cells that do not carry it.

    On each day the mean over those cells of ``pi(eta + theta[gene, :, day]) - pi(eta)``, all fates' theta
    moving together as estimated and eta, with the cell's own guides, at the posterior mean (Williams 2012,
    doi 10.1177/1536867X1201200209, of a discrete change). Errors are by the delta method from the covariance
    of the gene's theta across fates on that day; that of eta is left out, being shared by thousands of cells.
    """
    design = design_of(screen, cfg.model)
    mean, slope = average_change(design, flat_means(posterior, design), given.mean)
    across_fates = np.einsum("lfdgd->ldfg", given.covariance)
    variance = np.einsum("ldfa,ldab,ldfb->ldf", slope, across_fates, slope)
    if given.days is not None and given.days.unseen is not None:
        mean = np.where(given.days.unseen[..., None], np.nan, mean)
        variance = np.where(given.days.unseen[..., None], np.nan, variance)
    return MarginalEffects(mean, np.sqrt(variance))


def average_change(design: DesignMatrix, flat: Array, theta: Array) -> tuple[Array, Array]:
    """Return the average change, (L, D, F), and its derivative in each theta, (L, D, F, F*).

    ``flat``, (size,), gives eta; ``theta``, (L, F*, D), is added to it in cells that do not carry the gene.
    """
    rows = design.rows
    n_fates = rows.n_effects
    logits = design.logits(flat)  # (M, F*)
    mean = np.empty((rows.n_genes, rows.n_days, n_fates + 1))
    slope = np.empty((rows.n_genes, rows.n_days, n_fates + 1, n_fates))
    for day in range(rows.n_days):
        here = np.flatnonzero(rows.day == day)
        carried = design.matrix[here][:, day : design.n_theta : rows.n_days].tocsc()  # (M_d, L)
        day_of = _Day(logits[here], rows.n_cells[here].astype(float))
        step = max(1, ENTRIES_AT_ONCE // max(len(here), 1))
        for start in range(0, rows.n_genes, step):
            genes = slice(start, start + step)
            mean[genes, day], slope[genes, day] = day_of.change(theta[genes, :, day], carried[:, genes])
    return mean, slope


class _Day:
    """The rows of one day, whose exponentials serve all genes: ``exp(eta + theta) = exp(eta) exp(theta)``."""

    def __init__(self, logits: Array, cells: Array) -> None:
        self.raised, self.reference, _ = exponentials(logits)  # (M_d, F*), (M_d,)
        self.cells = cells

    def change(self, theta: Array, carried: NDArray[np.float64]) -> tuple[Array, Array]:
        """Return mean (l, F) and slope (l, F, F*) of l genes with effects of shape (l, F*)."""
        factor = np.exp(theta)
        total = self._sums(self.raised @ factor.T, factor)
        # what the gene's own cells have put into the sums over all cells
        row, gene = carried.nonzero()
        own = self._sums_of_pairs(row, gene, factor)
        n, before, after, squares = (whole - part for whole, part in zip(total, own, strict=True))
        with np.errstate(invalid="ignore", divide="ignore"):
            left = np.where(n > 0, n, np.nan)
            moved = (after - before) / left[:, None]
            bent = -squares / left[:, None, None]
            bent[:, np.arange(bent.shape[1]), np.arange(bent.shape[1])] += after / left[:, None]
        mean = np.concatenate([-moved.sum(axis=1, keepdims=True), moved], axis=1)
        return mean, np.concatenate([-bent.sum(axis=1, keepdims=True), bent], axis=1)

    def _sums(self, others: Array, factor: Array) -> tuple[Array, Array, Array, Array]:
        """Sum over all rows: cells (l,), pi before and after (l, F*), products of pi after (l, F*, F*)."""
        size, n_fates = factor.shape
        total = self.reference[:, None] + others
        pi = [self.raised[:, f, None] * factor[:, f] / total for f in range(n_fates)]  # each (M_d, l)
        before = self.cells @ (self.raised / (self.reference + self.raised.sum(axis=1))[:, None])
        after = np.stack([self.cells @ each for each in pi], axis=1)
        squares = np.empty((size, n_fates, n_fates))
        for one in range(n_fates):
            for other in range(one, n_fates):
                squares[:, one, other] = squares[:, other, one] = self.cells @ (pi[one] * pi[other])
        return np.full(size, self.cells.sum()), np.tile(before, (size, 1)), after, squares

    def _sums_of_pairs(
        self, row: NDArray[np.integer], gene: NDArray[np.integer], factor: Array
    ) -> tuple[Array, Array, Array, Array]:
        """Sum the same over pairs of a gene and a row that carries it."""
        size = len(factor)
        plain, moved = self.raised[row], self.raised[row] * factor[gene]
        before = plain / (self.reference[row] + plain.sum(axis=1))[:, None]
        after = moved / (self.reference[row] + moved.sum(axis=1))[:, None]
        cells = self.cells[row]

        def add(values: Array) -> Array:
            flat = values.reshape(len(row), prod(values.shape[1:]))  # also without any pair
            sums = np.empty((size, flat.shape[1]))
            for column, each in enumerate(flat.T):
                sums[:, column] = np.bincount(gene, cells * each, minlength=size)
            return sums.reshape(size, *values.shape[1:])

        products = after[:, :, None] * after[:, None, :]
        return add(np.ones(len(row))), add(before), add(after), add(products)


def marginal_table(effects: MarginalEffects, screen: Screen) -> pd.DataFrame:
    """Return ``gene, ame_d*, ame_se_d*`` of the contrast, then ``ame_FATE_d*, ame_se_FATE_d*``."""
    columns = {names.GENE: np.asarray(screen.gene_names, dtype=object)}
    others = [f for f in range(len(screen.fates)) if screen.fates[f] != screen.contrast]
    for fate in (screen.contrast_index + 1, *others):
        infix = "" if screen.fates[fate] == screen.contrast else f"{screen.fates[fate]}_"
        for prefix, values in ((names.AME, effects.mean), (names.AME_SE, effects.se)):
            for day in range(screen.D):
                columns[f"{prefix}{infix}d{day}"] = values[:, day, fate]
    return pd.DataFrame(columns)


def write_marginal(
    screen: Screen, cfg: Config, posterior: Posterior, given: GeneEstimates, paths: RunPaths
) -> None:
    """Write ``marginal_effects.csv``."""
    table = marginal_table(marginal_effects(screen, cfg, posterior, given), screen)
    with atomic_path(paths.marginal_effects) as draft:
        table.to_csv(draft, index=False)
