"""The joint posterior of a gene's effects over days under a fitted prior, whichever engine fitted it.

The engines give means, SDs and lfsr day by day. What looks at several days at once, or at sizes, needs the
mixture itself: for each component N(0, U) of the prior, b | bhat is N(U T^-1 bhat, U - U T^-1 U) with
T = U + S V S, and components are weighed by Bayes' theorem (Urbut et al. 2019, doi 10.1038/s41588-018-0268-8,
equations 2 to 6).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, softmax

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Prior:
    """A fitted mixture of centred normals over the effects of one gene on D days.

    Parameters
    ----------
    weights
        Of the components, (P,), above zero, sum 1.
    covariances
        Of the components, (P, D, D), positive semi-definite; all zeros is the point mass at no effect.
    """

    weights: Array
    covariances: Array

    @property
    def n_days(self) -> int:
        """D."""
        return self.covariances.shape[-1]


@dataclass(frozen=True)
class Mixture:
    """Posterior of L genes on D days, a mixture of P normals for each gene.

    Parameters
    ----------
    membership
        Probability of each component, (L, P).
    mean, covariance
        Of each component, (L, P, D) and (L, P, D, D).
    moving
        Whether a component has effects on a day, (P, D).
    """

    membership: Array
    mean: Array
    covariance: Array
    moving: NDArray[np.bool_]

    def above(self, size: float) -> tuple[Array, Array]:
        """Give the probabilities that an effect lies above `size`, and below ``-size``, each (L, D)."""
        sd = np.sqrt(np.maximum(np.diagonal(self.covariance, axis1=2, axis2=3), 0))
        live = np.broadcast_to(self.moving, sd.shape) & (sd > 0)
        up, down = (
            np.where(live, ndtr(np.divide(sign * self.mean - size, sd, out=np.zeros_like(sd), where=live)), 0)
            for sign in (1, -1)
        )
        return np.einsum("lp,lpd->ld", self.membership, up), np.einsum("lp,lpd->ld", self.membership, down)

    @property
    def nothing(self) -> Array:
        """Probability of no effect on any day, (L,)."""
        return self.membership[:, ~self.moving.any(axis=1)].sum(axis=1)

    def draw(self, n_draws: int, rng: np.random.Generator) -> Array:
        """Draw effects jointly over days.

        Parameters
        ----------
        n_draws
            S.
        rng
            Source of chance.

        Returns
        -------
        ndarray
            (S, L, D); exactly zero where a component has no effect.
        """
        values, vectors = np.linalg.eigh(self.covariance)
        factor = vectors * np.sqrt(np.maximum(values, 0))[..., None, :] * self.moving[:, :, None]
        n_genes, n_days = len(self.membership), self.mean.shape[2]
        edges = np.cumsum(self.membership, axis=1)
        chosen = (rng.random((n_draws, n_genes, 1)) > edges).sum(axis=2).clip(max=edges.shape[1] - 1)
        noise = rng.standard_normal((n_draws, n_genes, n_days))
        gene = np.arange(n_genes)
        return np.asarray(self.mean[gene, chosen] + np.einsum("slde,sle->sld", factor[gene, chosen], noise))


def posterior_mixture(bhat: Array, shat: Array, v: Array, prior: Prior) -> Mixture:
    """Apply Bayes' theorem to every gene.

    Parameters
    ----------
    bhat, shat
        Estimates and standard errors, (L, D).
    v
        Correlation of errors, (D, D) or (L, D, D), positive definite.
    prior
        The fitted mixture.

    Returns
    -------
    Mixture
        Of every gene.
    """
    errors = v * shat[:, :, None] * shat[:, None, :]  # (L, D, D)
    u = prior.covariances
    total = u + errors[:, None]  # (L, P, D, D)
    right = np.concatenate(
        [np.broadcast_to(bhat[:, None, :, None], (*total.shape[:3], 1)), np.broadcast_to(u, total.shape)], 3
    )
    solved = np.linalg.solve(total, right)
    whitened, shrinkage = solved[..., 0], solved[..., 1:]  # T^-1 bhat, T^-1 U
    squares = np.einsum("ld,lpd->lp", bhat, whitened)
    log_density = -0.5 * (squares + np.linalg.slogdet(total)[1])
    return Mixture(
        membership=softmax(np.log(prior.weights) + log_density, axis=1),
        mean=np.einsum("pde,lpe->lpd", u, whitened),
        covariance=u - u @ shrinkage,
        moving=np.diagonal(u, axis1=1, axis2=2) > 0,
    )


@dataclass(frozen=True)
class JointPosterior:
    """Effects of L genes on D days, in blocks of days that are independent of each other given the data.

    Parameters
    ----------
    bhat, shat
        What discovery was given, (L, D).
    v
        Correlation of errors, (D, D) or (L, D, D).
    priors
        One over all days (mash), or one for each day (ash).
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
        """Give the days of each prior."""
        edges = np.cumsum([0, *(prior.n_days for prior in self.priors)])
        return [(slice(edges[i], edges[i + 1]), prior) for i, prior in enumerate(self.priors)]

    def errors_of(self, days: slice, genes: slice = slice(None)) -> Array:
        """Give the correlation of errors within some days, (D', D') or (L', D', D')."""
        within = self.v[..., days, days]
        return within[genes] if within.ndim == 3 else within

    def mixtures(self, genes: slice = slice(None)) -> list[Mixture]:
        """Give the posterior of each block of days for some genes."""
        found = []
        for days, prior in self.blocks():
            v = self.errors_of(days, genes)
            found.append(posterior_mixture(self.bhat[genes, days], self.shat[genes, days], v, prior))
        return found
