"""The posterior of each gene's effects jointly over days under a fitted mixture.

Under a component N(0, w^2 U), b | bhat is normal with mean w^2 U T^-1 bhat and covariance
w^2 U - w^2 U T^-1 w^2 U, T = w^2 U + S V S, and Bayes' theorem weighs the components (Urbut et al. 2019,
doi 10.1038/s41588-018-0268-8, equations 2 to 6). `likelihood` has both without a difference of large numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from fatebias.mash.effect_likelihood import EffectLikelihood
from fatebias.mash.likelihood import (
    Directions,
    Whitened,
    directions,
    log_density,
    shrunken,
    whiten,
    whiten_normals,
)
from fatebias.mash.posterior import Mixture

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Prior:
    """A mixture of P centred normals over the effects of one gene on D days.

    Attributes
    ----------
    weights
        pi, (P,), above zero, sum 1.
    patterns
        U, (K, D, D), positive semi-definite.
    pattern
        Which pattern each component has, (P,).
    scales
        w of each component, (P,); 0 is the point mass at no effect.

    Examples
    --------
    >>> import numpy as np
    >>> prior = Prior.of(np.array([0.9, 0.1]), np.array([np.zeros((2, 2)), 4 * np.ones((2, 2))]))
    >>> prior.scales
    array([0., 2.])
    """

    weights: Array
    patterns: Array
    pattern: NDArray[np.intp]
    scales: Array

    @classmethod
    def of(cls, weights: Array, covariances: Array) -> Prior:
        """Return the mixture of normals with these weights, (P,), and covariances, (P, D, D)."""
        size = np.diagonal(covariances, axis1=1, axis2=2).max(axis=1)  # (P,)
        unit = covariances / np.where(size > 0, size, 1)[:, None, None]
        # Rounded, so that one pattern at many scales is one pattern.
        _, first, pattern = np.unique(unit.round(12), axis=0, return_index=True, return_inverse=True)
        return cls(weights, unit[first], pattern.ravel(), np.sqrt(size))

    @property
    def n_days(self) -> int:
        """D."""
        return self.patterns.shape[-1]

    @property
    def covariances(self) -> Array:
        """Of the components, (P, D, D); all zeros is the point mass at no effect."""
        return self.scales[:, None, None] ** 2 * self.patterns[self.pattern]

    def through(self, view: Array) -> Prior:
        """Return the mixture over weighted sums of the effects, view (D', D); equal components become one."""
        covariances = view @ self.covariances @ view.T
        _, first, same = np.unique(covariances.round(12), axis=0, return_index=True, return_inverse=True)
        weights = np.bincount(same.ravel(), self.weights).astype(np.float64)
        return Prior.of(weights, covariances[first])


def posterior_mixture(bhat: Array, shat: Array, v: Array, prior: Prior) -> Mixture:
    """Apply Bayes' theorem to every gene; bhat and shat (L, D), v (D, D) or (L, D, D)."""
    return _posterior(whiten(bhat, shat, v), prior)


def _posterior(data: Whitened, prior: Prior) -> Mixture:
    used = np.unique(prior.pattern[prior.scales > 0])
    return mixture_of(data, {k: directions(data, prior.patterns[k]) for k in used}, prior)


def mixture_of(data: Whitened, seen: dict[int, Directions], prior: Prior) -> Mixture:
    """Apply Bayes' theorem where the patterns are decomposed already, by their index in `prior`."""
    n_rows, n_days = data.y.shape
    # Components lead, so that each one's figures are written in one piece.
    mean, variance = np.zeros((2, len(prior.weights), n_rows, n_days))
    density = np.empty((len(prior.weights), n_rows)).T
    nothing = np.zeros((n_rows, n_days, 0)), np.zeros((n_rows, 0))
    factors = []
    for p, (k, scale) in enumerate(zip(prior.pattern, prior.scales, strict=True)):
        pattern = seen[k] if scale > 0 else None
        density[:, p] = log_density(data, pattern, prior.scales[[p]])[:, 0]
        if pattern is None:
            factors.append(nothing)
            continue
        along = shrunken(pattern, float(scale))  # (M, m)
        mean[p] = np.einsum("ldm,lm->ld", pattern.loadings, along * np.sqrt(pattern.signal) * pattern.z)
        variance[p] = np.einsum("ldm,lm->ld", pattern.loadings**2, along)
        factors.append((pattern.loadings, along))
    log_joint = np.log(prior.weights) + density
    evidence = data.rows.log_sum(logsumexp(log_joint, axis=1))  # (L,)
    return Mixture(
        log_membership=log_joint - evidence[data.rows.gene][:, None],
        mean=np.swapaxes(mean, 0, 1),
        variance=np.swapaxes(variance, 0, 1),
        moving=np.diagonal(prior.covariances, axis1=1, axis2=2) > 0,
        factors=tuple(factors),
        rows=data.rows,
    )


@dataclass(frozen=True)
class Exact:
    """What a posterior comes from where one normal a gene, or the effects of one contrast, are not all."""

    likelihood: EffectLikelihood  # of E effects
    prior: Prior  # of the same
    view: Array | None = None  # (D, E) from these effects to those reported; None where they are the same

    @cached_property
    def posterior(self) -> Mixture:
        """The posterior of all genes."""
        found = _posterior(whiten_normals(self.likelihood), self.prior)
        return found if self.view is None else found.through(self.view)


@dataclass(frozen=True)
class JointPosterior:
    """Posterior of L genes on D days, in blocks of days that are independent given the data.

    Attributes
    ----------
    bhat, shat
        Estimates and standard errors, (L, D).
    v
        Correlation of errors, (D, D) or (L, D, D).
    priors
        One over all days (mash), or one for each day (ash).
    exact
        Where the above only summarise what the data say, all of it; else None.

    Examples
    --------
    >>> import numpy as np
    >>> prior = Prior.of(np.array([0.5, 0.5]), np.array([np.zeros((2, 2)), np.ones((2, 2))]))
    >>> joint = JointPosterior(np.array([[0.9, 1.1]]), np.full((1, 2), 0.3), np.eye(2), (prior,))
    >>> [mixture] = joint.mixtures()
    >>> mixture.draw(1000, np.random.default_rng(0)).shape  # (S, L, D)
    (1000, 1, 2)
    """

    bhat: Array
    shat: Array
    v: Array
    priors: tuple[Prior, ...]
    exact: Exact | None = None

    @property
    def n_days(self) -> int:
        """D."""
        return self.bhat.shape[1]

    def blocks(self) -> Sequence[tuple[slice, Prior]]:
        """Return the days of each prior, with the prior."""
        edges = np.cumsum([0, *(prior.n_days for prior in self.priors)])
        return [(slice(edges[i], edges[i + 1]), prior) for i, prior in enumerate(self.priors)]

    def errors_of(self, days: slice, genes: slice = slice(None)) -> Array:
        """Return the correlation of errors within some days, (D', D') or (L', D', D')."""
        within = self.v[..., days, days]
        return within[genes] if within.ndim == 3 else within

    @cached_property
    def log_lfsr(self) -> Array:
        """Log of the local false sign rate of every effect, (L, D)."""
        return np.column_stack([mixture.log_lfsr for mixture in self.mixtures()])

    def mixtures(self, genes: slice = slice(None)) -> list[Mixture]:
        """Return the posterior of each block of days for some genes."""
        if self.exact is not None:
            return [self.exact.posterior.at(genes)]
        found = []
        for days, prior in self.blocks():
            v = self.errors_of(days, genes)
            found.append(posterior_mixture(self.bhat[genes, days], self.shat[genes, days], v, prior))
        return found

    def under(self, other: JointPosterior) -> JointPosterior:
        """Return the posterior with the mixtures that were fitted to another screen of the same kind."""
        if self.exact is None or other.exact is None:
            return replace(self, priors=other.priors)
        exact = replace(self.exact, prior=other.exact.prior)
        return replace(self, priors=other.priors, exact=exact)
