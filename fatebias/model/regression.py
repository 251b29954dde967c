"""Multinomial regression on soft labels: value, gradient and curvature in the coefficients.

The log-likelihood is ``weight * sum_m sum_f p[m,f] log softmax([0, Z_m c])[f]`` (Papke and Wooldridge 1996,
J. Appl. Econometrics 11:619, for fractions). Coefficients are flat, fate by fate.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fatebias.model.products import Products
from fatebias.model.softmax import log_total, probabilities

Array = NDArray[np.float64]

CHUNK_BYTES = 32e6


class SoftRegression:
    """The weighted log-likelihood of soft labels as a function of the coefficients."""

    def __init__(self, matrix: Any, p: Array, weight: float = 1.0) -> None:
        self.products = matrix if isinstance(matrix, Products) else Products(matrix)  # of Z, CSR, (M, P)
        self.weight = weight  # how much a soft label counts
        self.p = p  # (M, F) fate probabilities or their sums over the cells of a row, reference first
        self.labels = p[:, 1:]  # (M, F*)
        self.count = p.sum(axis=1)  # (M,)

    @property
    def matrix(self) -> Any:
        """Z."""
        return self.products.matrix

    def logits(self, flat: Array) -> Array:
        """Return Z c, (M, F*), for coefficients of shape (F* x P,)."""
        return self.products.times(flat.reshape(self.labels.shape[1], -1).T)

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
        return self.products.back(self.surplus(pi)).T.ravel()

    def bend(self, pi: Array) -> Array:
        """Return the negative second derivative in the logits by pairs of fates, (F*, F*, M)."""
        fates = pi.T
        unit = np.eye(len(fates))[:, :, None] * fates[:, None] - fates[:, None] * fates
        return np.asarray(self.weight * self.count * unit)

    def information(self, pi: Array) -> Array:
        """Return the negative Hessian, dense, (F* x P, F* x P)."""
        return self.squares(self.bend(pi))

    def squares_times(self, bend: Array, flat: Array) -> Array:
        """Return ``Z' W Z`` times vectors, (F* x P, n); W by pairs of fates, (F*, F*, M)."""
        n_rows, n_fates = self.labels.shape
        at_once = max(1, int(CHUNK_BYTES / (8 * n_rows * n_fates)))
        parts = [
            self._squares_times(bend, flat[:, start : start + at_once])
            for start in range(0, flat.shape[1], at_once)
        ]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)

    def _squares_times(self, bend: Array, flat: Array) -> Array:
        n_fates = self.labels.shape[1]
        along = self.products.logits(flat, n_fates)
        return self.products.slopes(np.moveaxis(bend, -1, 0) @ along)

    def scores(self, pi: Array, cluster: NDArray[np.integer] | None = None) -> sparse.csr_matrix:
        """Return the scores of the rows, (M, F* x P), or their sums by cluster of shape (M,) from 0."""
        by_row = sparse.hstack([self.matrix.multiply(each[:, None]) for each in self.surplus(pi).T], "csr")
        if cluster is None:
            return by_row
        return sparse.csr_matrix((np.ones(len(cluster)), (cluster, np.arange(len(cluster))))) @ by_row

    def cluster_scores(self, pi: Array, cluster: NDArray[np.integer]) -> Array:
        """Return the scores of the rows summed by cluster, (C, F* x P), clusters of shape (M,) from 0."""
        return np.asarray(self.scores(pi, cluster).toarray())

    def squares(self, bend: Array) -> Array:
        """Return ``Z' W Z`` by pairs of fates, dense; W by pairs of fates, (F*, F*, M)."""
        n_fates, width = self.labels.shape[1], self.matrix.shape[1]
        dense = np.empty((n_fates, width, n_fates, width))
        transposed = self.products.transposed
        for one in range(n_fates):
            for other in range(one, n_fates):
                w = bend[one, other]
                weighted = sparse.csr_matrix(
                    (transposed.data * w[transposed.indices], transposed.indices, transposed.indptr),
                    shape=transposed.shape,
                )
                dense[one, :, other] = (weighted @ self.matrix).toarray()
                if other > one:
                    dense[other, :, one] = dense[one, :, other].T
        return dense.reshape(n_fates * width, n_fates * width)


def add_sparse(dense: Array, part: Any) -> Array:
    """Return a dense matrix with a sparse one added to it, in place."""
    entries = part.tocoo()
    dense[entries.row, entries.col] += entries.data
    return dense
