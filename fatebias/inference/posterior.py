"""From draws to labelled means, standard deviations and the tables that are exported."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fatebias.errors import FitError, some
from fatebias.inference.result import Draws

Array = NDArray[np.float64]

CHUNK_BYTES = 64e6


class Moments:
    """Mean and covariance over draws that come in chunks (Chan, Golub and LeVeque 1983).

    Parameters
    ----------
    across_last
        Keep the covariance across the last axis instead of the variance of each entry.
    """

    def __init__(self, *, across_last: bool = False) -> None:
        self.across_last = across_last
        self.count = 0
        self.mean: Array = np.zeros(())
        self.scatter: Array = np.zeros(())

    def add(self, draws: Array) -> None:
        """Take in a chunk.

        Parameters
        ----------
        draws
            Shape (S, ...).
        """
        mean = draws.mean(axis=0)
        centred = draws - mean
        if self.across_last:
            scatter = np.einsum("s...a,s...b->...ab", centred, centred)
        else:
            scatter = np.einsum("s...,s...->...", centred, centred)
        if self.count == 0:
            self.count, self.mean, self.scatter = len(draws), mean, scatter
            return
        total = self.count + len(draws)
        shift = mean - self.mean
        between = shift[..., :, None] * shift[..., None, :] if self.across_last else shift**2
        self.scatter = self.scatter + scatter + between * (self.count * len(draws) / total)
        self.mean = self.mean + shift * (len(draws) / total)
        self.count = total

    @property
    def covariance(self) -> Array:
        """Covariance (or variance) with S - 1 in the denominator."""
        return self.scatter / (self.count - 1)

    @property
    def sd(self) -> Array:
        """Standard deviation of each entry."""
        spread = self.covariance
        return np.sqrt(np.diagonal(spread, axis1=-2, axis2=-1) if self.across_last else spread)


@dataclass(frozen=True)
class Posterior:
    """Means and SDs over draws, in the screen's own order of genes and guides.

    Attributes
    ----------
    theta_mean, theta_sd
        Gene effects, shape (L, F*, D), logits against the reference fate.
    theta_joint
        Their covariance across fates and days, shape (L, F*, D, F*, D).
    theta_flip
        Probability that the effect on fate a against fate b has different signs on two days, of the two days
        that make it greatest, shape (L, F, F), the reference first; zero on the diagonal.
    beta_mean, beta_sd
        Effects of single guides, theta + delta, shape (G, F*, D).
    shared_mean, shared_sd
        alpha by day, b by replicate, gamma, shape (Q, F*).
    scales_mean, scales_sd
        tau, each sigma_time, sigma_guide, shape (F*, D + 1).
    n_draws
        S.
    """

    theta_mean: Array
    theta_sd: Array
    theta_joint: Array
    theta_flip: Array
    beta_mean: Array
    beta_sd: Array
    shared_mean: Array
    shared_sd: Array
    scales_mean: Array
    scales_sd: Array
    n_draws: int


def posterior_moments(
    draw: Callable[[int], Draws], n_draws: int, guide_gene: NDArray[np.integer]
) -> Posterior:
    """Draw in chunks of bounded memory and keep the moments.

    Parameters
    ----------
    draw
        Gives S joint draws.
    n_draws
        How many in total.
    guide_gene
        Gene of each guide from 0, shape (G,).

    Returns
    -------
    Posterior
        Means and SDs.

    Raises
    ------
    FitError
        When a mean is not finite or an SD not a finite number above zero.
    """
    theta, beta, shared, scales = Moments(across_last=True), Moments(), Moments(), Moments()
    flips: Array = np.zeros(())
    chunk = 1
    done = 0
    while done < n_draws:
        draws = draw(min(chunk, n_draws - done))
        done += len(draws.theta)
        theta.add(draws.theta.reshape(*draws.theta.shape[:2], -1))
        flips = flips + sign_changes(draws.theta)
        beta.add(draws.theta[:, guide_gene] + draws.delta[..., None])
        shared.add(draws.shared)
        scales.add(draws.scales)
        chunk = max(
            1, int(CHUNK_BYTES / (8 * (2 * draws.theta[0].size + len(guide_gene) * draws.theta[0, 0].size)))
        )
    by_fate = draws.theta.shape[1:]  # (L, F*, D)
    result = Posterior(
        theta_mean=theta.mean.reshape(by_fate),
        theta_sd=theta.sd.reshape(by_fate),
        theta_joint=theta.covariance.reshape(*by_fate, *by_fate[1:]),
        theta_flip=flips.max(axis=(3, 4)) / n_draws,
        beta_mean=beta.mean,
        beta_sd=beta.sd,
        shared_mean=shared.mean,
        shared_sd=shared.sd,
        scales_mean=scales.mean,
        scales_sd=scales.sd,
        n_draws=n_draws,
    )
    _check(result)
    return result


def _check(posterior: Posterior) -> None:
    bad = ~(np.isfinite(posterior.theta_mean) & np.isfinite(posterior.theta_sd) & (posterior.theta_sd > 0))
    if bad.any():
        raise FitError(
            "the posterior has means that are not finite or standard deviations that are not above zero",
            where=f"theta of genes number {some(np.flatnonzero(bad.any(axis=(1, 2))).tolist())}",
            fix="look at the loss trace; try priors=tight, or inference=laplace",
        )


def sign_changes(theta: Array) -> Array:
    """Count draws in which the difference of two fates has opposite signs on two days.

    Parameters
    ----------
    theta
        Draws, shape (S, L, F*, D).

    Returns
    -------
    ndarray
        Shape (L, F, F, D, D), the reference first.
    """
    fates = np.concatenate([np.zeros_like(theta[:, :, :1]), theta], axis=2)  # (S, L, F, D)
    n_genes, n_fates, n_days = fates.shape[1:]
    count = np.zeros((n_genes, n_fates, n_fates, n_days, n_days))
    for a in range(fates.shape[2]):
        for b in range(a):
            apart = fates[:, :, a] - fates[:, :, b]
            up, down = (apart > 0).astype(np.float32), (apart < 0).astype(np.float32)
            changes = np.einsum("sld,sle->lde", up, down)
            count[:, a, b] = count[:, b, a] = changes + np.swapaxes(changes, 1, 2)
    return count
