"""Multinomial regression on soft labels: value, gradient and curvature in the coefficients.

The log-likelihood is ``weight * sum_m sum_f p[m,f] log softmax([0, Z_m c])[f]`` (Papke and Wooldridge 1996,
J. Appl. Econometrics 11:619, for fractions). Coefficients are flat, fate by fate.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Array = NDArray[np.float64]


class SoftRegression:
    """The weighted log-likelihood of soft labels as a function of the coefficients.

    Parameters
    ----------
    matrix
        Z, CSR, shape (M, P).
    p
        Fate probabilities or their sums over the cells of a row, shape (M, F), reference first.
    weight
        How much a soft label counts.
    """

    def __init__(self, matrix: Any, p: Array, weight: float = 1.0) -> None:
        self.matrix = matrix
        self.weight = weight
        self.p = p
        self.labels = p[:, 1:]
        self.count = p.sum(axis=1)

    @cached_property
    def transposed(self) -> Any:
        """Z transposed, CSR, shape (P, M)."""
        return self.matrix.T.tocsr()

    def logits(self, flat: Array) -> Array:
        """Give Z c, shape (M, F*), for coefficients of shape (F* x P,)."""
        return self.matrix @ flat.reshape(self.labels.shape[1], -1).T

    def value(self, logits: Array) -> float:
        """Give the log-likelihood at logits of shape (M, F*)."""
        top = np.maximum(logits.max(axis=1), 0)
        total = np.exp(-top) + np.exp(logits - top[:, None]).sum(axis=1)
        return self.weight * float((self.labels * logits).sum() - (self.count * (top + np.log(total))).sum())

    def probabilities(self, logits: Array) -> Array:
        """Give pi of the non-reference fates, shape (M, F*)."""
        top = np.maximum(logits.max(axis=1), 0)
        raised = np.exp(logits - top[:, None])
        return raised / (np.exp(-top) + raised.sum(axis=1))[:, None]

    def surplus(self, pi: Array) -> Array:
        """Give the derivative in the logits, ``weight * (p - n pi)``, shape (M, F*)."""
        return self.weight * (self.labels - self.count[:, None] * pi)

    def gradient(self, pi: Array) -> Array:
        """Give the derivative in the coefficients, shape (F* x P,)."""
        return (self.transposed @ self.surplus(pi)).T.ravel()

    def information(self, pi: Array) -> Array:
        """Give the negative Hessian, dense, shape (F* x P, F* x P)."""

        def of(one: int, other: int) -> Array:
            return self.weight * self.count * pi[:, one] * ((one == other) - pi[:, other])

        return self.weighted_squares(of)

    def scatter(self, pi: Array) -> Array:
        """Give the outer product of the rows' scores, dense, shape (F* x P, F* x P).

        Right where each row is one independent cell; for clusters see `cluster_scores`.
        """
        surplus = self.surplus(pi)
        return self.weighted_squares(lambda one, other: surplus[:, one] * surplus[:, other])

    def cluster_scores(self, pi: Array, cluster: NDArray[np.integer]) -> Array:
        """Sum the scores of the rows of each cluster.

        Parameters
        ----------
        pi
            Probabilities, shape (M, F*).
        cluster
            Cluster of each row from 0, shape (M,).

        Returns
        -------
        ndarray
            Shape (C, F* x P).
        """
        rows = len(cluster)
        member = sparse.csr_matrix((np.ones(rows), (cluster, np.arange(rows))))
        surplus = self.surplus(pi)
        parts = [(member @ self.matrix.multiply(each[:, None]).tocsr()).toarray() for each in surplus.T]
        return np.concatenate(parts, axis=1)

    def weighted_squares(self, weight_of: Any) -> Array:
        """Give Z' W Z by pairs of fates, dense and symmetric.

        Parameters
        ----------
        weight_of
            Gives the weights of the rows, shape (M,), for a pair of fates.

        Returns
        -------
        ndarray
            Shape (F* x P, F* x P).
        """
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
