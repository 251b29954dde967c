"""How labels scatter around a fitted point: dispersion, scores by cluster, and robust covariances."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse

from fatebias.config import Config, PriorsConfig
from fatebias.data.screen import Screen
from fatebias.inference.curvature import Curvature
from fatebias.inference.laplace import InitialValues, LaplaceFit, fit_laplace
from fatebias.model.design_matrix import DesignMatrix, cell_design_of
from fatebias.model.regression import SoftRegression, add_sparse

Array = NDArray[np.float64]

FEWEST_CLUSTERS = 12  # with fewer, sums over clusters say more about chance than about dependence
# Scales under which gene effects are all but free: logits on the first day and from day to day.
BROAD = 5.0
PILOT_GUIDE_SCALE = 0.5
BROAD_ROUNDS = 8  # Newton steps: with scales held, five or six reach the mode


def broad_scales(design: DesignMatrix, sigma_guide: Array | float = PILOT_GUIDE_SCALE) -> InitialValues:
    """Return fixed scales that leave gene effects free and guides around their gene with SD sigma_guide."""
    rows = design.rows
    precision = np.full((rows.n_effects, rows.n_days + 1), BROAD**-2)
    precision[:, -1] = np.broadcast_to(np.maximum(sigma_guide, 1e-3), rows.n_effects) ** -2.0
    return InitialValues(precision, np.ones_like(precision, dtype=bool))


def fit_broad(
    design: DesignMatrix,
    priors: PriorsConfig,
    weight: float,
    sigma_guide: Array | float = PILOT_GUIDE_SCALE,
    mean: Array | None = None,
    max_rounds: int = BROAD_ROUNDS,
) -> LaplaceFit:
    """Return the fit of gene effects by gene and day without the random walk's shrinkage."""
    held = broad_scales(design, sigma_guide)
    start = InitialValues(held.scale_precision, held.held, mean)
    return fit_laplace(design, priors, likelihood_weight=weight, max_rounds=max_rounds, start=start)


@dataclass(frozen=True)
class Sandwich:
    """Cells around a fitted point."""

    design: DesignMatrix  # with a row for each cell
    flat: Array  # (size,) the point
    precision: Any  # of the normal prior given the scales, sparse, (size, size)
    weight: float  # likelihood weight of the fit
    cell_weight: Array  # (N,) mean 1
    cluster: NDArray[np.integer]  # (N,) cells that may share noise have the same number
    curvature: Curvature | None = None  # of the fit, where it is at hand

    @cached_property
    def regression(self) -> SoftRegression:
        """The likelihood at weight 1."""
        return self.design.regression()

    @cached_property
    def pi(self) -> Array:
        """Fitted probabilities of the non-reference fates, (N, F*)."""
        return self.regression.probabilities(self.regression.logits(self.flat))

    @cached_property
    def information(self) -> Array:
        """Negative Hessian at weight 1, (size, size)."""
        return self.regression.information(self.pi)

    @cached_property
    def covariance(self) -> Array:
        """Inverse of the penalised negative Hessian, (size, size)."""
        hessian = add_sparse(self.weight * self.information, self.precision)
        return torch.cholesky_inverse(torch.linalg.cholesky(torch.from_numpy(hessian))).numpy()

    @cached_property
    def by_coefficient(self) -> Array:
        """The part of each coefficient that the labels pay for, (size,): the diagonal of the smoother."""
        if self.curvature is not None:
            return 1 - self.curvature.prior_share()
        return self.weight * np.einsum("ij,ij->i", self.covariance, self.information)

    @property
    def n_effective(self) -> float:
        """Effective number of parameters, the trace of the smoother."""
        return float(self.by_coefficient.sum())

    def spent(self, day: NDArray[np.integer]) -> Array:
        """Return the effective number of parameters that each day's cells pay for, (D,).

        Those of theta belong to their day; the others are shared by all days in proportion to their cells.
        """
        n_days = self.design.rows.n_days
        of_theta = self.by_coefficient[self.design.theta_index].sum(axis=(0, 1))
        others = self.n_effective - of_theta.sum()
        return np.asarray(of_theta + others * np.bincount(day, minlength=n_days) / len(day))

    @property
    def residual_factor(self) -> float:
        """Factor that corrects squared residuals, too small since the fit has followed the noise."""
        total = len(self.cluster) * self.pi.shape[1]
        return total / max(total - self.n_effective, 0.05 * total)

    @cached_property
    def pearson(self) -> Array:
        """Pearson statistic of each cell over its degrees of freedom, (N,)."""
        pi = np.column_stack([1 - self.pi.sum(axis=1), self.pi])
        p = self.regression.p / np.where(self.regression.count > 0, self.regression.count, 1)[:, None]
        return np.asarray(((p - pi) ** 2 / np.maximum(pi, 1e-12)).sum(axis=1) / self.pi.shape[1])

    def dispersion(self, chosen: NDArray[np.bool_] | None = None) -> float:
        """Return the Pearson dispersion of all or some cells; Dirichlet(c pi) labels have 1 / (c + 1)."""
        weight = self.cell_weight if chosen is None else self.cell_weight[chosen]
        pearson = self.pearson if chosen is None else self.pearson[chosen]
        return float(np.average(pearson, weights=weight) * self.residual_factor)

    def dispersions(self, group: NDArray[np.integer]) -> Array:
        """Return the Pearson dispersion of each group of cells, (groups,)."""
        return np.array([self.dispersion(group == g) for g in range(int(group.max()) + 1)])

    def scatter(self, group: NDArray[np.integer]) -> tuple[Array, Array]:
        """Return how labels scatter against what single draws of a fate would, by group and pair of fates.

        The ratio of ``sum (p_f - pi_f) (p_g - pi_g)`` to its expectation ``sum pi_f (1[f=g] - pi_g)`` over
        the cells of a group, (groups, F*, F*); for Dirichlet(c pi) labels 1 / (c + 1) throughout. Second, the
        relative error of its diagonal, (groups, F*), summed within clusters where there are enough.
        """
        pi, weight = self.pi, self.cell_weight
        apart = self.regression.labels / np.where(weight > 0, weight, 1)[:, None] - pi
        n_fates, n_groups = pi.shape[1], int(group.max()) + 1
        ratio, error = np.empty((n_groups, n_fates, n_fates)), np.empty((n_groups, n_fates))
        for f in range(n_fates):
            for g in range(n_fates):
                seen = self.residual_factor * weight * apart[:, f] * apart[:, g]
                expected = weight * self._unit(f, g)
                total = np.bincount(group, expected)
                ratio[:, f, g] = np.bincount(group, seen) / np.where(total == 0, 1, total)
                if f == g:
                    off = seen - ratio[group, f, f] * expected
                    total = np.bincount(group, seen)
                    error[:, f] = np.sqrt(self._squares_of_sums(off, group)) / np.where(total == 0, 1, total)
        return ratio, error

    def _squares_of_sums(self, value: Array, group: NDArray[np.integer]) -> Array:
        """Return the sum over clusters of the squared sum of a cell's value within each, by group."""
        if not self.clustered:
            return np.asarray(np.bincount(group, value**2), dtype=np.float64)
        cell = group.astype(np.int64) * self.n_clusters + self.cluster
        pairs, inverse = np.unique(cell, return_inverse=True)
        sums = np.bincount(inverse.ravel(), value)
        return np.asarray(np.bincount(pairs // self.n_clusters, sums**2), dtype=np.float64)

    @property
    def n_clusters(self) -> int:
        """C."""
        return int(self.cluster.max()) + 1

    @property
    def clustered(self) -> bool:
        """Whether there are enough clusters to estimate dependence from."""
        return self.n_clusters >= FEWEST_CLUSTERS

    @cached_property
    def clusters_behind(self) -> Array:
        """Effective number of clusters with cells of each coefficient, (P,): (sum n)^2 / sum n^2."""
        cells = np.arange(len(self.cluster))
        member = sparse.csr_matrix((np.ones(len(cells)), (self.cluster, cells)))
        count = member @ (self.design.matrix != 0).astype(np.float64)
        total = np.asarray(count.sum(axis=0)).ravel()
        squares = np.asarray(count.multiply(count).sum(axis=0)).ravel()
        return np.asarray(total**2 / np.maximum(squares, 1))

    @property
    def cluster_factor(self) -> float:
        """Small-sample factor of sums over clusters: the intercepts have made many of them small."""
        rows = self.design.rows
        spent = rows.n_days + rows.n_reps - 1 + rows.n_covariates
        return self.n_clusters / max(self.n_clusters - spent, 1)

    def along(self, directions: Array) -> Array:
        """Return scores along directions (size, n) by cluster, (C, n), or by cell where clusters are few.

        At weight 1, small-sample factors included.
        """
        if not self.clustered:
            n_fates = self.pi.shape[1]
            surplus = self.regression.surplus(self.pi)
            parts = directions.reshape(n_fates, -1, directions.shape[1])
            each = sum(surplus[:, f, None] * (self.design.matrix @ parts[f]) for f in range(n_fates))
            return np.asarray(each) * np.sqrt(self.residual_factor)
        scores = self.regression.cluster_scores(self.pi, self.cluster)
        return (scores @ directions) * np.sqrt(self.residual_factor * self.cluster_factor)

    def scores(self) -> sparse.csr_matrix:
        """Return scores at weight 1 by cluster, or by cell where clusters are few, (C or N, size)."""
        return self.regression.scores(self.pi, self.cluster if self.clustered else None)

    def robust(
        self, index: NDArray[np.integer], *, enlarged: Array | None = None, kept: Array | None = None
    ) -> Array:
        """Return sandwich covariances of blocks of coefficients, (L, D, D), at flat places (L, D).

        ``H^-1 (w^2 sum_c s_c s_c' + Q) H^-1``: the labels' part of the score's variance as observed, the
        prior's part as the model has it (Liang and Zeger 1986, doi 10.1093/biomet/73.1.13, with a penalty).
        Clustered where there are enough clusters. The labels' part is multiplied by ``enlarged``, (L, D); of
        the prior's part each coefficient contributes the share ``kept``, (size,).
        """
        columns = np.ascontiguousarray(self.covariance[:, index.ravel()])
        shape = (*index.shape, -1)
        pulled = self.precision @ columns if kept is None else kept[:, None] * (self.precision @ columns)
        blocks = np.einsum("lap,lbp->lab", pulled.T.reshape(shape), columns.T.reshape(shape))
        for gene in range(len(index)):  # the scores of all cells along all genes at once would be large
            width = index.shape[1]
            seen = self.along(columns[:, gene * width : (gene + 1) * width])
            if enlarged is not None:
                seen = seen * np.sqrt(enlarged[gene])
            blocks[gene] += self.weight**2 * (seen.T @ seen)
        return blocks

    def relative_scatter(self, day: NDArray[np.integer]) -> Array:
        """Return the `scatter` of pairs of fates over that of the whole day, (D, F*, F*), none negative."""
        ratio, _ = self.scatter(day)
        values, vectors = np.linalg.eigh(ratio / self.dispersions(day)[:, None, None])
        return np.asarray((vectors * np.maximum(values, 0)[:, None, :]) @ np.swapaxes(vectors, 1, 2))

    def by_fate(self, day: NDArray[np.integer], places: NDArray[np.integer]) -> Array:
        """Return the covariance of some coefficients, the labels' part as pairs of fates scatter on each day.

        Of those at ``places`` (n,), (n, n).

        ``H^-1 (w J + Q) H^-1``. A likelihood weight is one number for all fates, while the labels of one fate
        may be tight and those of another loose: J is the information with each pair of fates multiplied by
        its `relative_scatter`, so that the level remains the weight's. Where fates scatter alike it is H^-1.
        """
        relative = np.moveaxis(self.relative_scatter(day)[day], 0, -1)  # (F*, F*, N)
        labels = self.weight * self.regression.squares(relative * self.regression.bend(self.pi))
        meat = add_sparse(labels, self.precision)
        columns = np.ascontiguousarray(self.covariance[:, places])
        return np.asarray(columns.T @ (meat @ columns))

    def _unit(self, f: int, g: int) -> Array:
        """Return the covariance of the indicators of two fates in a single draw, (N,)."""
        return self.pi[:, f] * ((f == g) - self.pi[:, g])


def linearise(screen: Screen, cfg: Config, fit: LaplaceFit, weight: float) -> Sandwich:
    """Return the cells of a screen around a fit at a likelihood weight."""
    found = linearise_at(screen, cfg, fit.mean, fit.scale_precision, weight)
    return replace(found, curvature=fit.curvature)


def linearise_at(screen: Screen, cfg: Config, flat: Array, scale_precision: Array, weight: float) -> Sandwich:
    """Return the cells of a screen around a point, (size,), under scales ``1 / s^2``, (F*, D + 1)."""
    design = cell_design_of(screen, cfg.model)
    precision = design.prior_precision(cfg.priors, scale_precision)
    return Sandwich(design, flat, precision, weight, screen.weight, screen.cluster)
