"""How labels scatter around a fitted point: dispersion, scores by cluster, and robust covariances."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fatebias.config import Config, PriorsConfig
from fatebias.data.screen import Screen
from fatebias.inference.laplace import InitialValues, LaplaceFit, fit_laplace
from fatebias.model.design_matrix import DesignMatrix, cell_design_of
from fatebias.model.regression import SoftRegression

Array = NDArray[np.float64]

FEWEST_CLUSTERS = 12  # with fewer, sums over clusters say more about chance than about dependence
# Scales under which gene effects are all but free: logits on the first day and from day to day.
BROAD = 5.0
PILOT_GUIDE_SCALE = 0.5


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
) -> LaplaceFit:
    """Return the fit of gene effects by gene and day without the random walk's shrinkage."""
    held = broad_scales(design, sigma_guide)
    start = InitialValues(held.scale_precision, held.held, mean)
    return fit_laplace(design, priors, likelihood_weight=weight, max_rounds=8, start=start)


@dataclass(frozen=True)
class Sandwich:
    """Cells around a fitted point."""

    design: DesignMatrix  # with a row for each cell
    flat: Array  # (size,) the point
    precision: Any  # of the normal prior given the scales, sparse, (size, size)
    weight: float  # likelihood weight of the fit
    cell_weight: Array  # (N,) mean 1
    cluster: NDArray[np.integer]  # (N,) cells that may share noise have the same number

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
        hessian = self.weight * self.information
        entries = self.precision.tocoo()
        hessian[entries.row, entries.col] += entries.data
        return torch.cholesky_inverse(torch.linalg.cholesky(torch.from_numpy(hessian))).numpy()

    @cached_property
    def n_effective(self) -> float:
        """Effective number of parameters, the trace of the smoother."""
        return float(self.weight * np.einsum("ij,ij->", self.covariance, self.information))

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

    @property
    def n_clusters(self) -> int:
        """C."""
        return int(self.cluster.max()) + 1

    @property
    def clustered(self) -> bool:
        """Whether there are enough clusters to estimate dependence from."""
        return self.n_clusters >= FEWEST_CLUSTERS

    @property
    def cluster_factor(self) -> float:
        """Small-sample factor of sums over clusters: the intercepts have made many of them small."""
        spent = self.design.rows.n_days + self.design.rows.n_reps - 1
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

    def robust(self, index: NDArray[np.integer]) -> Array:
        """Return sandwich covariances of blocks of coefficients, (L, D, D), at flat places (L, D).

        ``H^-1 (w^2 sum_c s_c s_c' + Q) H^-1``: the labels' part of the score's variance as observed, the
        prior's part as the model has it (Liang and Zeger 1986, doi 10.1093/biomet/73.1.13, with a penalty).
        Clustered where there are enough clusters.
        """
        columns = np.ascontiguousarray(self.covariance[:, index.ravel()])
        shape = (*index.shape, -1)
        prior = (self.precision @ columns).T.reshape(shape)
        blocks = np.einsum("lap,lbp->lab", prior, columns.T.reshape(shape))
        for gene in range(len(index)):  # the scores of all cells along all genes at once would be large
            width = index.shape[1]
            seen = self.along(columns[:, gene * width : (gene + 1) * width])
            blocks[gene] += self.weight**2 * (seen.T @ seen)
        return blocks


def linearise(screen: Screen, cfg: Config, flat: Array, scale_precision: Array, weight: float) -> Sandwich:
    """Return the cells of a screen around a point, (size,), under scales ``1 / s^2``, (F*, D + 1)."""
    design = cell_design_of(screen, cfg.model)
    precision = design.prior_precision(cfg.priors, scale_precision)
    return Sandwich(design, flat, precision, weight, screen.weight, screen.cluster)
