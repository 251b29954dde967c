"""Gene effects when some guides may have no effect at all.

A normal spread of guides around their gene treats a guide that does not cut, or does not silence, as one
more deviation: it draws the gene's effect towards zero and makes it look certain. Here each guide is inactive
with a probability estimated from all guides: an active guide has the effect theta + delta, an inactive one
none on any day. All sets of inactive guides of a gene are weighted by Bayes' theorem, as in a spike and slab
over guides, not over genes: which genes have no effect is left to mash.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.special import logsumexp

from fatebias.estimates.estimates import GuideEstimates
from fatebias.estimates.sandwich import BROAD
from fatebias.model.design_matrix import DesignMatrix
from fatebias.model.regression import SoftRegression

Array = NDArray[np.float64]

MOST_ROUNDS = 100
SURE = 0.9  # the probability from which the note calls a guide surely inactive
SETTLED = 1e-4  # of the share and the spread from round to round
# Sizes of effect in logits that the weighting of sets allows a gene, besides none; mostly lasting over days.
# Under a flat prior on theta the set with the fewest active guides would win for every gene without effect.
SIZES = (0.15, 0.5, 1.5)
LASTING = 0.7
# Beta(1, 9) prior on the share of inactive guides; matters only where the data are silent.
BEFORE = (1.0, 9.0)
MOST_SETS = 1024  # 2^n sets of n guides: genes with more than ten leave out sets with many inactive guides
LEAST_SPREAD = 1e-3  # in logits, so that its inverse stays finite


@dataclass(frozen=True)
class InactiveGuidesFit:
    """Gene effects with guides active or inactive."""

    mean: Array  # (L, F*, D) theta
    covariance: Array  # (L, F*, D, F*, D)
    guides: GuideEstimates
    share: float  # of inactive guides, among genes with several guides
    spread: Array  # (F*,) SD of active guides around their gene

    @property
    def notes(self) -> tuple[str, ...]:
        """What the reader must know."""
        several = self.guides.inactive[~np.isnan(self.guides.inactive)]
        alone = len(self.guides.inactive) - len(several)
        notes = [f"{alone} guides are their gene's only one: whether they are inactive cannot be estimated"]
        if len(several):
            notes.append(
                f"guides may be inactive: an estimated {self.share:.1%} of {len(several)} are, "
                f"{int((several > SURE).sum())} of them surely"
            )
        return tuple(notes if alone else notes[1:])


def fit_inactive_guides(
    design: DesignMatrix, flat: Array, covariance: Array, weight: float, spread: Array
) -> InactiveGuidesFit:
    """Return a fit with normal guides, corrected for inactive ones.

    ``flat``, (size,), is the mode of a fit with broad scales of theta (`sandwich.fit_broad`), guides not
    centred; ``covariance``, (L, F*, D, F*, D), that of its theta; ``spread``, (F*,), the SD of its guides.
    The likelihood is taken as quadratic in each guide's daywise effects around the current ones, guides as
    independent of each other given all else. What that leaves out (cells with several guides, alpha, b and
    gamma) is taken from the given fit: without inactive guides its mean and covariance come back.
    """
    rows = design.rows
    theta, delta, shared = design.split(flat)
    gene = rows.guide_gene
    places = [np.flatnonzero(gene == g) for g in range(rows.n_genes)]
    spread = np.maximum(spread, LEAST_SPREAD)
    effects = theta[gene] + delta[..., None]  # (G, F*, D)
    guides = _quadratic(design, effects, shared, weight)
    normal = _weigh_all(guides, places, 0.0, spread)
    share, spread, sizes = _settle(guides, places, spread)
    found = _weigh_all(guides, places, share, spread, sizes)
    mean, before = (np.array([each.mean for each in part]) for part in (found, normal))
    blocks, usual = (np.array([each.covariance for each in part]) for part in (found, normal))
    stretch = np.linalg.cholesky(covariance.reshape(blocks.shape)) @ np.linalg.inv(np.linalg.cholesky(usual))
    inactive, own, own_sd = np.full(rows.n_guides, np.nan), np.empty_like(effects), np.empty_like(effects)
    for place, each in zip(places, found, strict=True):
        own[place], own_sd[place] = (part.reshape(-1, *effects.shape[1:]) for part in each.guides())
        if len(place) > 1:
            inactive[place] = each.inactive
    # Only the change from normal guides, in the same approximation, is applied to the given fit.
    return InactiveGuidesFit(
        theta + (mean - before).reshape(theta.shape),
        (stretch @ blocks @ np.swapaxes(stretch, 1, 2)).reshape(covariance.shape),
        GuideEstimates(inactive, own, own_sd),
        share,
        spread,
    )


def _quadratic(design: DesignMatrix, effects: Array, shared: Array, weight: float) -> tuple[Array, Array]:
    """Return P, (G, E, E), and h, (G, E), of the log-likelihood h'u - u'Pu/2 in each guide's own effects u.

    Effects of guides are (G, F*, D), shared ones (Q, F*), all else as it is; E is F* x D, fate by fate.
    """
    rows = design.rows
    n_guides, n_fates, n_days = effects.shape
    row = np.repeat(np.arange(rows.n_rows), np.diff(rows.indptr))
    column = (rows.guides - 1) * n_days + rows.day[row]
    held = sparse.csr_matrix((np.ones(len(row)), (row, column)), (rows.n_rows, n_guides * n_days))
    regression = SoftRegression(held, rows.p, weight)
    base = design.matrix[:, -design.n_shared :] @ shared
    pi = regression.probabilities(base + held @ np.swapaxes(effects, 1, 2).reshape(-1, n_fates))
    score = (held.T @ regression.surplus(pi)).reshape(n_guides, n_days, n_fates)
    precision = np.zeros((n_guides, n_fates, n_days, n_fates, n_days))
    day, count = np.arange(n_days), weight * regression.count
    for f in range(n_fates):
        for g in range(n_fates):
            known = held.T @ (count * pi[:, f] * ((f == g) - pi[:, g]))
            precision[:, f, day, g, day] = known.reshape(n_guides, n_days)
    flat = precision.reshape(n_guides, n_fates * n_days, -1)
    pull = np.einsum("gij,gj->gi", flat, effects.reshape(n_guides, -1))
    return flat, np.swapaxes(score, 1, 2).reshape(n_guides, -1) + pull


@dataclass(frozen=True)
class _Gene:
    """Posterior of one gene, a mixture over S sets of active guides."""

    own: _Integrated  # its guides
    same: Array  # see `_same_on_all_days`
    weights: Array  # (S, n) probability of each set, where the guide is active in it
    means: Array  # (S, E) theta given the set
    covariances: Array  # (S, E, E)
    sets: Array  # (S,) probability of each set
    sizes: Array  # probability of each size of effect

    @property
    def mean(self) -> Array:
        """Of theta, (E,)."""
        return self.sets @ self.means

    @property
    def covariance(self) -> Array:
        """Of theta, (E, E)."""
        apart = self.means - self.mean
        between = np.einsum("s,si,sj->ij", self.sets, apart, apart)
        return np.asarray(np.einsum("s,sij->ij", self.sets, self.covariances) + between)

    @property
    def inactive(self) -> Array:
        """Probability that a guide is inactive, (n,)."""
        return np.clip(1 - self.weights.sum(axis=0), 0, 1)

    @property
    def squares(self) -> Array:
        """Expected squares of the deviations of active guides, summed, (F*,)."""
        own = self.own
        delta = own.pull - np.einsum("gie,se->sgi", own.gain, self.means)
        variance = np.diagonal(own.rest, axis1=1, axis2=2) + np.einsum(
            "gie,sef,gif->sgi", own.gain, self.covariances, own.gain
        )
        return np.asarray(np.einsum("sg,sgi->i", self.weights, delta**2 + variance))

    def guides(self) -> tuple[Array, Array]:
        """Return mean and SD of each guide's whole effect, zero where it is inactive, (n, E)."""
        own, same = self.own, self.same
        left = np.eye(len(same)) - same @ own.gain  # theta + delta = left theta + same (pull + noise)
        mean = np.einsum("gij,sj->sgi", left, self.means) + own.pull @ same.T
        variance = np.einsum("gij,sjk,gik->sgi", left, self.covariances, left)
        variance = variance + np.einsum("ef,gfh,eh->ge", same, own.rest, same)
        whole = np.einsum("sg,sge->ge", self.weights, mean)
        second = np.einsum("sg,sge->ge", self.weights, variance + mean**2)
        return whole, np.sqrt(np.maximum(second - whole**2, 0))


def _settle(
    guides: tuple[Array, Array], places: list[NDArray[np.int64]], spread: Array
) -> tuple[float, Array, Array]:
    """Return by EM the share of inactive guides, the spread of active ones and the shares of sizes."""
    share, sizes = BEFORE[0] / sum(BEFORE), np.full(1 + len(SIZES), 1 / (1 + len(SIZES)))
    n_several = sum(len(place) for place in places if len(place) > 1)
    for _ in range(MOST_ROUNDS):
        found = _weigh_all(guides, places, share, spread, sizes)
        sizes = np.mean([each.sizes for each in found], axis=0)
        inactive = sum(float(each.inactive.sum()) for each in found)  # 0 for a gene's only guide
        new_share = (inactive + BEFORE[0]) / (n_several + sum(BEFORE))
        squares = np.sum([each.squares for each in found], axis=0) / max(len(guides[0]) - inactive, 1.0)
        new_spread = np.sqrt(np.maximum(squares, LEAST_SPREAD**2))
        change = max(abs(new_share - share), float(np.abs(new_spread - spread).max()))
        share, spread = new_share, new_spread
        if change < SETTLED:
            break
    return share, spread, sizes


@dataclass(frozen=True)
class _Integrated:
    """The likelihood of a gene's theta under each guide, the guide's own deviation integrated out."""

    precision: Array  # (G, E, E) of theta
    linear: Array  # (G, E)
    log_factor: Array  # (G,) log of the factor in front
    gain: Array  # (G, F*, E) a deviation given theta is normal around pull - gain theta
    pull: Array  # (G, F*)
    rest: Array  # (G, F*, F*) covariance of that normal

    def at(self, guides: NDArray[np.int64]) -> _Integrated:
        """Return those of some guides."""
        return _Integrated(*(getattr(self, each.name)[guides] for each in fields(self)))


def _same_on_all_days(n_fates: int, n_days: int) -> Array:
    """Return the matrix that spreads a guide's deviation over the days, (E, F*)."""
    return np.asarray(np.kron(np.eye(n_fates), np.ones((n_days, 1))), dtype=np.float64)


def _integrate(guides: tuple[Array, Array], spread: Array, same: Array) -> _Integrated:
    precision, linear = guides
    across = precision @ same  # (G, E, F*)
    inner = same.T @ across + np.diag(spread**-2.0)
    rest = np.linalg.inv(inner)
    gain = rest @ np.swapaxes(across, 1, 2)
    pull = np.einsum("gij,gj->gi", rest, linear @ same)
    return _Integrated(
        precision=precision - across @ gain,
        linear=linear - np.einsum("gei,gi->ge", across, pull),
        log_factor=0.5 * np.einsum("gi,gi->g", linear @ same, pull)
        - 0.5 * np.linalg.slogdet(inner)[1]
        - np.log(spread).sum(),
        gain=np.asarray(gain),
        pull=pull,
        rest=np.asarray(rest),
    )


def _weigh_all(
    guides: tuple[Array, Array],
    places: list[NDArray[np.int64]],
    share: float,
    spread: Array,
    sizes: Array | None = None,
) -> list[_Gene]:
    """Weight the sets of inactive guides of every gene; all guides are active without ``sizes``."""
    same = _same_on_all_days(len(spread), guides[1].shape[1] // len(spread))
    whole = _integrate(guides, spread, same)
    return [_weigh(whole.at(place), share, same, sizes) for place in places]


def _weigh(own: _Integrated, share: float, same: Array, sizes: Array | None) -> _Gene:
    """Mix over the sets of inactive guides of one gene; at least one guide is active."""
    n_guides, width = own.linear.shape
    active = np.ones((1, n_guides)) if sizes is None else _sets(n_guides)
    known = np.einsum("sg,gij->sij", active, own.precision)
    linear = active @ own.linear
    covariance = np.linalg.inv(known + np.eye(width) / BROAD**2)
    mean = np.einsum("sij,sj->si", covariance, linear)
    p, of_sizes = np.ones(1), np.zeros(1)
    if sizes is not None:
        evidence = (active @ own.log_factor)[:, None] + _by_size(known, linear, same)  # (S, sizes)
        evidence += (active.sum(axis=1) * np.log1p(-share) + (1 - active).sum(axis=1) * np.log(share))[
            :, None
        ]
        with np.errstate(divide="ignore"):
            evidence += np.log(sizes)
        both = np.exp(evidence - logsumexp(evidence))
        p, of_sizes = both.sum(axis=1), both.sum(axis=0)
    return _Gene(own, same, p[:, None] * active, mean, covariance, p, of_sizes)


def _by_size(known: Array, linear: Array, same: Array) -> Array:
    """Return the log evidence of theta for each set and size of effect, zero first, (S, 1 + sizes)."""
    width = linear.shape[1]
    columns = [np.zeros(len(linear))]
    for size in SIZES:
        prior = size**2 * (LASTING * same @ same.T + (1 - LASTING) * np.eye(width))
        precision = known + np.linalg.inv(prior)
        gained = np.einsum("si,si->s", linear, np.linalg.solve(precision, linear[..., None])[..., 0])
        columns.append(0.5 * (gained - np.linalg.slogdet(precision)[1] - np.linalg.slogdet(prior)[1]))
    return np.column_stack(columns)


def _sets(n_guides: int) -> Array:
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
