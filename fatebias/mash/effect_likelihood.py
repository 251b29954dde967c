"""What the data say of each gene's effects where that is more than one normal: a weighted sum of normals.

The likelihood of the effects b of a gene, over its normals h, is

    p(data | b) = sum_h w_h N(m_h; b, V_h)

where the weights are not probabilities: each is that of a guess before the data times the mass of the
likelihood under it. A guess may be likelier among genes with an effect than among those without, so the
weights at b = 0 differ from those elsewhere. One normal, of weight 1, is what mash is usually given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Rows:
    """Which of M rows belong to which of L genes; those of a gene follow one another."""

    first: NDArray[np.intp]  # (L,) each gene's first row
    n_rows: int  # M

    @classmethod
    def of(cls, counts: Sequence[int] | NDArray[np.intp]) -> Rows:
        """Return the rows of genes that have these many, (L,), one or more each."""
        ends = np.cumsum(counts, dtype=np.intp)
        return cls(ends - np.asarray(counts, dtype=np.intp), int(ends[-1]))

    @property
    def counts(self) -> NDArray[np.intp]:
        """Number of rows of each gene, (L,)."""
        return np.diff(np.append(self.first, self.n_rows))

    @property
    def gene(self) -> NDArray[np.intp]:
        """The gene of each row, (M,)."""
        return np.repeat(np.arange(len(self.first)), self.counts)

    def sum(self, values: Array) -> Array:
        """Sum over the rows of each gene, from (M, ...) to (L, ...)."""
        return np.asarray(np.add.reduceat(values, self.first, axis=0))

    def log_sum(self, values: Array) -> Array:
        """Return the log of the sum of the exponentials, from (M, ...) to (L, ...)."""
        return np.asarray(np.logaddexp.reduceat(values, self.first, axis=0))

    def of_genes(self, genes: slice | Sequence[int]) -> NDArray[np.intp]:
        """Return the rows of some genes, in the order of these."""
        chosen = np.arange(len(self.first))[genes]
        starts, counts = self.first[chosen], self.counts[chosen]
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        return np.asarray(np.repeat(starts, counts) + within)


@dataclass(frozen=True)
class EffectLikelihood:
    """The likelihood of the effects of L genes, (E,) each, as M normals.

    Attributes
    ----------
    mean
        m, (M, E), in logits.
    covariance
        V, (M, E, E), positive definite.
    log_none, log_some
        Log of the weights w where the gene has no effect, and where it has one, (M,); a constant a gene
        drops out.
    rows
        Which normals belong to which gene.
    none_elsewhere
        Probability that a gene without the effects that `through` leaves has none at all.

    Examples
    --------
    >>> import numpy as np
    >>> one = EffectLikelihood.normal(np.array([[0.5, 0.2]]), 0.1 * np.eye(2)[None])
    >>> one.through(np.array([[1.0, -1.0]])).covariance
    array([[[0.2]]])
    """

    mean: Array
    covariance: Array
    log_none: Array
    log_some: Array
    rows: Rows
    none_elsewhere: float = 1.0

    @classmethod
    def normal(cls, mean: Array, covariance: Array) -> EffectLikelihood:
        """Return one normal a gene, mean (L, E) and covariance (L, E, E)."""
        even = np.zeros(len(mean))
        return cls(mean, covariance, even, even, Rows.of(np.ones(len(mean), dtype=np.intp)))

    @property
    def sd(self) -> Array:
        """Standard errors of each normal, (M, E)."""
        return np.sqrt(np.diagonal(self.covariance, axis1=1, axis2=2))

    def at(self, genes: slice | Sequence[int]) -> EffectLikelihood:
        """Return that of some genes, in the order of these."""
        rows = self.rows.of_genes(genes)
        return EffectLikelihood(
            self.mean[rows],
            self.covariance[rows],
            self.log_none[rows],
            self.log_some[rows],
            Rows.of(self.rows.counts[genes]),
            self.none_elsewhere,
        )

    def moved(self, by: Array, error: Array) -> EffectLikelihood:
        """Return that of estimates moved by (L, E) that have a further error, covariance (L, E, E)."""
        gene = self.rows.gene
        return replace(self, mean=self.mean + by[gene], covariance=self.covariance + error[gene])

    def through(self, view: Array) -> EffectLikelihood:
        """Return that of weighted sums of the effects, view (E', E), whatever the effects are otherwise.

        A gene without an effect on these sums may have one that they do not show: at zero the weights are
        averaged accordingly.
        """
        log_none, elsewhere = self.log_none, self.none_elsewhere
        if len(view) < view.shape[1] and elsewhere < 1:
            log_none = np.logaddexp(
                np.log(elsewhere) + log_none if elsewhere > 0 else -np.inf,
                np.log1p(-elsewhere) + self.log_some,
            )
        return EffectLikelihood(
            self.mean @ view.T, view @ self.covariance @ view.T, log_none, self.log_some, self.rows
        )
