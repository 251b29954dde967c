"""Multinomial regression on soft labels: value, gradient and curvature in the coefficients.

The log-likelihood is ``weight * sum_m sum_f p[m,f] log softmax([0, Z_m c])[f]`` (Papke and Wooldridge 1996,
J. Appl. Econometrics 11:619, for fractions). Coefficients are flat, fate by fate.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fatebias.model.softmax import log_total, probabilities

Array = NDArray[np.float64]


class SoftRegression:
    """The weighted log-likelihood of soft labels as a function of the coefficients."""

    def __init__(self, matrix: Any, p: Array, weight: float = 1.0, transposed: Any = None) -> None:
        self.matrix = matrix  # Z, CSR, (M, P)
        self.weight = weight  # how much a soft label counts
        self.p = p  # (M, F) fate probabilities or their sums over the cells of a row, reference first
        self.labels = p[:, 1:]  # (M, F*)
        self.count = p.sum(axis=1)  # (M,)
        self._transposed = transposed  # of the same Z, where it is known

    @cached_property
    def transposed(self) -> Any:
        """Z transposed, CSR, (P, M)."""
        return self.matrix.T.tocsr() if self._transposed is None else self._transposed

    def logits(self, flat: Array) -> Array:
        """Return Z c, (M, F*), for coefficients of shape (F* x P,)."""
        return self.matrix @ flat.reshape(self.labels.shape[1], -1).T

    def value(self, logits: Array) -> float:
        """Return the log-likelihood at logits of shape (M, F*)."""
        return self.weight * float((self.labels * logits).sum() - (self.count * log_total(logits)).sum())

    def probabilities(self, logits: Array) -> Array:
        """Return pi of the non-reference fates, (M, F*)."""
        return probabilities(logits)

    def surplus(self, pi: Array) -> Array:
        """Return the derivative in the logits, ``weight * (p - n pi)``, (M, F*)."""
        return self.weight * (self.labels - self.count[:, None] * pi)

    def gradient(self, pi: Array) -> Array:
        """Return the derivative in the coefficients, (F* x P,)."""
        return (self.transposed @ self.surplus(pi)).T.ravel()

    def information(self, pi: Array) -> Array:
        """Return the negative Hessian, dense, (F* x P, F* x P)."""

        def of(one: int, other: int) -> Array:
            return self.weight * self.count * pi[:, one] * ((one == other) - pi[:, other])

        return self.squares(of)

    def cluster_scores(self, pi: Array, cluster: NDArray[np.integer]) -> Array:
        """Return the scores of the rows summed by cluster, (C, F* x P), clusters of shape (M,) from 0."""
        rows = len(cluster)
        member = sparse.csr_matrix((np.ones(rows), (cluster, np.arange(rows))))
        surplus = self.surplus(pi)
        parts = [(member @ self.matrix.multiply(each[:, None]).tocsr()).toarray() for each in surplus.T]
        return np.concatenate(parts, axis=1)

    def squares(self, weight_of: Callable[[int, int], Array]) -> Array:
        """Return Z' W Z by pairs of fates, dense; the diagonal of W, (M,), depends on the pair."""
        n_fates, width = self.labels.shape[1], self.matrix.shape[1]
        dense = np.empty((n_fates, width, n_fates, width))
        transposed = self.transposed
        for one in range(n_fates):
            for other in range(one, n_fates):
                w = weight_of(one, other)
                weighted = sparse.csr_matrix(
                    (transposed.data * w[transposed.indices], transposed.indices, transposed.indptr),
                    shape=transposed.shape,
                )
                dense[one, :, other] = (weighted @ self.matrix).toarray()
                if other > one:
                    dense[other, :, one] = dense[one, :, other].T
        return dense.reshape(n_fates * width, n_fates * width)
