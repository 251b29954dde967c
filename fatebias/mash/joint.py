"""The posterior of each gene's effects jointly over days under a fitted mixture.

Under a component N(0, w^2 U), b | bhat is normal with mean w^2 U T^-1 bhat and covariance
w^2 U - w^2 U T^-1 w^2 U, T = w^2 U + S V S, and Bayes' theorem weighs the components (Urbut et al. 2019,
doi 10.1038/s41588-018-0268-8, equations 2 to 6). `likelihood` has both without a difference of large numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr, logsumexp, ndtr

from fatebias.mash.likelihood import Directions, Whitened, directions, log_density, shrunken, whiten

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


@dataclass(frozen=True)
class Mixture:
    """Posterior of L genes on D days, for each gene a mixture of P normals."""

    log_membership: Array  # (L, P) log probability of each component
    mean: Array  # (L, P, D)
    variance: Array  # (L, P, D), exactly zero where a component has no effect
    moving: NDArray[np.bool_]  # (P, D) whether a component has effects on a day
    factors: tuple[tuple[Array, Array], ...]  # by component: loadings (L, D, m), variance along each (L, m)

    @cached_property
    def membership(self) -> Array:
        """Probability of each component, (L, P)."""
        return np.exp(self.log_membership)

    @property
    def covariance(self) -> Array:
        """Of each component, (L, P, D, D)."""
        return np.stack([np.einsum("ldm,lm,lem->lde", f, s, f) for f, s in self.factors], axis=1)

    def mixed(self, by_component: Array) -> Array:
        """Average over components, from (L, P, D) to (L, D)."""
        return np.einsum("lp,lpd->ld", self.membership, by_component)

    def moments(self) -> tuple[Array, Array]:
        """Return the posterior mean and standard deviation, each (L, D)."""
        mean = self.mixed(self.mean)
        # Around the mixture's mean: E[b^2] - E[b]^2 loses every digit where |mean| is far above the SD.
        return mean, np.sqrt(self.mixed(self.variance + (self.mean - mean[:, None]) ** 2))

    def above(self, size: float) -> tuple[Array, Array]:
        """Return the probabilities that an effect lies above `size`, and below ``-size``, each (L, D)."""
        sd = np.sqrt(self.variance)
        live = sd > 0
        up, down = (
            np.where(live, ndtr(np.divide(sign * self.mean - size, sd, out=np.zeros_like(sd), where=live)), 0)
            for sign in (1, -1)
        )
        return self.mixed(up), self.mixed(down)

    @property
    def log_lfsr(self) -> Array:
        """Log of the local false sign rate, (L, D), for effects however sure: the lfsr itself ends at 1e-308.

        The lfsr is min(P(b <= 0), P(b >= 0)); each is a sum over components, in which one without an effect
        on a day counts whole.
        """
        sd = np.sqrt(self.variance)
        live = sd > 0
        t = np.divide(self.mean, sd, out=np.zeros_like(sd), where=live)
        members = self.log_membership[:, :, None]
        sides = [logsumexp(members + np.where(live, log_ndtr(sign * t), 0.0), axis=1) for sign in (1, -1)]
        return np.minimum(np.minimum(*sides), 0.0)

    @property
    def zero(self) -> Array:
        """Probability of no effect on each day, (L, D)."""
        return self.mixed((self.variance == 0).astype(np.float64))

    @property
    def nothing(self) -> Array:
        """Probability of no effect on any day, (L,)."""
        return self.membership[:, ~self.moving.any(axis=1)].sum(axis=1)

    def draw(self, n_draws: int, rng: np.random.Generator) -> Array:
        """Draw effects jointly over days, (S, L, D); exactly zero where a component has no effect."""
        values, vectors = np.linalg.eigh(self.covariance)
        factor = vectors * np.sqrt(np.maximum(values, 0))[..., None, :] * self.moving[:, :, None]
        n_genes, n_days = len(self.membership), self.mean.shape[2]
        edges = np.cumsum(self.membership, axis=1)
        # Rounding may leave the last edge below 1.
        chosen = (rng.random((n_draws, n_genes, 1)) > edges).sum(axis=2).clip(max=edges.shape[1] - 1)
        noise = rng.standard_normal((n_draws, n_genes, n_days))
        gene = np.arange(n_genes)
        return np.asarray(self.mean[gene, chosen] + np.einsum("slde,sle->sld", factor[gene, chosen], noise))


def posterior_mixture(bhat: Array, shat: Array, v: Array, prior: Prior) -> Mixture:
    """Apply Bayes' theorem to every gene; bhat and shat (L, D), v (D, D) or (L, D, D)."""
    data = whiten(bhat, shat, v)
    used = np.unique(prior.pattern[prior.scales > 0])
    return mixture_of(data, {k: directions(data, prior.patterns[k]) for k in used}, prior)


def mixture_of(data: Whitened, seen: dict[int, Directions], prior: Prior) -> Mixture:
    """Apply Bayes' theorem where the patterns are decomposed already, by their index in `prior`."""
    n_genes, n_days = data.y.shape
    # Components lead, so that each one's figures are written in one piece.
    mean, variance = np.zeros((2, len(prior.weights), n_genes, n_days))
    density = np.empty((len(prior.weights), n_genes)).T
    nothing = np.zeros((n_genes, n_days, 0)), np.zeros((n_genes, 0))
    factors = []
    for p, (k, scale) in enumerate(zip(prior.pattern, prior.scales, strict=True)):
        pattern = seen[k] if scale > 0 else None
        density[:, p] = log_density(data, pattern, prior.scales[[p]])[:, 0]
        if pattern is None:
            factors.append(nothing)
            continue
        along = shrunken(pattern, float(scale))  # (L, m)
        mean[p] = np.einsum("ldm,lm->ld", pattern.loadings, along * np.sqrt(pattern.signal) * pattern.z)
        variance[p] = np.einsum("ldm,lm->ld", pattern.loadings**2, along)
        factors.append((pattern.loadings, along))
    log_joint = np.log(prior.weights) + density
    return Mixture(
        log_membership=log_joint - logsumexp(log_joint, axis=1, keepdims=True),
        mean=np.swapaxes(mean, 0, 1),
        variance=np.swapaxes(variance, 0, 1),
        moving=np.diagonal(prior.covariances, axis1=1, axis2=2) > 0,
        factors=tuple(factors),
    )


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
        found = []
        for days, prior in self.blocks():
            v = self.errors_of(days, genes)
            found.append(posterior_mixture(self.bhat[genes, days], self.shat[genes, days], v, prior))
        return found
