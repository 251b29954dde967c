"""The likelihood of each guide's own daywise effects, as a quadratic, with noise integrated out.

A guide's effects u, one for each fate and day (E = F* x D, fate by fate), have the log-likelihood
``h'u - u'Pu / 2`` around a fitted point, all else as it is there and guides independent of each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fatebias.estimates.sandwich import BROAD
from fatebias.model.design_matrix import DesignMatrix
from fatebias.model.products import indicators
from fatebias.model.regression import SoftRegression

Array = NDArray[np.float64]


@dataclass(frozen=True)
class GuideLikelihood:
    """Quadratic log-likelihoods of G guides."""

    precision: Array  # (G, E, E) P
    linear: Array  # (G, E) h
    log_factor: Array  # (G,) log of the factor in front

    def around(self, level: Array) -> GuideLikelihood:
        """Return the likelihood of effects counted from a level, (E,)."""
        return GuideLikelihood(self.precision, self.linear - self.precision @ level, self.log_factor)

    def at(self, guides: NDArray[Any]) -> GuideLikelihood:
        """Return those of some guides."""
        return GuideLikelihood(self.precision[guides], self.linear[guides], self.log_factor[guides])

    def absorb(self, loading: Array, sd: Array) -> Absorbed:
        """Integrate normal deviations out: the likelihood of v where ``u = v + loading a``, a ~ N(0, sd^2).

        ``loading`` is (E, q), ``sd`` (q,) or (G, q); an SD of zero and guides without cells are allowed.
        """
        scaled = loading * sd[..., None, :]
        turned = np.swapaxes(scaled, -1, -2)
        across = self.precision @ scaled  # (G, E, q)
        inner = np.eye(loading.shape[1]) + turned @ across
        rest = np.linalg.inv(inner)
        gain = rest @ np.swapaxes(across, 1, 2)
        pulled = (turned @ self.linear[..., None])[..., 0]
        pull = (rest @ pulled[..., None])[..., 0]
        left = GuideLikelihood(
            self.precision - across @ gain,
            self.linear - (across @ pull[..., None])[..., 0],
            self.log_factor + 0.5 * np.einsum("gq,gq->g", pulled, pull) - 0.5 * np.linalg.slogdet(inner)[1],
        )
        return Absorbed(left, scaled, gain, pull, np.asarray(rest))


@dataclass(frozen=True)
class Absorbed:
    """A likelihood whose deviations are integrated out, and what it says of them."""

    left: GuideLikelihood  # of v
    scaled: Array  # (E, q) or (G, E, q) loading times SD
    gain: Array  # (G, q, E) a, in SDs, given v is normal around pull - gain v
    pull: Array  # (G, q)
    rest: Array  # (G, q, q) covariance of that normal


def same_on_all_days(n_fates: int, n_days: int) -> Array:
    """Return the loading of a deviation that lasts over the days, (E, F*)."""
    return np.asarray(np.kron(np.eye(n_fates), np.ones((n_days, 1))), dtype=np.float64)


def log_evidence(likelihood: GuideLikelihood, gene: NDArray[np.int64], n_genes: int) -> Array:
    """Return the log evidence of each gene whose guides share v, (L,), v ~ N(0, BROAD^2) by fate and day."""
    known, linear, factor = sums_by_gene(likelihood, gene, n_genes)
    known = known + np.eye(linear.shape[1]) / BROAD**2
    gained = np.einsum("le,le->l", linear, np.linalg.solve(known, linear[..., None])[..., 0])
    return np.asarray(factor + 0.5 * (gained - np.linalg.slogdet(known)[1]))


def sums_by_gene(
    likelihood: GuideLikelihood, gene: NDArray[np.int64], n_genes: int
) -> tuple[Array, Array, Array]:
    """Return precision (L, E, E), linear part (L, E) and log factor (L,) of v shared by a gene's guides."""
    member = indicators(gene, np.arange(len(gene)), (n_genes, len(gene)))
    width = likelihood.linear.shape[1]
    return (
        (member @ likelihood.precision.reshape(len(gene), -1)).reshape(n_genes, width, width),
        member @ likelihood.linear,
        member @ likelihood.log_factor,
    )


def guide_likelihood(design: DesignMatrix, flat: Array, weight: float) -> GuideLikelihood:
    """Return the likelihood of each guide's effects around a mode, (size,), guides not centred."""
    rows = design.rows
    theta, delta, shared = design.split(flat)
    effects = theta[rows.guide_gene] + delta[..., None]  # (G, F*, D)
    n_guides, n_fates, n_days = effects.shape
    row = np.repeat(np.arange(rows.n_rows), np.diff(rows.indptr))
    column = (rows.guides - 1) * n_days + rows.day[row]
    held = indicators(row, column, (rows.n_rows, n_guides * n_days))
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
    square = precision.reshape(n_guides, n_fates * n_days, -1)
    pull = np.einsum("gij,gj->gi", square, effects.reshape(n_guides, -1))
    return GuideLikelihood(square, np.swapaxes(score, 1, 2).reshape(n_guides, -1) + pull, np.zeros(n_guides))
