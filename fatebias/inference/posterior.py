"""From draws to means, standard deviations and covariances of effects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fatebias.errors import FitError, some
from fatebias.inference.result import Draws
from fatebias.model.design_matrix import DesignMatrix

Array = NDArray[np.float64]

CHUNK_BYTES = 16e6


class Moments:
    """Mean and covariance over draws that come in chunks (Chan, Golub and LeVeque 1983)."""

    def __init__(self, *, across_last: bool = False) -> None:
        self.across_last = across_last
        self.count = 0
        self.mean: Array = np.zeros(())
        self.scatter: Array = np.zeros(())

    def add(self, draws: Array) -> None:
        """Take in a chunk of draws, (S, ...)."""
        mean = draws.mean(axis=0)
        centred = draws - mean
        scatter = _products(centred, centred) if self.across_last else (centred**2).sum(axis=0)
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
        """Covariance across the last axis, or variance of each entry, with S - 1 in the denominator."""
        return self.scatter / (self.count - 1)

    @property
    def sd(self) -> Array:
        """Standard deviation of each entry."""
        spread = self.covariance
        return np.sqrt(np.diagonal(spread, axis1=-2, axis2=-1) if self.across_last else spread)


def _products(one: NDArray[Any], other: NDArray[Any]) -> NDArray[Any]:
    """Return the sums over draws of the products of last axes, (S, ..., a) and (S, ..., b) to (..., a, b)."""
    first = np.ascontiguousarray(np.moveaxis(one, 0, -1))  # (..., a, S)
    return np.asarray(first @ np.moveaxis(other, 0, -2))


@dataclass(frozen=True)
class Posterior:
    """Means and SDs over draws, in the screen's own order of genes and guides."""

    theta_mean: Array  # (L, F*, D) gene effects, logits against the reference fate
    theta_sd: Array  # (L, F*, D)
    theta_joint: Array  # (L, F*, D, F*, D) their covariance across fates and days
    theta_flip: Array | None  # (L, F, F) probability of opposite signs on two days, as `GeneEstimates.flip`
    beta_mean: Array  # (G, F*, D) effects of single guides, theta + delta
    beta_sd: Array  # (G, F*, D)
    shared_mean: Array  # (Q, F*) alpha by day, b by replicate, gamma, covariates
    shared_sd: Array  # (Q, F*)
    scales_mean: Array  # (F*, D + 1) tau, each sigma_time, sigma_guide
    scales_sd: Array  # (F*, D + 1)
    n_draws: int  # S


def posterior_moments(
    draw: Callable[[int], Draws], n_draws: int, guide_gene: NDArray[np.integer], *, flips: bool = True
) -> Posterior:
    """Return the moments of S draws, made in chunks of bounded memory.

    ``flips=False`` leaves out the probabilities of a change of sign.
    Raises FitError when a mean is not finite or an SD not a finite number above zero.
    """
    theta, beta, shared, scales = Moments(across_last=True), Moments(), Moments(), Moments()
    flipped: Array = np.zeros(())
    chunk = 1  # the first draw shows how large one is
    done = 0
    while done < n_draws:
        draws = draw(min(chunk, n_draws - done))
        done += len(draws.theta)
        theta.add(draws.theta.reshape(*draws.theta.shape[:2], -1))
        if flips:
            flipped = flipped + sign_changes(draws.theta)
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
        theta_flip=flipped.max(axis=(3, 4)) / n_draws if flips else None,
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


def flat_means(posterior: Posterior, design: DesignMatrix) -> Array:
    """Return posterior means of all effects in the flat order of a design, (size,)."""
    flat = np.empty(design.size)
    flat[design.theta_index] = posterior.theta_mean
    delta = posterior.beta_mean[..., 0] - posterior.theta_mean[design.rows.guide_gene, :, 0]
    flat[design.delta_index] = delta
    flat[design.shared_index] = posterior.shared_mean
    return flat


def _check(posterior: Posterior) -> None:
    bad = ~(np.isfinite(posterior.theta_mean) & np.isfinite(posterior.theta_sd) & (posterior.theta_sd > 0))
    if bad.any():
        raise FitError(
            "the posterior has means that are not finite or standard deviations that are not above zero",
            where=f"theta of genes number {some(np.flatnonzero(bad.any(axis=(1, 2))).tolist())}",
            fix="look at the loss trace; try priors=tight, or inference=laplace",
        )


def sign_changes(theta: Array) -> Array:
    """Return in how many draws of theta, (S, L, F*, D), fate a against fate b has opposite signs on two days.

    Shape (L, F, F, D, D), the reference first.
    """
    fates = np.concatenate([np.zeros_like(theta[:, :, :1]), theta], axis=2)  # (S, L, F, D)
    n_genes, n_fates, n_days = fates.shape[1:]
    count = np.zeros((n_genes, n_fates, n_fates, n_days, n_days))
    for a in range(fates.shape[2]):
        for b in range(a):
            apart = fates[:, :, a] - fates[:, :, b]
            changes = _products((apart > 0).astype(np.float32), (apart < 0).astype(np.float32))
            count[:, a, b] = count[:, b, a] = changes + np.swapaxes(changes, 1, 2)
    return count
