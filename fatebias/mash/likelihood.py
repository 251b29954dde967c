"""Density of every gene's estimates under every component, and what the posterior needs of the same algebra.

Urbut et al. 2019, doi 10.1038/s41588-018-0268-8, equations 2 and 3: bhat | b ~ N(b, S V S) with S a gene's
standard errors on the diagonal and V the correlation of errors, so that under the component N(0, w^2 U)
bhat ~ N(0, w^2 U + S V S). One singular value decomposition a gene and pattern serves all scales w: with
C C' = V, U = F F' and C^-1 S^-1 F = Q diag(r) P', the covariance of the whitened y = C^-1 S^-1 bhat is
I + w^2 Q diag(r^2) Q', and every density, posterior mean and variance is a sum over directions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fatebias.mash.covariances import Components

Array = NDArray[np.float64]

# Eigenvalues of a pattern below this share of its largest are its null space (equal effects have rank one).
RANK_TOLERANCE = 1e-10


@dataclass(frozen=True)
class Whitened:
    """Estimates in units in which their errors are independent with variance 1.

    Parameters
    ----------
    y
        C^-1 S^-1 bhat, (L, D).
    shat
        Standard errors, (L, D).
    cholesky
        C, lower, (D, D) for one V or (L, D, D) for one a gene.
    log_density_scale
        Log density at zero without any effect, (L,).
    """

    y: Array
    shat: Array
    cholesky: Array
    log_density_scale: Array


@dataclass(frozen=True)
class Directions:
    """One pattern seen in each gene's whitened coordinates; m is the pattern's rank.

    Parameters
    ----------
    signal
        r^2, effect variance by error variance in each direction at scale 1, (L, m).
    z
        Coordinates of y in each direction, (L, m).
    residual
        Squared length of y outside the pattern's span, (L,).
    loadings
        F P, from directions to effects by day, (L, D, m).
    """

    signal: Array
    z: Array
    residual: Array
    loadings: Array


def whiten(bhat: Array, shat: Array, v: Array) -> Whitened:
    """Divide out standard errors and error correlation.

    Parameters
    ----------
    bhat, shat
        Estimates and standard errors, (L, D).
    v
        Error correlation, positive definite, (D, D) or (L, D, D).

    Returns
    -------
    Whitened
        Coordinates in which the errors are standard normal.

    Raises
    ------
    numpy.linalg.LinAlgError
        When `v` is not positive definite.
    """
    cholesky = np.linalg.cholesky(v).astype(np.float64)
    y = np.linalg.solve(cholesky, (bhat / shat)[..., None])[..., 0].astype(np.float64)
    log_det = np.log(np.diagonal(cholesky, axis1=-2, axis2=-1)).sum(axis=-1) + np.log(shat).sum(axis=1)
    scale = -log_det - 0.5 * bhat.shape[1] * math.log(2 * math.pi)
    return Whitened(y, shat, cholesky, scale)


def directions(data: Whitened, u: Array) -> Directions:
    """Decompose one pattern for every gene.

    Parameters
    ----------
    data
        Whitened estimates of L genes over D days.
    u
        Covariance pattern, positive semi-definite, (D, D).

    Returns
    -------
    Directions
        Signal, coordinates and loadings by gene.
    """
    factor = _factor(u)  # (D, m)
    in_error_units = np.linalg.solve(data.cholesky, factor / data.shat[..., None])  # (L, D, m)
    if factor.shape[1] == 1:
        r = np.linalg.norm(in_error_units, axis=1)  # (L, 1)
        q, loadings = in_error_units / r[:, None, :], np.broadcast_to(factor, in_error_units.shape)
    else:
        q, r, p = np.linalg.svd(in_error_units, full_matrices=False)
        loadings = factor @ np.swapaxes(p, 1, 2)
    z = np.einsum("ldm,ld->lm", q, data.y)
    outside = data.y - np.einsum("ldm,lm->ld", q, z)
    return Directions(r**2, z, (outside**2).sum(axis=1), loadings)


def log_likelihoods(data: Whitened, patterns: list[Directions], components: Components) -> Array:
    """Log density of each gene's estimates under each component.

    Parameters
    ----------
    data
        Whitened estimates.
    patterns
        One entry a pattern of `components`, in its order.
    components
        Patterns and scales.

    Returns
    -------
    ndarray
        (L, 1 + scales * patterns), in the order of ``components.names``.
    """
    variances = components.scales**2
    by_pattern = np.empty((len(data.y), len(variances), len(patterns)))
    for k, pattern in enumerate(patterns):
        total = 1 + variances[:, None] * pattern.signal[:, None, :]  # (L, scales, m)
        squares = pattern.residual[:, None] + (pattern.z[:, None, :] ** 2 / total).sum(axis=2)
        by_pattern[:, :, k] = -0.5 * (squares + np.log(total).sum(axis=2))
    null = -0.5 * (data.y**2).sum(axis=1)
    return data.log_density_scale[:, None] + np.column_stack([null, by_pattern.reshape(len(null), -1)])


def moments(pattern: Directions, scale: float) -> tuple[Array, Array]:
    """Posterior mean and variance of the effects given one component.

    Parameters
    ----------
    pattern
        The component's pattern by gene.
    scale
        Its scale w.

    Returns
    -------
    mean, variance : ndarray
        Both (L, D); the variance is exactly zero on days that the pattern leaves at zero.
    """
    shrunken = scale**2 / (1 + scale**2 * pattern.signal)  # (L, m)
    mean = np.einsum("ldm,lm->ld", pattern.loadings, shrunken * np.sqrt(pattern.signal) * pattern.z)
    return mean, np.einsum("ldm,lm->ld", pattern.loadings**2, shrunken)


def _factor(u: Array) -> Array:
    """Give F (D, m) with F F' = U; rows of days without variance are exactly zero."""
    values, vectors = np.linalg.eigh(u)
    kept = values > RANK_TOLERANCE * values[-1]
    return np.asarray(vectors[:, kept] * np.sqrt(values[kept]) * (np.diag(u) > 0)[:, None])
