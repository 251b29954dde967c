"""Gene effects when guides may be inactive, vary more in some genes than in others, and vary from day to day.

One normal spread of guides for all genes is too large for the many genes without effect and too small for
those with one. It also treats a guide that does not cut, or does not silence, as one more deviation: that
draws the gene's effect towards zero and makes it look certain. Here theta is averaged over guesses about
each gene's guides (`guide_evidence`), in a likelihood from which noise by day has been integrated out
(`day_noise`). Which genes have no effect is left to mash. It is given the guesses themselves: their average
alone would hide an effect behind the few guesses under which it is uncertain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fatebias.estimates.baseline import Baseline
from fatebias.estimates.day_noise import DayNoise, estimate_day_noise, with_day_noise
from fatebias.estimates.estimates import GuideEstimates
from fatebias.estimates.guide_evidence import (
    SPREADS,
    GeneEvidence,
    Shares,
    gained,
    gene_evidence,
    sets_of_active,
    settle_shares,
)
from fatebias.estimates.guide_likelihood import (
    Absorbed,
    GuideLikelihood,
    guide_likelihood,
    same_on_all_days,
    sums_by_gene,
)
from fatebias.estimates.sandwich import BROAD
from fatebias.mash.effect_likelihood import EffectLikelihood, Rows
from fatebias.model.design_matrix import DesignMatrix

Array = NDArray[np.float64]

IDLE = 0.5  # the probability of being inactive from which a guide does not count towards noise by day
SURE = 0.9  # the probability from which the note calls a guide surely inactive
NEGLIGIBLE = 1e-6  # weight of a guess that is left out of the average
# Probability, whatever the size of the effect, up to which a guess is left out of the likelihood for mash.
UNLIKELY = 1e-4
# SD of theta, in logits, by which a day without cells has a likelihood at all; it takes nothing from effects.
FLAT = 100.0
STACKED_BYTES = 64e6  # of genes whose evidence is computed at once


@dataclass(frozen=True)
class GuideMixtureFit:
    """Gene effects averaged over guesses about their guides."""

    mean: Array  # (L, F*, D) theta
    covariance: Array  # (L, F*, D, F*, D)
    guides: GuideEstimates
    spread: Array  # (L,) root mean square SD of active guides around their gene
    share: float  # of inactive guides, among genes with several guides
    noise: DayNoise
    likelihood: EffectLikelihood  # of theta, (F* x D), fate by fate: a normal for each guess that counts

    def notes(self, fates: Sequence[str]) -> tuple[str, ...]:
        """Return what the reader must know; ``fates`` are the F* others than the reference."""
        several = self.guides.inactive[~np.isnan(self.guides.inactive)]
        alone = len(self.guides.inactive) - len(several)
        notes = []
        if alone:
            notes.append(
                f"{alone} of the guides {'is its' if alone == 1 else 'are their'} gene's only one: whether "
                "such a guide is inactive cannot be estimated"
            )
        if len(several):
            low, high = (f"{sd:.2f}" for sd in np.quantile(self.spread, [0.1, 0.9]))
            spread = f"{low} in" if low == high else f"{low} to {high} in"
            notes += [
                f"guides may be inactive: an estimated {self.share:.1%} of {len(several)} are, "
                f"{int((several > SURE).sum())} of them surely",
                f"active guides vary around their gene with SD {spread} logits (10 to 90 % of genes)",
            ]
        return (*notes, self.noise.summary_line(fates))


def fit_guide_mixture(
    design: DesignMatrix, flat: Array, base: Baseline, weight: float, spread: Array
) -> GuideMixtureFit:
    """Return a fit with normal guides, corrected for what guides do.

    ``flat``, (size,), is the mode of a fit with broad scales of theta (`sandwich.fit_broad`), guides not
    centred; ``base`` its effects; ``spread``, (F*,), the SD of its guides. The likelihood is taken as
    quadratic in each guide's effects around the mode, guides as independent of each other given all else.
    What that leaves out (cells with several guides, alpha, b and gamma) is taken from the given fit: mean and
    covariance change by what the mixture differs from normal guides in the same approximation.
    """
    gene, n_genes, n_fates = design.rows.guide_gene, design.rows.n_genes, design.rows.n_effects
    guides = guide_likelihood(design, flat, weight).around(base.level.ravel())
    same = same_on_all_days(n_fates, design.rows.n_days)
    normal_mean, normal = _moments(*sums_by_gene(guides.absorb(same, spread).left, gene, n_genes)[:2])
    several = bool((np.bincount(gene) > 1).any())
    grid = SPREADS[:, None] * np.ones(n_fates) if several else spread[None]
    # A guide that does nothing lacks its gene's course over days, which is not noise.
    working = ~(_Guesses.of(guides, gene, grid, same).inactive() > IDLE)
    noise = estimate_day_noise(guides.at(working), gene[working], n_genes, n_fates)
    found = average_over_guesses(with_day_noise(guides, noise.variance[gene]), gene, grid, same)
    shape = base.covariance.shape
    shift = base.mean.reshape(normal_mean.shape) - normal_mean
    beyond = _positive(base.covariance.reshape(normal.shape) - normal)
    return GuideMixtureFit(
        (found.mean + shift).reshape(base.mean.shape),
        (found.covariance + beyond).reshape(shape),
        GuideEstimates(found.inactive, *(a.reshape(len(gene), *shape[1:3]) for a in found.effects)),
        found.spread,
        found.share,
        noise,
        found.likelihood.moved(shift, beyond),
    )


@dataclass(frozen=True)
class Averaged:
    """Moments over all guesses."""

    mean: Array  # (L, E) theta
    covariance: Array  # (L, E, E)
    inactive: Array  # (G,) probability; NaN for a gene's only guide
    effects: tuple[Array, Array]  # (G, E) mean and SD of each guide's lasting effect, zero where inactive
    spread: Array  # (L,)
    share: float  # of inactive guides
    likelihood: EffectLikelihood  # of theta


def average_over_guesses(
    guides: GuideLikelihood, gene: NDArray[np.int64], spreads: Array, same: Array
) -> Averaged:
    """Average theta over which guides are active and how far they vary, spreads (K, F*), gene by gene."""
    guesses = _Guesses.of(guides, gene, spreads, same)
    n_genes, width, n_fates = int(gene.max()) + 1, *same.shape
    mean, covariance = np.empty((n_genes, width)), np.empty((n_genes, width, width))
    effects, effects_sd = np.empty((len(gene), width)), np.empty((len(gene), width))
    squares = np.empty(n_genes)
    normals = []
    for each, evidence, weights in guesses.by_gene:
        one = each.mixture(weights)
        mean[each.gene], covariance[each.gene] = one.moments()
        effects[each.place], effects_sd[each.place] = one.effects(guesses.absorbed, each.place)
        squares[each.gene] = weights.sum(axis=0) @ (spreads**2).mean(axis=1)
        normals.append(each.normals(evidence, guesses.shares))
    means, covariances, log_none, log_some = (np.concatenate(part) for part in zip(*normals, strict=True))
    rows = Rows.of([len(each[0]) for each in normals])
    # as if fates were independent
    elsewhere = float(guesses.shares.sizes[0] ** ((n_fates - 1) / n_fates))
    likelihood = EffectLikelihood(means, covariances, log_none, log_some, rows, elsewhere)
    return Averaged(
        mean,
        covariance,
        guesses.inactive(),
        (effects, effects_sd),
        np.sqrt(squares),
        guesses.shares.inactive,
        likelihood,
    )


@dataclass(frozen=True)
class _Guesses:
    """The guesses about the guides of all genes, and the shares of each kind of guess among them."""

    absorbed: list[Absorbed]  # by spread
    groups: list[tuple[list[_GeneGuesses], GeneEvidence]]  # genes with equally many guides, evidence stacked
    shares: Shares
    n_guides: int

    @classmethod
    def of(cls, guides: GuideLikelihood, gene: NDArray[np.int64], spreads: Array, same: Array) -> _Guesses:
        # Noise by day, integrated out before, is that of inactive guides, too. Evidence counts from theirs,
        # else a guide that happens to show little of it would be taken for inactive.
        guides = replace(guides, log_factor=np.zeros(len(gene)))
        absorbed = [guides.absorb(same, spread) for spread in spreads]
        by_count: dict[int, list[_GeneGuesses]] = {}
        for g in range(int(gene.max()) + 1):
            each = _GeneGuesses.of(absorbed, g, np.flatnonzero(gene == g))
            by_count.setdefault(len(each.place), []).append(each)
        groups = [(genes, _evidence(genes, same)) for genes in by_count.values()]
        return cls(absorbed, groups, settle_shares([evidence for _, evidence in groups]), len(gene))

    @cached_property
    def by_gene(self) -> list[tuple[_GeneGuesses, GeneEvidence, Array]]:
        """The guesses about each gene in order, their evidence and the weights of sets and spreads."""
        found = []
        for genes, evidence in self.groups:
            weights, _ = self.shares.weigh(evidence)
            for each, restricted, sized, own in zip(
                genes, evidence.restricted, evidence.sized, weights, strict=True
            ):
                found.append((each, GeneEvidence(evidence.sets, restricted, sized), own))
        return sorted(found, key=lambda item: item[0].gene)

    def inactive(self) -> Array:
        """Return the probability of each guide to be inactive, (G,); NaN for a gene's only guide."""
        inactive = np.full(self.n_guides, np.nan)
        for each, _, weights in self.by_gene:
            if len(each.place) > 1:
                inactive[each.place] = np.clip(1 - weights.sum(axis=1) @ each.sets, 0, 1)
        return inactive


def _evidence(genes: Sequence[_GeneGuesses], same: Array) -> GeneEvidence:
    """Return how well each guess explains the guides, for genes with equally many, stacked."""
    entries = genes[0].known.size + genes[0].log_factor.size * len(same) ** 2
    at_once = max(1, int(STACKED_BYTES // (8 * entries)))
    restricted, sized = [], []
    for start in range(0, len(genes), at_once):
        chosen = genes[start : start + at_once]
        known, linear, log_factor = (
            np.stack([getattr(each, name) for each in chosen]) for name in ("known", "linear", "log_factor")
        )
        part = gene_evidence(known, linear, log_factor, same, genes[0].sets)
        restricted.append(part.restricted)
        sized.append(part.sized)
    return GeneEvidence(genes[0].sets, np.concatenate(restricted), np.concatenate(sized))


def _moments(known: Array, linear: Array, broad: float = BROAD) -> tuple[Array, Array]:
    """Return mean (..., E) and covariance (..., E, E) of theta under a prior that hardly shrinks."""
    covariance = np.linalg.inv(known + np.eye(known.shape[-1]) / broad**2)
    return (covariance @ linear[..., None])[..., 0], np.asarray(covariance)


def _positive(symmetric: Array) -> Array:
    """Return the nearest positive semidefinite matrices."""
    values, vectors = np.linalg.eigh((symmetric + np.swapaxes(symmetric, -1, -2)) / 2)
    return np.asarray((vectors * np.maximum(values, 0)[..., None, :]) @ np.swapaxes(vectors, -1, -2))


@dataclass(frozen=True)
class _GeneGuesses:
    """The likelihood of one gene's theta under S sets of its n active guides and K spreads."""

    gene: int
    place: NDArray[np.int64]  # (n,) its guides
    sets: Array  # (S, n)
    known: Array  # (S, K, E, E) precision of theta
    linear: Array  # (S, K, E)
    log_factor: Array  # (S, K)

    @classmethod
    def of(cls, absorbed: Sequence[Absorbed], gene: int, place: NDArray[np.int64]) -> _GeneGuesses:
        """Sum over the guides of each set."""
        sets = sets_of_active(len(place))
        own = [each.left.at(place) for each in absorbed]
        known = np.stack([np.tensordot(sets, each.precision, 1) for each in own], axis=1)
        linear = np.stack([sets @ each.linear for each in own], axis=1)
        log_factor = np.stack([sets @ each.log_factor for each in own], axis=1)
        return cls(gene, place, sets, known, linear, log_factor)

    def normals(self, evidence: GeneEvidence, shares: Shares) -> tuple[Array, Array, Array, Array]:
        """Return mean, covariance, log weights without and with an effect of H guesses about the guides.

        A guess is left out where it is unlikely for every size of the effect, none included, whatever its
        mass: the sets with the fewest active guides have the greatest.
        """
        prior = shares.of_sets(self.sets)[:, None, None] * shares.by_size  # (S, K, Z)
        likely = evidence.sized @ shares.courses * prior
        kept = (likely > UNLIKELY * likely.sum(axis=(0, 1))).any(axis=2)
        mean, covariance = _moments(self.known[kept], self.linear[kept], FLAT)
        gain = gained(self.known[kept], self.linear[kept], np.eye(mean.shape[1]), [FLAT])
        mass = self.log_factor[kept] + gain[:, 0]  # (H,)
        with np.errstate(divide="ignore"):
            log_none, log_some = np.log(prior[kept][:, [0, -1]]).T
        return mean, covariance, mass + log_none, mass + log_some

    def mixture(self, weights: Array) -> _GeneMixture:
        """Return the posterior under weights of the guesses, (S, K), without sets that hardly count."""
        counts = weights.sum(axis=1) > NEGLIGIBLE
        means, covariances = _moments(self.known[counts], self.linear[counts])
        weights = weights[counts] / weights[counts].sum()
        return _GeneMixture(self.sets[counts], weights, means, covariances)


@dataclass(frozen=True)
class _GeneMixture:
    """Posterior of one gene, a mixture over S sets of active guides and K spreads."""

    sets: Array  # (S, n)
    weights: Array  # (S, K)
    means: Array  # (S, K, E) of theta
    covariances: Array  # (S, K, E, E)

    def moments(self) -> tuple[Array, Array]:
        """Return mean (E,) and covariance (E, E) of theta."""
        mean = np.einsum("sk,ski->i", self.weights, self.means)
        apart = self.means - mean
        between = np.einsum("sk,ski,skj->ij", self.weights, apart, apart)
        return mean, np.einsum("sk,skij->ij", self.weights, self.covariances) + between

    def effects(self, absorbed: Sequence[Absorbed], place: NDArray[np.int64]) -> tuple[Array, Array]:
        """Return mean and SD of each guide's lasting effect, (n, E)."""
        first = second = np.zeros((len(place), self.means.shape[-1]))
        for k, each in enumerate(absorbed):
            if self.weights[:, k].max() < NEGLIGIBLE:
                continue
            active = self.weights[:, k, None] * self.sets  # (S, n)
            left = np.eye(len(each.scaled)) - each.scaled @ each.gain[place]  # (n, E, E)
            mean = np.einsum("gij,sj->sgi", left, self.means[:, k]) + each.pull[place] @ each.scaled.T
            variance = np.einsum("gij,sjl,gil->sgi", left, self.covariances[:, k], left)
            variance = variance + np.einsum("ef,gfh,eh->ge", each.scaled, each.rest[place], each.scaled)
            first = first + np.einsum("sg,sge->ge", active, mean)
            second = second + np.einsum("sg,sge->ge", active, variance + mean**2)
        return first, np.sqrt(np.maximum(second - first**2, 0))
