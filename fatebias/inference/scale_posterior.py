"""The posterior of the scales, and effects with the scales integrated out.

Under a quadratic likelihood, that of the Laplace solution, the evidence of any scales needs one Cholesky
factor. Along one scale alone it needs none: with the precision ``H + t B B'`` and mode m, t the change of
that scale's prior precision, ``C = H^-1`` and ``A = B' C B`` with eigenvalues a_i,

    log evidence = const + n x / 2 - sum_i log(1 + t a_i) / 2 - t sum_i v_i^2 / (1 + t a_i) / 2

with n the number of effects behind the scale, x the log of its precision and v the coordinates of B'm along
the eigenvectors of A. The product of these profiles proposes points, spread evenly (Sobol); each point's own
evidence over the proposal weighs it, and the effects are drawn from the normals at the points. This is the
numerical integration over hyperparameters of INLA (Rue, Martino and Chopin 2009,
doi 10.1111/j.1467-9868.2008.00700.x, section 3), with importance weights in place of a grid.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import logsumexp
from scipy.stats import qmc

from fatebias.config import PriorsConfig
from fatebias.inference.laplace import LaplaceFit
from fatebias.inference.scales import log_hyperprior
from fatebias.model.design_matrix import DesignMatrix, scale_prior_widths

Array = NDArray[np.float64]

MOST_POINTS, LEAST_POINTS = 64, 16  # powers of two, as Sobol's sequence asks
KEPT_BYTES = 400e6  # as many points as have their factors in this
# In log s around the mode. A scale near zero has a long lower tail, which the prior ends: uniform in s, its
# density in log s falls by e for each unit.
BELOW, ABOVE, STEP = -6.0, 4.0, 0.02


@dataclass(frozen=True)
class ScalePosterior:
    """Scales at J points, and effects drawn from the normal of each."""

    log_scale: Array  # (J, F*, D + 1)
    weight: Array  # (J,) posterior probability of each point, sum 1
    point: NDArray[np.intp]  # (S,) of which point each draw is
    moves: Array  # (S, size) effects less the Laplace mode

    @property
    def points_used(self) -> float:
        """Effective number of points, from 1 to J: ``1 / sum weight^2``."""
        return float(1 / (self.weight**2).sum())

    @property
    def scales(self) -> Array:
        """Of each draw, (S, F*, D + 1)."""
        return np.exp(self.log_scale[self.point])


def integrate_scales(
    design: DesignMatrix,
    laplace: LaplaceFit,
    priors: PriorsConfig,
    weight: float,
    n_draws: int,
    seed: int,
) -> ScalePosterior:
    """Return the posterior of the scales around the Laplace solution, with `n_draws` draws of the effects."""
    quadratic = _Quadratic(design, laplace, priors, weight)
    n_points = MOST_POINTS
    while n_points > LEAST_POINTS and 8 * n_points * design.size**2 > KEPT_BYTES:
        n_points //= 2
    kept = 8 * n_points * design.size**2 <= KEPT_BYTES
    uniform = qmc.Sobol(laplace.scale_precision.size, seed=seed).random(n_points)
    log_scale, log_weight = quadratic.proposed(uniform)
    normals = {}
    for j, each in enumerate(log_scale):
        normal = quadratic.at(each)
        log_weight[j] += normal.log_evidence
        if kept:
            normals[j] = normal
    share = np.exp(log_weight - logsumexp(log_weight))
    # Systematic resampling: each point gets the draws that its weight says, to within one.
    rng = np.random.default_rng(seed)
    point = np.searchsorted(np.cumsum(share) * n_draws, np.arange(n_draws) + rng.random())
    point = rng.permutation(point.clip(max=n_points - 1))  # any part of the draws covers the points
    generator = torch.Generator(laplace.factor.device).manual_seed(seed)
    moves = np.empty((n_draws, design.size))
    for j in np.unique(point):
        mine = np.flatnonzero(point == j)
        normal = normals[j] if kept else quadratic.at(log_scale[j])
        moves[mine] = normal.draw(len(mine), generator)
    return ScalePosterior(log_scale, share, point, moves)


@dataclass(frozen=True)
class _Profile:
    """The posterior of one log scale, the others at their Laplace value."""

    log_scale: Array  # (grid,)
    log_density: Array  # (grid,) highest zero

    def quantiles(self, shares: Array) -> tuple[Array, Array]:
        """Return log scales at shares of the probability, (J,), and the log density there, (J,)."""
        density = np.exp(self.log_density)
        below = np.cumsum(density) - density / 2
        place = np.interp(shares * density.sum(), below, self.log_scale)
        return place, np.interp(place, self.log_scale, self.log_density)


@dataclass(frozen=True)
class _Normal:
    """Effects given the scales."""

    move: torch.Tensor  # (size,) from the Laplace mode to that under these scales
    factor: torch.Tensor  # (size, size) lower Cholesky factor of the precision
    log_evidence: float  # up to a constant

    def draw(self, n_draws: int, generator: torch.Generator) -> Array:
        """Return effects less the Laplace mode, (S, size)."""
        kind: dict[str, Any] = {"dtype": self.factor.dtype, "device": self.factor.device}
        normal = torch.randn(len(self.factor), n_draws, generator=generator, **kind)
        noise = torch.linalg.solve_triangular(self.factor.T, normal, upper=True)
        return (self.move.unsqueeze(1) + noise).T.cpu().numpy()


class _Quadratic:
    """The likelihood as a quadratic around the Laplace mode."""

    def __init__(
        self, design: DesignMatrix, laplace: LaplaceFit, priors: PriorsConfig, weight: float
    ) -> None:
        self.design, self.laplace, self.priors = design, laplace, priors
        self.counts = design.scale_counts()
        self.widths = scale_prior_widths(priors, design.rows.n_days)
        likelihood = design.regression(weight)
        pi = likelihood.probabilities(likelihood.logits(laplace.mean))
        self.gradient = likelihood.gradient(pi)
        self.information = likelihood.information(pi)

    def at(self, log_scale: Array) -> _Normal:
        """Return the effects under scales of shape (F*, D + 1)."""
        prior = self.design.prior_precision(self.priors, np.exp(-2 * log_scale))
        entries = prior.tocoo()
        precision = self.information.copy()
        precision[entries.row, entries.col] += entries.data
        factor = torch.linalg.cholesky(torch.from_numpy(precision).to(self.laplace.factor))
        pull = prior @ self.laplace.mean
        slope = torch.from_numpy(self.gradient - pull).to(factor)
        move = torch.cholesky_solve(slope.unsqueeze(1), factor).squeeze(1)
        height = 0.5 * float(slope @ move) - 0.5 * float(self.laplace.mean @ pull)
        volume = -float((log_scale * self.counts).sum()) - float(factor.diagonal().log().sum())
        return _Normal(move, factor, height + volume + log_hyperprior(-2 * log_scale, self.widths))

    def proposed(self, uniform: Array) -> tuple[Array, Array]:
        """Return log scales, (J, F*, D + 1), and their log proposal density, negative, (J,)."""
        log_scale = np.empty_like(uniform)
        log_weight = np.zeros(len(uniform))
        for k, profile in enumerate(self._profiles()):
            log_scale[:, k], log_density = profile.quantiles(uniform[:, k])
            log_weight -= log_density
        return log_scale.reshape(-1, *self.laplace.scale_precision.shape), log_weight

    def _profiles(self) -> list[_Profile]:
        """Return the profile of each scale, in the order of ``scale_precision`` laid flat."""
        covariance = torch.cholesky_inverse(self.laplace.factor).cpu().numpy()
        theta, delta = self.design.theta_index, self.design.delta_index
        n_days = self.design.rows.n_days
        found = []
        for fate in range(self.design.rows.n_effects):
            for k in range(n_days + 1):
                now = delta[:, fate] if k == n_days else theta[:, fate, k]
                before = theta[:, fate, k - 1] if 0 < k < n_days else None
                found.append(self._profile(fate, k, now, before, covariance))
        return found

    def _profile(
        self, fate: int, k: int, now: NDArray[np.int64], before: NDArray[np.int64] | None, covariance: Array
    ) -> _Profile:
        """Return the profile of one scale, behind effects `now`, or their changes from those `before`."""
        mean, across = self.laplace.mean[now], covariance[np.ix_(now, now)]
        if before is not None:
            between = covariance[np.ix_(now, before)]
            mean = mean - self.laplace.mean[before]
            across = across - between - between.T + covariance[np.ix_(before, before)]
        share, vectors = np.linalg.eigh(across)
        along = (vectors.T @ mean) ** 2
        own = self.laplace.scale_precision[fate, k]
        log_scale = -0.5 * np.log(own) + np.arange(BELOW, ABOVE, STEP)
        more = np.exp(-2 * log_scale) - own  # t
        stretch = np.maximum(1 + more[:, None] * share, 1e-12)  # (grid, n)
        height = -self.counts[k] * log_scale - 0.5 * np.log(stretch).sum(axis=1)
        height -= 0.5 * more * (along / stretch).sum(axis=1)
        height += log_scale - 0.5 * np.exp(2 * log_scale) / self.widths[k] ** 2
        return _Profile(log_scale, height - height.max())
