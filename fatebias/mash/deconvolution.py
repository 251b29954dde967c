"""Covariance patterns learnt from the strongest genes: principal components, then extreme deconvolution.

The data-driven covariances of Urbut et al. 2019, doi 10.1038/s41588-018-0268-8, Methods, equation 5
(the mixture of equation 1 without scales, fitted to the strongest effects), as R's `cov_pca` and `cov_ed`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

Array = NDArray[np.float64]

N_COMPONENTS = 2
TOLERANCE = 1e-6
MAX_STEPS = 100_000
RANK_ONE = ("keep", "mend")


@dataclass(frozen=True)
class Deconvolution:
    """A mixture of centred normals fitted behind noise."""

    weights: Array  # (K,), sum 1
    covariances: Array  # (K, D, D)
    mean_loglik: float  # log-likelihood a gene, less the penalty, before the last step


def data_driven(bhat: Array, shat: Array, v: Array, rank_one: str = "keep") -> dict[str, Array]:
    """Learn ``ED_PCA_1``, ``ED_PCA_2`` and ``ED_tPCA``, (D, D), from genes with strong effects.

    bhat, shat (n, D), n and D at least 2; v (D, D) or (n, D, D). EM keeps the rank of its start, one or two,
    and under a pattern without full rank the days with strong effects decide the signs of all others, so that
    the slightest error of the pattern is a false call. Each pattern is therefore given room: ``keep`` adds
    I / sqrt(n) as mashr does, ``mend`` what `room` says; it leaves out patterns with less than one gene.
    """
    start = principal_components(bhat)
    noise = shat[:, :, None] * v * shat[:, None, :]
    fitted = extreme_deconvolution(bhat, noise, np.stack(list(start.values())))
    learnt = zip(start, fitted.covariances, fitted.weights, strict=True)
    if rank_one == "keep":
        spare = np.eye(bhat.shape[1]) / math.sqrt(len(bhat))
        return {f"ED_{name}": u + spare for name, u, _ in learnt}
    return {f"ED_{name}": u + room(shat, weight) for name, u, weight in learnt if weight * len(bhat) >= 1}


def penalised(bhat: Array, shat: Array, v: Array) -> dict[str, Array]:
    """Learn ``UD_PCA_1``, ``UD_PCA_2`` and ``UD_tPCA``, (D, D), of full rank, arguments as in `data_driven`.

    The ultimate deconvolution of Yang, Carbonetto and Stephens 2024 (the R package udr) with its inverse
    Wishart penalty, of weight D, by the steps of extreme deconvolution, which take each gene's own errors.
    """
    start, n_days = principal_components(bhat), bhat.shape[1]
    size = np.trace(start["tPCA"])
    full_rank = [size * (0.9 * u / np.trace(u) + 0.1 * np.eye(n_days) / n_days) for u in start.values()]
    noise = shat[:, :, None] * v * shat[:, None, :]
    fitted = extreme_deconvolution(bhat, noise, np.stack(full_rank), penalty=n_days)
    return {f"UD_{name}": u for name, u in zip(start, fitted.covariances, strict=True)}


def room(shat: Array, weight: float) -> Array:
    """Return the variance, (D, D), that data hardly tell from none, for a pattern with a share of n genes.

    2 / sqrt(weight sum_j s_jd^-4) on day d, sqrt(2) times the least error of a variance's estimate near zero,
    on which a gene has the Fisher information s^-4 / 2. Where all errors are 1 this is the s2 I with
    s2 = 2 / sqrt(n_k) of mashr's issue 91; in other units it scales with the errors.
    """
    return np.diag(2 / np.sqrt(weight * (shat**-4.0).sum(axis=0)))


def principal_components(bhat: Array) -> dict[str, Array]:
    """Return a rank-one pattern for each principal component, and the covariance of both together.

    `bhat` (n, D) is not centred; the names are ``PCA_1``, ``PCA_2`` and ``tPCA``.
    """
    _, d, directions = np.linalg.svd(bhat, full_matrices=False)
    d, directions = d[:N_COMPONENTS], directions[:N_COMPONENTS]
    patterns = {f"PCA_{i}": np.outer(f, f) for i, f in enumerate(directions, start=1)}
    return {**patterns, "tPCA": (directions.T * d**2) @ directions / len(bhat)}


def extreme_deconvolution(y: Array, noise: Array, start: Array, penalty: float = 0.0) -> Deconvolution:
    """Fit a mixture of centred normals to noisy observations by EM.

    Bovy, Hogg and Roweis 2011, doi 10.1214/10-AOAS439, without projections or regularisation and with means
    fixed at zero. With T = U + noise, an effect of component U given y is N(b, B), b = U T^-1 y and
    B = U - U T^-1 U; the new U is the mean of b b' + B over observations by membership. Ends when a step
    adds no more than `TOLERANCE` to the mean log-likelihood, as R's `extreme_deconvolution` does.
    y (n, D), noise (n, D, D), start (K, D, D), whose rank EM keeps.

    With a `penalty` p, p / 2 (log |U / s2| + s2 tr U^-1) is taken from the log-likelihood for each U, with
    the s2 = D / tr U^-1 that makes it least, as of p genes with effects of variance s2 on every day: it draws
    the eigenvalues of U towards one another, in any unit. The start must have full rank.
    """
    covariances = start.copy()
    weights = np.full(len(start), 1 / len(start))
    before = -math.inf
    for _ in range(MAX_STEPS):
        total = covariances + noise[:, None]  # (n, K, D, D)
        precision = np.linalg.inv(total)
        scaled = np.einsum("nkij,nj->nki", precision, y)
        squares = np.einsum("nki,ni->nk", scaled, y) + np.linalg.slogdet(2 * math.pi * total)[1]
        with np.errstate(divide="ignore"):
            log_joint = np.log(weights) - 0.5 * squares
        log_density = logsumexp(log_joint, axis=1, keepdims=True)
        membership = np.exp(log_joint - log_density)  # (n, K)
        b = np.einsum("kij,nkj->nki", covariances, scaled)
        spread = np.einsum("nk,nki,nkj->kij", membership, b, b)
        shrinkage = covariances @ np.einsum("nk,nkij->kij", membership, precision) @ covariances
        size = membership.sum(axis=0)
        held = size > 0  # a component that lost every observation stays as it is
        level, cost = _penalty(covariances, penalty)
        covariances[held] += (spread - shrinkage)[held] / size[held, None, None]
        if penalty:
            own = (size / (size + penalty))[:, None, None]
            covariances = own * covariances + (1 - own) * level[:, None, None] * np.eye(y.shape[1])
        weights = size / len(y)
        mean_loglik = float(log_density.mean()) - cost / len(y)
        if mean_loglik - before <= TOLERANCE:
            break
        before = mean_loglik
    return Deconvolution(weights, covariances, mean_loglik)


def _penalty(covariances: Array, weight: float) -> tuple[Array, float]:
    """Return s2 of each covariance, (K,), the harmonic mean of its eigenvalues, and the penalty of all."""
    if not weight:
        return np.zeros(len(covariances)), 0.0
    values = np.linalg.eigvalsh(covariances)  # (K, D)
    level = 1 / (1 / values).mean(axis=1)
    # s2 tr U^-1 is D whatever U is.
    return level, 0.5 * weight * float((np.log(values / level[:, None]) + 1).sum())
