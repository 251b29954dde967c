"""What could be called at best: the posterior of effects under the law that a design drew them from.

The oracle is given what mash is given, a gene's estimates and their error covariance, and knows besides which
courses effects take, how many genes have one and how large it is. What it cannot call, no prior could.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from fatebias.config import SimulateConfig
from fatebias.data.simulation.truth import COURSES
from fatebias.mash.effect_likelihood import EffectLikelihood

Array = NDArray[np.float64]

DRAWS = 20_000


@dataclass(frozen=True)
class SignProbabilities:
    """Probabilities that each effect is above and below zero."""

    above: Array  # (L, D)
    below: Array  # (L, D)

    @property
    def lfsr(self) -> Array:
        """Local false sign rate as mash has it, zero effects counted as wrong, (L, D)."""
        return 1 - np.maximum(self.above, self.below)

    @property
    def sign(self) -> Array:
        """The likelier sign, (L, D)."""
        return np.where(self.above >= self.below, 1.0, -1.0)


def oracle(
    betahat: Array,
    covariance: Array,
    simulate: SimulateConfig,
    seed: int = 0,
    likelihood: EffectLikelihood | None = None,
) -> SignProbabilities:
    """Return signs by importance draws: effects from the design's own law, weights N(betahat; b, covariance).

    A gene without any effect has its exact prior probability; draws are of genes with one. They are enough
    for signs, not for moments, where errors are much smaller than the spacing of draws.

    Parameters
    ----------
    betahat
        Estimates, (L, D), logits.
    covariance
        Of their errors, (L, D, D).
    simulate
        The settings that the effects were drawn with.
    seed
        Of the draws.
    likelihood
        In place of the normals, where mash is given several a gene.
    """
    n_genes, n_days = betahat.shape
    null = share_without_effect(simulate, n_days)
    above, below = np.zeros((2, n_genes, n_days))
    if null == 1:
        return SignProbabilities(above, below)
    effects = draw_effects(simulate, DRAWS, n_days, np.random.default_rng([0x04AC1E, seed]))
    up, down = (effects > 0).astype(float), (effects < 0).astype(float)
    prior = np.log([null, *np.full(DRAWS, (1 - null) / DRAWS)])
    candidates = np.concatenate([np.zeros((1, n_days)), effects])
    told = likelihood or EffectLikelihood.normal(betahat, covariance)
    for gene in range(n_genes):
        log_weight = prior + _log_likelihood(told.at([gene]), candidates)
        weight = np.exp(log_weight - log_weight.max())
        weight /= weight.sum()
        above[gene], below[gene] = weight[1:] @ up, weight[1:] @ down
    return SignProbabilities(above, below)


def _log_likelihood(gene: EffectLikelihood, candidates: Array) -> Array:
    """Return the log-likelihood of one gene's effects, (S + 1, D), of which the first are none, (S + 1,)."""
    by_normal = []
    for mean, covariance, none, some in zip(
        gene.mean, gene.covariance, gene.log_none, gene.log_some, strict=True
    ):
        root = np.linalg.cholesky(covariance)
        apart = solve_triangular(root, (mean - candidates).T, lower=True)
        density = some - 0.5 * (apart**2).sum(axis=0) - np.log(np.diag(root)).sum()
        density[0] += none - some
        by_normal.append(density)
    return np.asarray(np.logaddexp.reduce(by_normal))


def share_without_effect(simulate: SimulateConfig, n_days: int) -> float:
    """Return the share of genes that have no effect on any day."""
    if simulate.design == "each_day":
        return float((1 - simulate.active_share) ** n_days)
    return 1 - simulate.active_share if COURSES[simulate.design] else 1.0


def draw_effects(simulate: SimulateConfig, n_draws: int, n_days: int, rng: np.random.Generator) -> Array:
    """Draw effects on the contrast of genes that have one, (S, D), as the simulator does."""
    if simulate.design == "each_day":
        active = rng.random((n_draws, n_days)) < simulate.active_share
        while (none := ~active.any(axis=1)).any():
            active[none] = rng.random((int(none.sum()), n_days)) < simulate.active_share
        return active * _sizes(simulate, (n_draws, n_days), rng)
    courses = COURSES[simulate.design]
    size = _sizes(simulate, (n_draws, 1), rng)
    return size * np.array([courses[i % len(courses)](n_days, rng) for i in range(n_draws)])


def _sizes(simulate: SimulateConfig, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    size = rng.uniform(simulate.effect_min, simulate.effect_max, shape)
    return np.asarray(size * rng.choice([-1.0, 1.0], shape))
