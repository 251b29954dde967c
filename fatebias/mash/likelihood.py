"""Density of every gene's estimates under every component, and the algebra shared with the posterior.

Urbut et al. 2019, doi 10.1038/s41588-018-0268-8, equations 2 and 3: bhat | b ~ N(b, S V S) with S a gene's
standard errors on the diagonal and V the correlation of errors, so that under the component N(0, w^2 U)
bhat ~ N(0, w^2 U + S V S). One singular value decomposition a gene and pattern serves all scales w: with
C C' = V, U = F F' and C^-1 S^-1 F = Q diag(r) P', the covariance of the whitened y = C^-1 S^-1 bhat is
I + w^2 Q diag(r^2) Q', and every density, posterior mean and variance is a sum over directions.

Where a gene's effects have several normals (`effect_likelihood`), each of these is a row here, M in all, with
its weight in the density; else rows are genes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fatebias.mash.covariances import Components
from fatebias.mash.effect_likelihood import EffectLikelihood, Rows

Array = NDArray[np.float64]

# Eigenvalues of a pattern below this share of its largest are its null space (equal effects have rank one).
RANK_TOLERANCE = 1e-10


@dataclass(frozen=True)
class Whitened:
    """Estimates in units in which their errors are independent with variance 1."""

    y: Array  # (M, D) C^-1 S^-1 bhat
    shat: Array  # (M, D) standard errors
    cholesky: Array  # C, lower, (D, D) for one V or (M, D, D) for one a row
    scale_none: Array  # (M,) log of weight times density at zero, for genes without any effect
    scale_some: Array  # (M,) the same for genes with one
    rows: Rows


@dataclass(frozen=True)
class Directions:
    """One pattern seen in each row's whitened coordinates; m is the pattern's rank."""

    signal: Array  # (M, m) r^2, effect variance by error variance in each direction at scale 1
    z: Array  # (M, m) coordinates of y in each direction
    residual: Array  # (M,) squared length of y outside the pattern's span
    loadings: Array  # (M, D, m) F P, from directions to effects by day


def whiten(bhat: Array, shat: Array, v: Array) -> Whitened:
    """Divide out standard errors and error correlation; `v` must be positive definite."""
    cholesky = np.linalg.cholesky(v).astype(np.float64)
    y = np.linalg.solve(cholesky, (bhat / shat)[..., None])[..., 0].astype(np.float64)
    log_det = np.log(np.diagonal(cholesky, axis1=-2, axis2=-1)).sum(axis=-1) + np.log(shat).sum(axis=1)
    scale = -log_det - 0.5 * bhat.shape[1] * math.log(2 * math.pi)
    return Whitened(y, shat, cholesky, scale, scale, Rows.of(np.ones(len(bhat), dtype=np.intp)))


def whiten_normals(likelihood: EffectLikelihood) -> Whitened:
    """Return the same for a likelihood of several normals a gene."""
    sd = likelihood.sd
    data = whiten(likelihood.mean, sd, likelihood.covariance / (sd[:, :, None] * sd[:, None, :]))
    return replace(
        data,
        scale_none=data.scale_none + likelihood.log_none,
        scale_some=data.scale_some + likelihood.log_some,
        rows=likelihood.rows,
    )


def normal_log_density(likelihood: EffectLikelihood, covariance: Array) -> Array:
    """Return the log density of each row under effects N(0, covariance), (M,); all zeros: no effect.

    For one covariance at one size, where `directions` would be of no further use.
    """
    root = np.linalg.cholesky(likelihood.covariance + covariance)
    apart = np.linalg.solve(root, likelihood.mean[..., None])[..., 0]
    log_det = np.log(np.diagonal(root, axis1=-2, axis2=-1)).sum(axis=-1)
    weight = likelihood.log_some if covariance.any() else likelihood.log_none
    constant = 0.5 * likelihood.mean.shape[1] * math.log(2 * math.pi)
    return np.asarray(weight - log_det - 0.5 * (apart**2).sum(axis=1) - constant)


def directions(data: Whitened, u: Array) -> Directions:
    """Decompose one pattern, (D, D), positive semi-definite, for every row."""
    factor = _factor(u)  # (D, m)
    in_error_units = np.linalg.solve(data.cholesky, factor / data.shat[..., None])  # (M, D, m)
    if factor.shape[1] == 1:
        r = np.linalg.norm(in_error_units, axis=1)  # (M, 1)
        q, loadings = in_error_units / r[:, None, :], np.broadcast_to(factor, in_error_units.shape)
    else:
        q, r, p = np.linalg.svd(in_error_units, full_matrices=False)
        loadings = factor @ np.swapaxes(p, 1, 2)
    z = np.einsum("ldm,ld->lm", q, data.y)
    outside = data.y - np.einsum("ldm,lm->ld", q, z)
    return Directions(r**2, z, (outside**2).sum(axis=1), loadings)


def log_likelihoods(data: Whitened, patterns: list[Directions], components: Components) -> Array:
    """Return log densities by gene, (L, 1 + scales * K), in the order of ``components.names``."""
    null = log_density(data, None, np.zeros(1))  # (M, 1)
    by_pattern = np.stack([log_density(data, each, components.scales) for each in patterns], axis=2)
    return data.rows.log_sum(np.concatenate([null, by_pattern.reshape(len(null), -1)], axis=1))


def log_density(data: Whitened, pattern: Directions | None, scales: Array) -> Array:
    """Return the log density of each row under one pattern at some scales, (M, scales); None: no effect."""
    if pattern is None:
        squares = np.repeat((data.y**2).sum(axis=1)[:, None], len(scales), axis=1)
        return data.scale_none[:, None] - 0.5 * squares
    total = 1 + scales[:, None] ** 2 * pattern.signal[:, None, :]  # (M, scales, m)
    squares = pattern.residual[:, None] + (pattern.z[:, None, :] ** 2 / total).sum(axis=2)
    return data.scale_some[:, None] - 0.5 * (squares + np.log(total).sum(axis=2))


def shrunken(pattern: Directions, scale: float) -> Array:
    """Return the posterior variance along each direction at a scale above zero, (M, m)."""
    return scale**2 / (1 + scale**2 * pattern.signal)


def _factor(u: Array) -> Array:
    """Return F, (D, m), with F F' = U; rows of days without variance are exactly zero."""
    values, vectors = np.linalg.eigh(u)
    kept = values > RANK_TOLERANCE * values[-1]
    return np.asarray(vectors[:, kept] * np.sqrt(values[kept]) * (np.diag(u) > 0)[:, None])
