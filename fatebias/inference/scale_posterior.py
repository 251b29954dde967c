"""The posterior of the scales, and effects with the scales integrated out.

Under a quadratic likelihood, that of the Laplace solution, the evidence of any scales needs one Cholesky
factor. Along one scale alone it needs none: with the precision ``H + t B B'`` and mode m, t the change of
that scale's prior precision, ``C = H^-1`` and ``A = B' C B`` with eigenvalues a_i,

    log evidence = const + n x / 2 - sum_i log(1 + t a_i) / 2 - t sum_i v_i^2 / (1 + t a_i) / 2

with n the number of effects behind the scale, x the log of its precision and v the coordinates of B'm along
the eigenvectors of A. These profiles, joined by a Gaussian copula with the evidence's mixed second
derivatives at the mode, propose points, spread evenly (Sobol); each point's own evidence over the proposal
weighs it, and the effects are drawn from the normals at the points. This is the numerical integration over
hyperparameters of INLA (Rue, Martino and Chopin 2009, doi 10.1111/j.1467-9868.2008.00700.x, section 3), with
importance weights in place of a grid.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import logsumexp, ndtr, ndtri
from scipy.stats import qmc

from fatebias.config import PriorsConfig
from fatebias.inference.laplace import LaplaceFit
from fatebias.inference.scales import log_hyperprior
from fatebias.model.design_matrix import DesignMatrix, scale_prior_widths

Array = NDArray[np.float64]

MOST_POINTS, LEAST_POINTS = 64, 16  # powers of two, as Sobol's sequence asks
DRAWS_A_POINT = 16  # few draws are no better for many points
KEPT_BYTES = 400e6  # as many points as have their factors in this
# In log s around the mode. A scale near zero has a long lower tail, which the prior ends: uniform in s, its
# density in log s falls by e for each unit.
BELOW, ABOVE, STEP = -6.0, 4.0, 0.02
LEAST_CURVATURE = 0.3  # of normal scores jointly: where the mode's curvature says less, it misleads


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
    bytes_a_point = 8 * design.size**2
    while n_points > LEAST_POINTS and (
        n_points * bytes_a_point > KEPT_BYTES or n_points * DRAWS_A_POINT > n_draws
    ):
        n_points //= 2
    kept = n_points * bytes_a_point <= KEPT_BYTES
    uniform = qmc.Sobol(laplace.scale_precision.size, seed=seed).random(n_points)
    log_scale, log_density = quadratic.proposal().at(uniform)
    log_weight = -log_density
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
    log_density: Array  # (grid,) of the log scale, integral 1
    below: Array  # (grid,) probability below

    @classmethod
    def of(cls, log_scale: Array, height: Array) -> _Profile:
        """Return the profile from its log density up to a constant."""
        density = np.exp(height - height.max())
        total = density.sum()
        return cls(
            log_scale,
            height - height.max() - np.log(total * (log_scale[1] - log_scale[0])),
            (np.cumsum(density) - density / 2) / total,
        )

    def at(self, z: Array) -> tuple[Array, Array]:
        """Return log scales at the probabilities of normal scores, (J,), and the log density there."""
        place = np.interp(ndtr(z), self.below, self.log_scale)
        return place, np.interp(place, self.log_scale, self.log_density)

    def slope(self, log_scale: float) -> float:
        """Return the derivative of the log scale in its normal score."""
        z = ndtri(np.interp(log_scale, self.log_scale, self.below))
        return float(np.exp(_log_normal(z) - np.interp(log_scale, self.log_scale, self.log_density)))


@dataclass(frozen=True)
class _Proposal:
    """Profiles joined by a Gaussian copula."""

    profiles: list[_Profile]
    root: Array  # (scales, scales) Cholesky factor of the covariance of their normal scores
    shape: tuple[int, ...]  # (F*, D + 1)

    def at(self, uniform: Array) -> tuple[Array, Array]:
        """Return log scales, (J, F*, D + 1), and their log density, (J,), at points of the unit cube."""
        normal = ndtri(uniform.clip(1e-9, 1 - 1e-9))
        z = normal @ self.root.T  # (J, scales)
        log_density = (_log_normal(normal) - _log_normal(z)).sum(axis=1) - np.log(self.root.diagonal()).sum()
        log_scale = np.empty_like(z)
        for k, profile in enumerate(self.profiles):
            log_scale[:, k], own = profile.at(z[:, k])
            log_density += own
        return log_scale.reshape(-1, *self.shape), log_density


def _log_normal(z: Array) -> Array:
    return -0.5 * z**2 - 0.5 * np.log(2 * np.pi)


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


@dataclass(frozen=True)
class _Effects:
    """The effects behind one scale, or their changes from one day to the next."""

    now: NDArray[np.int64]  # (n,) flat places
    before: NDArray[np.int64] | None  # (n,) of the day before
    precision: float  # 1 / s^2 of the Laplace solution
    count: float  # n
    width: float  # of the scale's HalfNormal prior


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

    @cached_property
    def covariance(self) -> Array:
        """C, (size, size), under the scales of the Laplace solution."""
        return torch.cholesky_inverse(self.laplace.factor).cpu().numpy()

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

    def proposal(self) -> _Proposal:
        """Return the proposal of the scales, in the order of ``scale_precision`` laid flat."""
        effects = self._effects()
        profiles = [self._profile(each) for each in effects]
        precision = np.eye(len(effects))
        slopes = [
            profile.slope(-0.5 * np.log(each.precision))
            for profile, each in zip(profiles, effects, strict=True)
        ]
        for j, one in enumerate(effects):
            for k, other in enumerate(effects[:j]):
                mixed = one.precision * other.precision * self._mixed(one, other)
                # in log s, d x = -2 d log s, then in normal scores
                precision[j, k] = precision[k, j] = -4 * mixed * slopes[j] * slopes[k]
        values, vectors = np.linalg.eigh(precision)
        covariance = (vectors / np.maximum(values, LEAST_CURVATURE)) @ vectors.T
        return _Proposal(profiles, np.linalg.cholesky(covariance), self.laplace.scale_precision.shape)

    def _effects(self) -> list[_Effects]:
        """Return the effects behind each scale."""
        theta, delta = self.design.theta_index, self.design.delta_index
        n_days = self.design.rows.n_days
        return [
            _Effects(
                now=delta[:, fate] if k == n_days else theta[:, fate, k],
                before=theta[:, fate, k - 1] if 0 < k < n_days else None,
                precision=float(self.laplace.scale_precision[fate, k]),
                count=float(self.counts[k]),
                width=float(self.widths[k]),
            )
            for fate in range(self.design.rows.n_effects)
            for k in range(n_days + 1)
        ]

    def _mean(self, effects: _Effects) -> Array:
        """B'm, (n,)."""
        mean = self.laplace.mean[effects.now]
        return mean if effects.before is None else mean - self.laplace.mean[effects.before]

    def _covariance(self, one: _Effects, other: _Effects) -> Array:
        """B_one' C B_other, (n, n')."""

        def of(rows: NDArray[np.int64]) -> Array:
            block = self.covariance[np.ix_(rows, other.now)]
            return block if other.before is None else block - self.covariance[np.ix_(rows, other.before)]

        return of(one.now) if one.before is None else of(one.now) - of(one.before)

    def _mixed(self, one: _Effects, other: _Effects) -> float:
        """Return the evidence's mixed derivative in two precisions."""
        between = self._covariance(one, other)
        return float(0.5 * (between**2).sum() + self._mean(one) @ between @ self._mean(other))

    def _profile(self, effects: _Effects) -> _Profile:
        share, vectors = np.linalg.eigh(self._covariance(effects, effects))
        along = (vectors.T @ self._mean(effects)) ** 2
        log_scale = -0.5 * np.log(effects.precision) + np.arange(BELOW, ABOVE, STEP)
        more = np.exp(-2 * log_scale) - effects.precision  # t
        stretch = np.maximum(1 + more[:, None] * share, 1e-12)  # (grid, n)
        height = -effects.count * log_scale - 0.5 * np.log(stretch).sum(axis=1)
        height -= 0.5 * more * (along / stretch).sum(axis=1)
        return _Profile.of(log_scale, height + log_scale - 0.5 * np.exp(2 * log_scale) / effects.width**2)
