"""Gene effects when some guides may do nothing at all.

A normal spread of guides around their gene takes a guide that does not cut, or does not silence, for one more
deviation: it draws the gene's effect towards zero and makes it look sure. Here each guide is dead with a
probability that is estimated from all guides: a live guide has the effect theta + delta, a dead one none on
any day. All sets of dead guides of a gene are weighed by Bayes' theorem, as in a spike and slab over guides,
not over genes: which genes have no effect stays mash's business.
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
SURE = 0.9
SETTLED = 1e-4
# Effects that a gene may have, as far as the weighing of sets needs to know: none, or of these sizes in
# logits, mostly lasting. Under a flat prior the fewest live guides would win for every gene without effect.
SIZES = (0.15, 0.5, 1.5)
LASTING = 0.7
# Share of dead guides before any was seen: Beta(1, 9), which matters only where the data say nothing.
BEFORE = (1.0, 9.0)
MOST_SETS = 1024
LEAST_SPREAD = 1e-3


@dataclass(frozen=True)
class LiveFit:
    """Gene effects with guides live or dead.

    Attributes
    ----------
    mean, covariance
        Of theta, shape (L, F*, D) and (L, F*, D, F*, D).
    guides
        Of each guide. Of a gene's only guide it cannot be told whether it is dead.
    share
        Of dead guides among those of genes with several.
    spread
        SD of live guides around their gene, shape (F*,).
    """

    mean: Array
    covariance: Array
    guides: GuideEstimates
    share: float
    spread: Array

    @property
    def notes(self) -> tuple[str, ...]:
        """What to say of it."""
        told = self.guides.dead[~np.isnan(self.guides.dead)]
        alone = len(self.guides.dead) - len(told)
        notes = [f"{alone} guides are their gene's only one: whether they are dead cannot be told"]
        if len(told):
            notes.append(
                f"guides may be dead: an estimated {self.share:.1%} of {len(told)} are, "
                f"{int((told > SURE).sum())} of them surely"
            )
        return tuple(notes if alone else notes[1:])


def fit_live(design: DesignMatrix, flat: Array, covariance: Array, weight: float, spread: Array) -> LiveFit:
    """Correct a fit with normal guides for dead ones.

    The likelihood is taken as quadratic in each guide's daywise effects around the current ones, guides as
    independent of each other given all else; what that leaves out (cells with several guides, alpha, b and
    gamma) is taken from the given fit: without dead guides its mean and covariance come back.

    Parameters
    ----------
    coefficients
        The design, guides not centred.
    flat
        Mode of a fit with broad scales of theta and guides normal (`curvature.fit_broad`), shape (size,).
    covariance
        Of theta in that fit, shape (L, F*, D, F*, D).
    weight
        Likelihood weight.
    spread
        SD of guides in that fit, shape (F*,).

    Returns
    -------
    LiveFit
        Effects of live guides.
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
    dead, own, own_sd = np.full(rows.n_guides, np.nan), np.empty_like(effects), np.empty_like(effects)
    for place, each in zip(places, found, strict=True):
        own[place], own_sd[place] = (part.reshape(-1, *effects.shape[1:]) for part in each.guides())
        if len(place) > 1:
            dead[place] = each.dead
    return LiveFit(
        theta + (mean - before).reshape(theta.shape),
        (stretch @ blocks @ np.swapaxes(stretch, 1, 2)).reshape(covariance.shape),
        GuideEstimates(dead, own, own_sd),
        share,
        spread,
    )


def _quadratic(design: DesignMatrix, effects: Array, shared: Array, weight: float) -> tuple[Array, Array]:
    """Take the log-likelihood as h'u - u'Pu/2 in each guide's own effects u, all else as it is.

    Parameters
    ----------
    coefficients
        The design.
    effects
        Of guides, shape (G, F*, D).
    shared
        alpha, b and gamma, shape (Q, F*).
    weight
        Likelihood weight.

    Returns
    -------
    precision, linear : ndarray
        P, shape (G, E, E), and h, shape (G, E); E is F* x D, fate by fate.
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
    """Posterior of one gene, a mixture over S sets of live guides.

    Attributes
    ----------
    own
        Its guides.
    same
        See `_same_on_all_days`.
    weights
        Probability of each set, where the guide is live in it, shape (S, n).
    means, covariances
        Of theta given the set, shape (S, E) and (S, E, E).
    sets
        Probability of each set, shape (S,).
    sizes
        Probability of each size of effect.
    """

    own: _Integrated
    same: Array
    weights: Array
    means: Array
    covariances: Array
    sets: Array
    sizes: Array

    @property
    def mean(self) -> Array:
        """Of theta, shape (E,)."""
        return self.sets @ self.means

    @property
    def covariance(self) -> Array:
        """Of theta, shape (E, E)."""
        apart = self.means - self.mean
        between = np.einsum("s,si,sj->ij", self.sets, apart, apart)
        return np.asarray(np.einsum("s,sij->ij", self.sets, self.covariances) + between)

    @property
    def dead(self) -> Array:
        """Probability that a guide is dead, shape (n,)."""
        return np.clip(1 - self.weights.sum(axis=0), 0, 1)

    @property
    def squares(self) -> Array:
        """Expected squares of the deviations of live guides, summed, shape (F*,)."""
        own = self.own
        delta = own.pull - np.einsum("gie,se->sgi", own.gain, self.means)
        variance = np.diagonal(own.rest, axis1=1, axis2=2) + np.einsum(
            "gie,sef,gif->sgi", own.gain, self.covariances, own.gain
        )
        return np.asarray(np.einsum("sg,sgi->i", self.weights, delta**2 + variance))

    def guides(self) -> tuple[Array, Array]:
        """Mean and SD of each guide's whole effect, nothing where it is dead, shape (n, E)."""
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
    """Estimate the share of dead guides, the spread of live ones and the sizes of genes' effects by EM."""
    share, sizes = BEFORE[0] / sum(BEFORE), np.full(1 + len(SIZES), 1 / (1 + len(SIZES)))
    n_told = sum(len(place) for place in places if len(place) > 1)
    for _ in range(MOST_ROUNDS):
        found = _weigh_all(guides, places, share, spread, sizes)
        sizes = np.mean([each.sizes for each in found], axis=0)
        dead = sum(float(each.dead.sum()) for each in found)  # a gene's only guide adds none
        new_share = (dead + BEFORE[0]) / (n_told + sum(BEFORE))
        squares = np.sum([each.squares for each in found], axis=0) / max(len(guides[0]) - dead, 1.0)
        new_spread = np.sqrt(np.maximum(squares, LEAST_SPREAD**2))
        change = max(abs(new_share - share), float(np.abs(new_spread - spread).max()))
        share, spread = new_share, new_spread
        if change < SETTLED:
            break
    return share, spread, sizes


@dataclass(frozen=True)
class _Integrated:
    """What live guides say of their gene's theta once their own deviations are integrated out.

    Attributes
    ----------
    precision, linear
        Of theta, shape (G, E, E) and (G, E).
    log_factor
        Log of what is left in front, shape (G,).
    gain, pull, rest
        A deviation given theta is normal around ``pull - gain theta`` with covariance ``rest``; shape
        (G, F*, E), (G, F*) and (G, F*, F*).
    """

    precision: Array
    linear: Array
    log_factor: Array
    gain: Array
    pull: Array
    rest: Array

    def at(self, guides: NDArray[np.int64]) -> _Integrated:
        """Take some guides."""
        return _Integrated(*(getattr(self, each.name)[guides] for each in fields(self)))


def _same_on_all_days(n_fates: int, n_days: int) -> Array:
    """Spread a guide's deviation over the days, shape (E, F*)."""
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
    """Weigh the sets of dead guides of every gene; all guides are live where no sizes are given."""
    same = _same_on_all_days(len(spread), guides[1].shape[1] // len(spread))
    whole = _integrate(guides, spread, same)
    return [_weigh(whole.at(place), share, same, sizes) for place in places]


def _weigh(own: _Integrated, share: float, same: Array, sizes: Array | None) -> _Gene:
    """Mix over the sets of dead guides of one gene; at least one guide is live."""
    n_guides, width = own.linear.shape
    live = np.ones((1, n_guides)) if sizes is None else _sets(n_guides)
    known = np.einsum("sg,gij->sij", live, own.precision)
    linear = live @ own.linear
    covariance = np.linalg.inv(known + np.eye(width) / BROAD**2)
    mean = np.einsum("sij,sj->si", covariance, linear)
    p, of_sizes = np.ones(1), np.zeros(1)
    if sizes is not None:
        evidence = (live @ own.log_factor)[:, None] + _by_size(known, linear, same)  # (S, sizes)
        evidence += (live.sum(axis=1) * np.log1p(-share) + (1 - live).sum(axis=1) * np.log(share))[:, None]
        with np.errstate(divide="ignore"):
            evidence += np.log(sizes)
        both = np.exp(evidence - logsumexp(evidence))
        p, of_sizes = both.sum(axis=1), both.sum(axis=0)
    return _Gene(own, same, p[:, None] * live, mean, covariance, p, of_sizes)


def _by_size(known: Array, linear: Array, same: Array) -> Array:
    """Log evidence of theta for each set and size of effect, the first of size zero, (S, 1 + sizes)."""
    width = linear.shape[1]
    columns = [np.zeros(len(linear))]
    for size in SIZES:
        prior = size**2 * (LASTING * same @ same.T + (1 - LASTING) * np.eye(width))
        precision = known + np.linalg.inv(prior)
        gained = np.einsum("si,si->s", linear, np.linalg.solve(precision, linear[..., None])[..., 0])
        columns.append(0.5 * (gained - np.linalg.slogdet(precision)[1] - np.linalg.slogdet(prior)[1]))
    return np.column_stack(columns)


def _sets(n_guides: int) -> Array:
    """List which guides are live, (S, n): all sets but the empty one, or those with few dead guides."""
    kept: list[Array] = []
    for n_dead in range(n_guides):
        new = [np.ones(n_guides) for _ in combinations(range(n_guides), n_dead)]
        for row, dead in zip(new, combinations(range(n_guides), n_dead), strict=True):
            row[list(dead)] = 0
        if kept and len(kept) + len(new) > MOST_SETS:
            break
        kept += new
    return np.array(kept)
