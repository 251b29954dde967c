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

Of few effects each point has its own factor (`_Dense`). Of many, a point's precision differs from that of the
Laplace solution in the prior of each gene's block alone, and blocks are nearly independent (`bordered`): one
factor serves all points (`scale_by_gene`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import logsumexp
from scipy.stats import qmc
from torch import Tensor

from fatebias.config import PriorsConfig
from fatebias.inference.by_gene import ByGene
from fatebias.inference.laplace import LaplaceFit
from fatebias.inference.scale_by_gene import QuadraticByGene
from fatebias.inference.scale_proposal import Proposal, Scale, propose
from fatebias.inference.scale_quadratic import Quadratic
from fatebias.model.design_matrix import DesignMatrix
from fatebias.model.regression import add_sparse

Array = NDArray[np.float64]

MOST_POINTS, LEAST_POINTS = 64, 16  # powers of two, as Sobol's sequence asks
DRAWS_A_POINT = 16  # few draws are no better for many points
# The proposal moves where fewer than one point in four counts, and there are four points to a scale.
FEW_POINTS, MOST_MOVES = 4, 2
KEPT_BYTES = 400e6  # as many points as have their factors in this


@dataclass(frozen=True)
class ScalePosterior:
    """Scales at J points, and effects drawn from the normal of each."""

    log_scale: Array  # (J, F*, D + 1)
    weight: Array  # (J,) posterior probability of each point, sum 1
    point: NDArray[np.intp]  # (S,) of which point each draw is
    moves: NDArray[np.float32]  # (S, size) effects less the Laplace mode: the largest array of a fit

    @property
    def points_used(self) -> float:
        """Effective number of points, from 1 to J: ``1 / sum weight^2``."""
        return float(1 / (self.weight**2).sum())


class _Normals(Protocol):
    """The posterior of the effects given scales, under the quadratic likelihood."""

    bytes_a_point: float

    def proposal(self) -> Proposal: ...

    def log_evidence(self, log_scale: Array) -> Array:
        """Return that of scales (J, F*, D + 1), (J,), up to a constant."""
        ...

    def draw(self, j: int, n_draws: int, generator: torch.Generator) -> Array:
        """Return effects less the Laplace mode under the j-th of these scales, (S, size)."""
        ...


def integrate_scales(
    design: DesignMatrix,
    laplace: LaplaceFit,
    priors: PriorsConfig,
    weight: float,
    n_draws: int,
    seed: int,
    *,
    rough: bool = False,
) -> ScalePosterior:
    """Return the posterior of the scales around the Laplace solution, with `n_draws` draws of the effects.

    ``rough`` draws many genes independently, with SDs right to about a percent. Those of shared effects may
    then be far too small: the burden's rests on what it has in common with all genes.
    """
    normals = _normals(design, laplace, priors, weight, rough)
    n_points = MOST_POINTS
    while n_points > LEAST_POINTS and (
        n_points * normals.bytes_a_point > KEPT_BYTES or n_points * DRAWS_A_POINT > n_draws
    ):
        n_points //= 2
    uniform = qmc.Sobol(laplace.scale_precision.size, seed=seed).random(n_points)
    log_scale, share = _weighed(normals, uniform)
    # Systematic resampling: each point gets the draws that its weight says, to within one.
    rng = np.random.default_rng(seed)
    point = np.searchsorted(np.cumsum(share) * n_draws, np.arange(n_draws) + rng.random())
    point = rng.permutation(point.clip(max=n_points - 1))  # any part of the draws covers the points
    generator = torch.Generator(laplace.device).manual_seed(seed)
    moves = np.empty((n_draws, design.size), dtype=np.float32)
    for j in np.unique(point):
        mine = np.flatnonzero(point == j)
        moves[mine] = normals.draw(int(j), len(mine), generator)
    return ScalePosterior(log_scale, share, point, moves)


def _weighed(normals: _Normals, uniform: Array) -> tuple[Array, Array]:
    """Return scales, (J, F*, D + 1), at points of the unit cube, (J, scales), and their weights, sum 1.

    Where few points carry the weight, the proposal moves to where they say it belongs.
    """
    proposal, tried = normals.proposal(), []
    for _ in range(MOST_MOVES + 1):
        log_scale, log_density = proposal.at(uniform)
        log_weight = normals.log_evidence(log_scale) - log_density
        share = np.exp(log_weight - logsumexp(log_weight))
        used = 1 / (share**2).sum()
        if used * FEW_POINTS >= len(uniform) or len(uniform) < FEW_POINTS * uniform.shape[1]:
            return log_scale, share
        tried.append((used, log_scale, share))
        proposal = proposal.moved(uniform, log_weight)
    used, log_scale, share = max(tried, key=lambda each: each[0])
    if used > tried[-1][0]:
        normals.log_evidence(log_scale)  # draws are of the scales weighed last
    return log_scale, share


def _normals(
    design: DesignMatrix, laplace: LaplaceFit, priors: PriorsConfig, weight: float, rough: bool
) -> _Normals:
    if isinstance(laplace.curvature, ByGene):
        return QuadraticByGene(design, laplace, laplace.curvature, priors, weight, rough)
    return _Dense(design, laplace, priors, weight)


class _Dense(Quadratic):
    """A Cholesky factor for each point."""

    def __init__(
        self, design: DesignMatrix, laplace: LaplaceFit, priors: PriorsConfig, weight: float
    ) -> None:
        super().__init__(design, laplace, priors, weight)
        self.information = self.likelihood.information(self.pi)
        self.bytes_a_point = 8.0 * design.size**2
        self._log_scale: Array = np.empty(0)
        self._kept: dict[int, _Normal] = {}

    @cached_property
    def covariance(self) -> Array:
        """C, (size, size), under the scales of the Laplace solution."""
        return torch.cholesky_inverse(self.laplace.factor).cpu().numpy()

    def log_evidence(self, log_scale: Array) -> Array:
        """Return that of scales (J, F*, D + 1), (J,), up to a constant."""
        self._log_scale, self._kept = log_scale, {}
        kept = len(log_scale) * self.bytes_a_point <= KEPT_BYTES
        found = np.empty(len(log_scale))
        for j, each in enumerate(log_scale):
            normal = self.at(each)
            found[j] = normal.log_evidence
            if kept:
                self._kept[j] = normal
        return found

    def draw(self, j: int, n_draws: int, generator: torch.Generator) -> Array:
        """Return effects less the Laplace mode under the j-th of these scales, (S, size)."""
        normal = self._kept[j] if j in self._kept else self.at(self._log_scale[j])
        return normal.draw(n_draws, generator)

    def at(self, log_scale: Array) -> _Normal:
        """Return the effects under scales of shape (F*, D + 1)."""
        prior = self.design.prior_precision(self.priors, np.exp(-2 * log_scale))
        precision = add_sparse(self.information.copy(), prior)
        factor = torch.linalg.cholesky(torch.from_numpy(precision).to(self.laplace.factor))
        pull = prior @ self.laplace.mean
        slope = torch.from_numpy(self.gradient - pull).to(factor)
        move = torch.cholesky_solve(slope.unsqueeze(1), factor).squeeze(1)
        height = 0.5 * float(slope @ move) - 0.5 * float(self.laplace.mean @ pull)
        volume = -float(factor.diagonal().log().sum())
        return _Normal(move, factor, height + volume + self.prior_density(log_scale))

    def proposal(self) -> Proposal:
        """Return the proposal of the scales, in the order of ``scale_precision`` laid flat."""
        profiles = []
        for scale in self.scales:
            share, vectors = np.linalg.eigh(self._covariance(scale, scale))
            profiles.append(scale.profile(share, (vectors.T @ self._mean(scale)) ** 2))
        return propose(self.scales, profiles, self._mixed)

    def _places(self, scale: Scale) -> tuple[NDArray[np.int64], NDArray[np.int64] | None]:
        """Return the flat places of the effects behind a scale, (n,), and those of the day before."""
        theta, n_days = self.design.theta_index, self.design.rows.n_days
        if scale.number == n_days:
            return self.design.delta_index[:, scale.fate], None
        before = theta[:, scale.fate, scale.number - 1] if scale.number else None
        return theta[:, scale.fate, scale.number], before

    def _mean(self, scale: Scale) -> Array:
        """B'm, (n,)."""
        now, before = self._places(scale)
        mean = self.laplace.mean[now]
        return mean if before is None else mean - self.laplace.mean[before]

    def _covariance(self, one: Scale, other: Scale) -> Array:
        """B_one' C B_other, (n, n')."""
        now, before = self._places(other)

        def of(rows: NDArray[np.int64]) -> Array:
            block = self.covariance[np.ix_(rows, now)]
            return block if before is None else block - self.covariance[np.ix_(rows, before)]

        now_one, before_one = self._places(one)
        return of(now_one) if before_one is None else of(now_one) - of(before_one)

    def _mixed(self, j: int, k: int) -> float:
        """Return the evidence's mixed derivative in two precisions."""
        one, other = self.scales[j], self.scales[k]
        between = self._covariance(one, other)
        return float(0.5 * (between**2).sum() + self._mean(one) @ between @ self._mean(other))


@dataclass(frozen=True)
class _Normal:
    """Effects given the scales."""

    move: Tensor  # (size,) from the Laplace mode to that under these scales
    factor: Tensor  # (size, size) lower Cholesky factor of the precision
    log_evidence: float  # up to a constant

    def draw(self, n_draws: int, generator: torch.Generator) -> Array:
        """Return effects less the Laplace mode, (S, size)."""
        kind: dict[str, Any] = {"dtype": self.factor.dtype, "device": self.factor.device}
        normal = torch.randn(len(self.factor), n_draws, generator=generator, **kind)
        noise = torch.linalg.solve_triangular(self.factor.T, normal, upper=True)
        return (self.move.unsqueeze(1) + noise).T.cpu().numpy()
