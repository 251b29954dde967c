"""Functional adaptive shrinkage (FASH): Gaussian processes over time, and its careful weight of the null.

Zhang, Carbonetto and Stephens 2026, "Empirical Bayes shrinkage of functional effects, with application to
analysis of dynamic eQTLs", arXiv 2602.03077, as their R package fashr computes it. The effect of a unit over
time is a polynomial of degree p - 1 with free coefficients and an integrated Wiener process of order p, whose
size has a grid. The null is a process of size zero: an effect that is constant (p = 1) or linear (p = 2).
The null of mash is no effect at all; `smooth_patterns` are the same processes for that one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from fatebias.mash.joint import JointPosterior, Mixture, Prior
from fatebias.mash.mixture import penalised_weights

Array = NDArray[np.float64]

# Variance of the process over that of the constant, per unit of time.
RATIOS = (1 / 16, 1 / 4, 1.0, 4.0)
# fashr: `grid = seq(0, 1, length.out = 25)`, predictive SDs one unit of time ahead.
PREDICTIVE_SD = np.linspace(0, 1, 25)
# Logits; fashr has 1000. Free either way, and a common factor of all components drops out.
FREE_SD = 10.0
NEGLIGIBLE = 1e-10  # weight of a component that is left out


def wiener(times: Array, order: int) -> Array:
    """Return the covariance of an integrated Wiener process that begins at zero on the first day, (D, D).

    The integral of (s - u)^(p-1) (t - u)^(p-1) / (p-1)!^2 over u up to min(s, t): min(s, t) for order 1,
    min^2 (3 max - min) / 6 for order 2.
    """
    since = times - times[0]
    first, second = np.minimum.outer(since, since), np.maximum.outer(since, since)
    if order == 1:
        return np.asarray(first)
    if order == 2:
        return np.asarray(first**2 * (3 * second - first) / 6)
    raise ValueError(f"order {order}: 1 or 2")


def smooth_patterns(times: Array) -> dict[str, Array]:
    """Return FASH's processes as patterns for mash, (D, D) each: equal effects with smooth departures.

    ``iwp1_2``: equal on all days plus a Wiener process (order 1) with the second of `RATIOS`; ``iwp1_0``: the
    process alone, without an effect on the first day. Where a process is large its constant is in effect
    free, as in FASH; the scales of mash take the place of the grid of sizes.
    """
    n_days = len(times)
    patterns = {"equal_effects": np.ones((n_days, n_days))}
    for order in (1, 2):
        process = wiener(times, order)
        patterns[f"iwp{order}_0"] = process
        for i, ratio in enumerate(RATIOS, start=1):
            patterns[f"iwp{order}_{i}"] = 1 + ratio * process
    return patterns


def fash_components(times: Array, order: int) -> Array:
    """Return FASH's components, (P, D, D): a free polynomial, and the process with each size, zero first."""
    since = times - times[0]
    polynomial = np.stack([since**power for power in range(order)])
    # A predictive SD one unit ahead is the process's own SD times this.
    ahead = {1: 1.0, 2: 1 / np.sqrt(3.0)}[order]
    size = (PREDICTIVE_SD / ahead) ** 2
    return FREE_SD**2 * polynomial.T @ polynomial + size[:, None, None] * wiener(times, order)


@dataclass(frozen=True)
class Estimates:
    """One table as mash is given it, L genes on D days."""

    bhat: Array  # (L, D)
    shat: Array  # (L, D)
    v: Array  # (D, D) or (L, D, D)

    @property
    def covariance(self) -> Array:
        """Of the errors, (L, D, D)."""
        return np.asarray(self.shat[:, :, None] * self.v * self.shat[:, None, :])

    def log_likelihoods(self, components: Array) -> Array:
        """Return the log density of each gene under each component (P, D, D), (L, P)."""
        root = np.linalg.cholesky(self.covariance[:, None] + components)
        z = np.linalg.solve(root, np.broadcast_to(self.bhat[:, None, :, None], (*root.shape[:3], 1)))[..., 0]
        log_det = np.log(np.diagonal(root, axis1=2, axis2=3)).sum(axis=2)
        return np.asarray(-0.5 * (z**2).sum(axis=2) - log_det - 0.5 * z.shape[2] * np.log(2 * np.pi))

    def posterior(self, components: Array, weights: Array) -> Mixture:
        """Apply Bayes' theorem under a prior with these components, (P, D, D), and weights, (P,)."""
        kept = weights > NEGLIGIBLE
        prior = Prior.of(weights[kept] / weights[kept].sum(), components[kept])
        [mixture] = JointPosterior(self.bhat, self.shat, self.v, (prior,)).mixtures()
        return mixture


def adjusted_weights(log_lik: Array) -> Array:
    """Return FASH's weights, (P,): those of largest likelihood, with a careful one for the null, component 0.

    Under the null a Bayes factor has mean 1, so the genes with the smallest Bayes factors are taken for null
    until their mean reaches 1 (section "prior adjustment" of the paper; fashr's ``BF_update``). The share of
    the null is then at least what it is, if the alternative is right; the others keep their proportions.
    """
    fitted = penalised_weights(log_lik, 1.0)
    rest = fitted[1:].sum()
    if rest == 0:
        return fitted
    others = fitted[1:] / rest
    with np.errstate(divide="ignore", over="ignore"):
        factor = np.exp(logsumexp(log_lik[:, 1:] + np.log(others), axis=1) - log_lik[:, 0])
    mean = np.sort(factor).cumsum() / np.arange(1, len(factor) + 1)
    reached = np.flatnonzero(mean >= 1)
    null = (reached[0] + 1) / len(factor) if len(reached) else 1.0
    return np.concatenate([[null], (1 - null) * others])
