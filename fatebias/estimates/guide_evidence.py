"""How well each guess about a gene's guides explains them: which are active, how far they vary.

A guess is a set of active guides, a spread of those around their gene, and a size of the gene's effect. An
active guide has the effect theta + delta with delta ~ N(0, spread^2), lasting over days; an inactive one has
none on any day. Guides of genes without effect may vary less than those of genes with one, so each of the two
kinds has its own shares of spreads. Evidence of every guess is computed once; the shares of guesses among all
genes follow by EM.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, field
from functools import cache
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from fatebias.estimates.sandwich import BROAD

Array = NDArray[np.float64]

SPREADS = np.array([0.0, 0.06, 0.1, 0.15, 0.22, 0.32, 0.45, 0.65, 0.95, 1.4])  # SDs in logits
# SDs of theta besides no effect. Under a flat prior on theta the set with the fewest active guides would win
# for every gene without effect.
SIZES = (0.15, 0.5, 1.5)
# Courses of theta by the share of its variance that lasts over days. Without the first a lasting effect would
# be taken for guides that all deviate alike.
LASTING = (1.0, 0.7)
# Genes' worth of the shares of all genes in those of genes with an effect, and of genes without.
COMMON = 5.0
# Beta(1, 9) prior on the share of inactive guides; matters only where the data are silent.
BEFORE = (1.0, 9.0)
MOST_SETS = 256  # 2^n sets of n guides: genes with more than eight leave out sets with many inactive guides
MOST_ROUNDS = 200
SETTLED = 1e-4  # of the shares from round to round


@dataclass(frozen=True)
class GeneEvidence:
    """Evidence of the guesses about one gene with n guides, or stacked for many such genes."""

    sets: Array  # (S, n) 1 where a guide is active
    restricted: Array  # (..., S, K) evidence of a spread under a flat prior on theta, relative to the best
    sized: Array  # (..., S, K, Z, C) evidence of set, spread, size of theta, no effect first, and course


@dataclass(frozen=True)
class Shares:
    """Shares of guesses among all genes."""

    inactive: float  # of guides
    spreads: Array  # (K,) of genes with an effect
    sizes: Array  # (Z,) of genes
    spreads_none: Array | None = None  # (K,) of genes without an effect; None: as of those with one
    courses: Array = field(default_factory=lambda: np.full(len(LASTING), 1 / len(LASTING)))  # (C,) likewise

    @property
    def by_size(self) -> Array:
        """Shares of spreads given each size, (K, Z)."""
        none = self.spreads if self.spreads_none is None else self.spreads_none
        return np.column_stack([none] + [self.spreads] * (len(self.sizes) - 1))

    def of_sets(self, sets: Array) -> Array:
        """Return the probability of each set of active guides, (S,)."""
        return np.asarray(self.inactive ** (1 - sets).sum(axis=1) * (1 - self.inactive) ** sets.sum(axis=1))

    def before(self, sets: Array) -> Array:
        """Return the probability of each guess, (S, K, Z, C)."""
        return np.einsum("s,kz,z,c->skzc", self.of_sets(sets), self.by_size, self.sizes, self.courses)

    def weigh(self, evidence: GeneEvidence) -> tuple[Array, Array]:
        """Return the probabilities of sets and spreads, (..., S, K), and of sizes, (..., Z), that sum to 1.

        The spread given the set and whether there is an effect follows from how guides differ alone: a gene
        whose guides agree in a lasting effect could otherwise be one without effect whose guides happen to
        deviate alike.
        """
        joint = np.einsum("...skzc,skzc->...sz", evidence.sized, self.before(evidence.sets), optimize=True)
        joint = joint / joint.sum(axis=(-2, -1), keepdims=True)
        none, some = (evidence.restricted * each for each in self.by_size[:, [0, -1]].T)
        weights = joint[..., 0, None] * none / none.sum(axis=-1, keepdims=True)
        weights = weights + joint[..., 1:].sum(axis=-1)[..., None] * some / some.sum(axis=-1, keepdims=True)
        return weights, joint.sum(axis=-2)

    def count(self, evidence: GeneEvidence) -> tuple[Array, Array]:
        """Return the expected numbers of stacked genes by set, (S,), and by all else, (K, Z, C)."""
        before = self.before(evidence.sets)
        total = np.einsum("lskzc,skzc->l", evidence.sized, before, optimize=True)
        summed = np.einsum("lskzc,l->skzc", evidence.sized, 1 / total, optimize=True) * before
        return summed.sum(axis=(1, 2, 3)), summed.sum(axis=0)


def gene_evidence(known: Array, linear: Array, log_factor: Array, same: Array, sets: Array) -> GeneEvidence:
    """Return the evidence about a gene, or several with equally many guides, under each set and spread.

    ``known``, (..., S, K, E, E), is the precision of theta, ``linear`` (..., S, K, E), ``log_factor``
    (..., S, K) as in `guide_likelihood`; ``same``, (E, F*), is `same_on_all_days`.
    """
    lasting, each_day = same @ same.T, np.eye(len(same))
    roots = [
        same if share == 1 else np.asarray(np.linalg.cholesky(share * lasting + (1 - share) * each_day))
        for share in LASTING
    ]
    some = [gained(known, linear, root, SIZES) for root in roots]
    none = np.zeros((*log_factor.shape, 1, len(some)))
    sized = np.concatenate([none, np.stack(some, axis=-1)], axis=-2)
    restricted = log_factor + gained(known, linear, each_day, [BROAD])[..., 0]
    whole = log_factor[..., None, None] + sized
    return GeneEvidence(
        sets,
        np.exp(restricted - restricted.max(axis=-1, keepdims=True)),
        np.exp(whole - whole.max(axis=(-4, -3, -2, -1), keepdims=True)),
    )


def gained(known: Array, linear: Array, root: Array, sds: Sequence[float]) -> Array:
    """Return the log of the mean of exp(linear'v - v'known v / 2) over v = sd root a, a ~ N(0, I).

    For each SD, (..., Z); root is (E, q). One Cholesky factor gives determinant and square: the last row of
    that of ``[[A, b], [b', c]]`` is the solution for b of the factor of A.
    """
    inner, pull = root.T @ known @ root, linear @ root
    q = root.shape[1]
    bordered = np.empty((*pull.shape[:-1], q + 1, q + 1))
    found = np.empty((*pull.shape[:-1], len(sds)))
    for z, sd in enumerate(sds):
        bordered[..., :q, :q] = sd**2 * inner + np.eye(q)
        bordered[..., q, :q] = bordered[..., :q, q] = sd * pull
        bordered[..., q, q] = 2 * (1 + sd**2 * (pull**2).sum(axis=-1))  # more than b' A^-1 b, since A > I
        factor = np.linalg.cholesky(bordered)
        volume = np.log(np.diagonal(factor, axis1=-2, axis2=-1)[..., :q]).sum(axis=-1)
        found[..., z] = 0.5 * (factor[..., q, :q] ** 2).sum(axis=-1) - volume
    return found


@cache
def sets_of_active(n_guides: int) -> Array:
    """Return which guides are active, (S, n): all sets but the empty one, or those with few inactive."""
    kept: list[Array] = []
    for n_inactive in range(n_guides):
        new = [np.ones(n_guides) for _ in combinations(range(n_guides), n_inactive)]
        for row, inactive in zip(new, combinations(range(n_guides), n_inactive), strict=True):
            row[list(inactive)] = 0
        if kept and len(kept) + len(new) > MOST_SETS:
            break
        kept += new
    return np.array(kept)


def settle_shares(groups: Sequence[GeneEvidence]) -> Shares:
    """Return by EM the share of inactive guides and the shares of genes by spread and by size.

    Each group holds the genes with one number of guides, stacked. Genes with one guide cannot tell its
    deviation from their own effect: they count only where there are no others.
    """
    groups = [each for each in groups if each.sets.shape[1] > 1] or groups
    n_genes = sum(len(each.restricted) for each in groups)
    n_guides = sum(each.sets.shape[1] * len(each.restricted) for each in groups if each.sets.shape[1] > 1)
    n_spreads, n_sizes = groups[0].sized.shape[-3:-1]
    even = np.full(n_spreads, 1 / n_spreads)
    shares = Shares(BEFORE[0] / sum(BEFORE), even, np.full(n_sizes, 1 / n_sizes), even)
    for _ in range(MOST_ROUNDS):
        inactive, guesses = BEFORE[0], np.zeros(groups[0].sized.shape[-3:])
        for each in groups:
            of_sets, of_guesses = shares.count(each)
            inactive += float(of_sets @ (1 - each.sets).sum(axis=1))
            guesses += of_guesses
        by_size = guesses.sum(axis=2)  # (K, Z)
        of_all = by_size.sum(axis=1) / n_genes
        some, none = (
            (part + COMMON * of_all) / (part.sum() + COMMON)
            for part in (by_size[:, 1:].sum(axis=1), by_size[:, 0])
        )
        courses = guesses[:, 1:].sum(axis=(0, 1)) + COMMON / len(LASTING)
        new = Shares(
            inactive / (n_guides + sum(BEFORE)),
            some,
            by_size.sum(axis=0) / n_genes,
            none,
            courses / courses.sum(),
        )
        change = max(float(np.abs(a - b).max()) for a, b in zip(astuple(new), astuple(shares), strict=True))
        shares = new
        if change < SETTLED:
            break
    return shares
