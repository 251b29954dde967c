"""Where the posterior of the scales is looked for: the profile of each, joined by a Gaussian copula."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from fatebias.config import PriorsConfig
from fatebias.inference.laplace import LaplaceFit
from fatebias.model.design_matrix import DesignMatrix, scale_prior_widths

Array = NDArray[np.float64]

# In log s around the mode. A scale near zero has a long lower tail, which the prior ends: uniform in s, its
# density in log s falls by e for each unit.
BELOW, ABOVE, STEP = -6.0, 4.0, 0.02
LEAST_CURVATURE = 0.3  # of normal scores jointly: where the mode's curvature says less, it misleads


@dataclass(frozen=True)
class Profile:
    """The posterior of one log scale, the others at their Laplace value."""

    log_scale: Array  # (grid,)
    log_density: Array  # (grid,) of the log scale, integral 1
    below: Array  # (grid,) probability below

    @classmethod
    def of(cls, log_scale: Array, height: Array) -> Profile:
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
        return float(np.exp(log_normal(z) - np.interp(log_scale, self.log_scale, self.log_density)))


@dataclass(frozen=True)
class Proposal:
    """Profiles joined by a Gaussian copula."""

    profiles: list[Profile]
    root: Array  # (scales, scales) Cholesky factor of the covariance of their normal scores
    shape: tuple[int, ...]  # (F*, D + 1)
    mean: Array | float = 0.0  # (scales,) of the normal scores

    def scores(self, uniform: Array) -> tuple[Array, Array]:
        """Return standard normals and the normal scores of the scales, (J, scales), at points of the cube."""
        normal = ndtri(uniform.clip(1e-9, 1 - 1e-9))
        return normal, self.mean + normal @ self.root.T

    def moved(self, uniform: Array, log_weight: Array) -> Proposal:
        """Return the proposal with its mean where importance weights, (J,), at these points say it belongs.

        A log weight that is linear in normal scores moves the mean of a normal and nothing else.
        """
        normal, _ = self.scores(uniform)
        design = np.column_stack([np.ones(len(normal)), normal])
        slope = np.linalg.lstsq(design, log_weight, rcond=None)[0][1:]
        return replace(self, mean=self.mean + self.root @ slope)

    def at(self, uniform: Array) -> tuple[Array, Array]:
        """Return log scales, (J, F*, D + 1), and their log density, (J,), at points of the unit cube."""
        normal, z = self.scores(uniform)
        log_density = (log_normal(normal) - log_normal(z)).sum(axis=1) - np.log(self.root.diagonal()).sum()
        log_scale = np.empty_like(z)
        for k, profile in enumerate(self.profiles):
            log_scale[:, k], own = profile.at(z[:, k])
            log_density += own
        return log_scale.reshape(-1, *self.shape), log_density


def log_normal(z: Array) -> Array:
    """Return the standard normal log density."""
    return -0.5 * z**2 - 0.5 * np.log(2 * np.pi)


@dataclass(frozen=True)
class Scale:
    """A scale, and the effects behind it, or their changes from one day to the next."""

    fate: int
    number: int  # 0 tau, 1 to D - 1 sigma_time, D sigma_guide
    precision: float  # 1 / s^2 of the Laplace solution
    count: float  # n
    width: float  # of the scale's HalfNormal prior

    def profile(self, share: Array, along: Array) -> Profile:
        """Return the profile, from eigenvalues a and squares v^2 of `scale_posterior`, (n,) each."""
        log_scale = -0.5 * np.log(self.precision) + np.arange(BELOW, ABOVE, STEP)
        more = np.exp(-2 * log_scale) - self.precision  # t
        stretch = np.maximum(1 + more[:, None] * share, 1e-12)  # (grid, n)
        height = -self.count * log_scale - 0.5 * np.log(stretch).sum(axis=1)
        height -= 0.5 * more * (along / stretch).sum(axis=1)
        return Profile.of(log_scale, height + log_scale - 0.5 * np.exp(2 * log_scale) / self.width**2)


def scales_of(design: DesignMatrix, laplace: LaplaceFit, priors: PriorsConfig) -> list[Scale]:
    """Return the scales in the order of ``scale_precision`` laid flat."""
    counts, widths = design.scale_counts(), scale_prior_widths(priors, design.rows.n_days)
    return [
        Scale(fate, k, float(laplace.scale_precision[fate, k]), float(counts[k]), float(widths[k]))
        for fate in range(design.rows.n_effects)
        for k in range(design.rows.n_days + 1)
    ]


def propose(scales: list[Scale], profiles: list[Profile], mixed: Callable[[int, int], float]) -> Proposal:
    """Return the proposal; ``mixed(j, k)`` is the evidence's mixed derivative in two precisions."""
    precision = np.eye(len(scales))
    slopes = [
        profile.slope(-0.5 * np.log(each.precision)) for profile, each in zip(profiles, scales, strict=True)
    ]
    for j in range(len(scales)):
        for k in range(j):
            both = scales[j].precision * scales[k].precision * mixed(j, k)
            # in log s, d x = -2 d log s, then in normal scores
            precision[j, k] = precision[k, j] = -4 * both * slopes[j] * slopes[k]
    values, vectors = np.linalg.eigh(precision)
    covariance = (vectors / np.maximum(values, LEAST_CURVATURE)) @ vectors.T
    shape = (scales[-1].fate + 1, scales[-1].number + 1)
    return Proposal(profiles, np.linalg.cholesky(covariance), shape)
