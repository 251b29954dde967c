"""How well each guess about a gene's guides explains them: which are active, how far they vary.

A guess is a set of active guides, a spread of those around their gene, and a size of the gene's effect. An
active guide has the effect theta + delta with delta ~ N(0, spread^2), lasting over days; an inactive one has
none on any day. Evidence of every guess is computed once; the shares of guesses among all genes follow by EM.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from functools import cache
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from fatebias.estimates.sandwich import BROAD

Array = NDArray[np.float64]

SPREADS = np.array([0.0, 0.06, 0.1, 0.15, 0.22, 0.32, 0.45, 0.65, 0.95, 1.4])  # SDs in logits
# SDs of theta besides no effect, mostly lasting over days. Under a flat prior on theta the set with the
# fewest active guides would win for every gene without effect.
SIZES = (0.15, 0.5, 1.5)
LASTING = 0.7
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
    sized: Array  # (..., S, K, Z) evidence of set, spread and size of theta, no effect first, likewise


@dataclass(frozen=True)
class Shares:
    """Shares of guesses among all genes."""

    inactive: float  # of guides
    spreads: Array  # (K,) of genes
    sizes: Array  # (Z,) of genes

    def weigh(self, evidence: GeneEvidence) -> tuple[Array, Array]:
        """Return the probabilities of sets and spreads, (..., S, K), and of sizes, (..., Z), that sum to 1.

        The spread given the set follows from how guides differ alone: a gene whose guides agree in a lasting
        effect could otherwise be one without effect whose guides happen to deviate alike.
        """
        sets = evidence.sets
        of_set = self.inactive ** (1 - sets).sum(axis=1) * (1 - self.inactive) ** sets.sum(axis=1)
        given = evidence.restricted * self.spreads
        by_size = np.einsum("...skz,k->...sz", evidence.sized, self.spreads, optimize=True)
        joint = by_size * of_set[:, None] * self.sizes
        joint = joint / joint.sum(axis=(-2, -1), keepdims=True)
        return joint.sum(axis=-1)[..., None] * given / given.sum(axis=-1, keepdims=True), joint.sum(axis=-2)


def gene_evidence(known: Array, linear: Array, log_factor: Array, same: Array, sets: Array) -> GeneEvidence:
    """Return the evidence about a gene from the likelihood of its theta under each set and spread.

    ``known``, (S, K, E, E), is the precision of theta, ``linear`` (S, K, E), ``log_factor`` (S, K) as in
    `guide_likelihood`; ``same``, (E, F*), is `same_on_all_days`.
    """
    width = len(same)
    lasting = LASTING * same @ same.T + (1 - LASTING) * np.eye(width)
    sized = [np.zeros(log_factor.shape)] + [_gained(known, linear, size**2 * lasting) for size in SIZES]
    restricted = log_factor + _gained(known, linear, BROAD**2 * np.eye(width))
    whole = log_factor[..., None] + np.stack(sized, axis=-1)
    return GeneEvidence(
        sets, np.exp(restricted - restricted.max(axis=-1, keepdims=True)), np.exp(whole - whole.max())
    )


def _gained(known: Array, linear: Array, prior: Array) -> Array:
    """Return the log of the mean of exp(linear'v - v'known v / 2) over v ~ N(0, prior)."""
    whole = known + np.linalg.inv(prior)
    square = np.einsum("...i,...i->...", linear, np.linalg.solve(whole, linear[..., None])[..., 0])
    return np.asarray(0.5 * (square - np.linalg.slogdet(whole)[1] - np.linalg.slogdet(prior)[1]))


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


def settle_shares(genes: Sequence[GeneEvidence]) -> Shares:
    """Return by EM the share of inactive guides and the shares of genes by spread and by size.

    Genes with one guide cannot tell its deviation from their own effect: they count only where there are no
    others.
    """
    groups = _stacked(genes)
    n_genes = sum(len(each.restricted) for each in groups)
    n_guides = sum(each.sets.shape[1] * len(each.restricted) for each in groups if each.sets.shape[1] > 1)
    n_spreads, n_sizes = groups[0].sized.shape[-2:]
    shares = Shares(BEFORE[0] / sum(BEFORE), np.full(n_spreads, 1 / n_spreads), np.full(n_sizes, 1 / n_sizes))
    for _ in range(MOST_ROUNDS):
        inactive, spreads, sizes = BEFORE[0], np.zeros(n_spreads), np.zeros(n_sizes)
        for each in groups:
            weights, of_sizes = shares.weigh(each)
            inactive += float(weights.sum(axis=(0, 2)) @ (1 - each.sets).sum(axis=1))
            spreads += weights.sum(axis=(0, 1))
            sizes += of_sizes.sum(axis=0)
        new = Shares(inactive / (n_guides + sum(BEFORE)), spreads / n_genes, sizes / n_genes)
        change = max(float(np.abs(a - b).max()) for a, b in zip(astuple(new), astuple(shares), strict=True))
        shares = new
        if change < SETTLED:
            break
    return shares


def _stacked(genes: Sequence[GeneEvidence]) -> list[GeneEvidence]:
    """Stack genes with equally many guides; those with one only where no gene has several."""
    by_count: dict[int, list[GeneEvidence]] = {}
    for each in genes:
        by_count.setdefault(each.sets.shape[1], []).append(each)
    if len(by_count) > 1:
        by_count.pop(1, None)
    return [
        GeneEvidence(
            of[0].sets, np.array([each.restricted for each in of]), np.array([each.sized for each in of])
        )
        for of in by_count.values()
    ]
