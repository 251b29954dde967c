"""The posterior of each gene's effects, a mixture of normals, and what is asked of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr, logsumexp, ndtr

from fatebias.mash.effect_likelihood import Rows

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Mixture:
    """Posterior of L genes on D days: for each gene a mixture of its rows' P normals each, M rows in all."""

    log_membership: Array  # (M, P) log probability of each component
    mean: Array  # (M, P, D)
    variance: Array  # (M, P, D), exactly zero where a component has no effect
    moving: NDArray[np.bool_]  # (P, D) whether a component has effects on a day
    factors: tuple[tuple[Array, Array], ...]  # by component: loadings (M, D, m), variance along each (M, m)
    rows: Rows

    @cached_property
    def membership(self) -> Array:
        """Probability of each component, (M, P); those of a gene sum to 1 over its rows and components."""
        return np.exp(self.log_membership)

    @property
    def covariance(self) -> Array:
        """Of each component, (M, P, D, D)."""
        return np.stack([np.einsum("ldm,lm,lem->lde", f, s, f) for f, s in self.factors], axis=1)

    def mixed(self, by_component: Array) -> Array:
        """Average over components, from (M, P, D) to (L, D)."""
        return self.rows.sum(np.einsum("mp,mpd->md", self.membership, by_component))

    def moments(self) -> tuple[Array, Array]:
        """Return the posterior mean and standard deviation, each (L, D)."""
        mean = self.mixed(self.mean)
        # Around the mixture's mean: E[b^2] - E[b]^2 loses every digit where |mean| is far above the SD.
        apart = self.mean - mean[self.rows.gene][:, None]
        return mean, np.sqrt(self.mixed(self.variance + apart**2))

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
        sides = [
            self.rows.log_sum(logsumexp(members + np.where(live, log_ndtr(sign * t), 0.0), axis=1))
            for sign in (1, -1)
        ]
        return np.minimum(np.minimum(*sides), 0.0)

    @property
    def zero(self) -> Array:
        """Probability of no effect on each day, (L, D)."""
        return self.mixed((self.variance == 0).astype(np.float64))

    @property
    def nothing(self) -> Array:
        """Probability of no effect on any day, (L,)."""
        return self.rows.sum(self.membership[:, ~self.moving.any(axis=1)].sum(axis=1))

    def draw(self, n_draws: int, rng: np.random.Generator) -> Array:
        """Draw effects jointly over days, (S, L, D); exactly zero where a component has no effect."""
        n_genes, (_, n_components, n_days) = len(self.rows.first), self.mean.shape
        edges = self.membership.cumsum()  # gene l has those from l to l + 1
        ends = np.append(self.rows.first, self.rows.n_rows) * n_components
        wanted = np.arange(n_genes) + rng.random((n_draws, n_genes))
        # Rounding may put an edge on the wrong side of a whole number.
        place = np.clip(np.searchsorted(edges, wanted), ends[:-1], ends[1:] - 1)  # (S, L)
        row, component = np.divmod(place, n_components)
        noise = rng.standard_normal((n_draws, n_genes, n_days))
        drawn = self.mean[row, component]
        for p, (loadings, variance) in enumerate(self.factors):
            chosen = component == p
            along = np.sqrt(variance[row[chosen]]) * noise[chosen][:, : variance.shape[1]]
            drawn[chosen] += np.einsum("ndm,nm->nd", loadings[row[chosen]], along)
        return drawn

    def at(self, genes: slice) -> Mixture:
        """Return the posterior of some genes."""
        rows = self.rows.of_genes(genes)
        return replace(
            self,
            log_membership=self.log_membership[rows],
            mean=self.mean[rows],
            variance=self.variance[rows],
            factors=tuple((loadings[rows], along[rows]) for loadings, along in self.factors),
            rows=Rows.of(self.rows.counts[genes]),
        )

    def through(self, view: Array) -> Mixture:
        """Return the posterior of weighted sums of the effects, view (D', D)."""
        factors = tuple((view @ loadings, variance) for loadings, variance in self.factors)
        variance = [np.einsum("mdk,mk->md", loadings**2, along) for loadings, along in factors]
        return replace(
            self,
            mean=self.mean @ view.T,
            variance=np.stack(variance, axis=1),
            moving=(self.moving @ np.abs(view.T)) > 0,
            factors=factors,
        )
