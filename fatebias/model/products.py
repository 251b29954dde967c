"""Products with the sparse matrix of a design, where most of the time of a large fit goes."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Array = NDArray[np.float64]


class Products:
    """A sparse matrix Z, (M, P), its transpose, and products with both.

    Where Z is known as R E, products take the two in turn: R, (M, K), has one entry for each guide of a row,
    while Z has one for the guide's gene and one for the guide; E, (K, P), is small.
    """

    def __init__(self, matrix: Any, factors: tuple[Any, Any] | None = None) -> None:
        self.matrix, self._factors = matrix, factors

    @cached_property
    def transposed(self) -> Any:
        """Z transposed, CSR, (P, M)."""
        return self.matrix.T.tocsr()

    @cached_property
    def _backwards(self) -> tuple[Any, ...]:
        """Transposed, CSR: the matrix, or R and E."""
        return (
            (self.transposed,) if self._factors is None else tuple(each.T.tocsr() for each in self._factors)
        )

    def prepare(self) -> None:
        """Make what products need, which threads would else each make for themselves."""
        _ = self._backwards

    def times(self, columns: Array) -> Array:
        """Return Z times columns, (P, n) to (M, n)."""
        if self._factors is None:
            return np.asarray(self.matrix @ columns)
        of_row, of_effect = self._factors
        return np.asarray(of_row @ (of_effect @ columns))

    def back(self, columns: Array) -> Array:
        """Return Z transposed times columns, (M, n) to (P, n)."""
        for each in self._backwards:
            columns = each @ columns
        return np.asarray(columns)

    def logits(self, flat: Array, n_fates: int) -> Array:
        """Return Z c, (M, F*, n), for n vectors of coefficients, (F* x P, n)."""
        n = flat.shape[1]
        stacked = flat.reshape(n_fates, -1, n).transpose(1, 0, 2).reshape(-1, n_fates * n)
        return self.times(stacked).reshape(-1, n_fates, n)

    def slopes(self, by_row: Array) -> Array:
        """Return Z' times n values of each row and fate, (M, F*, n), as coefficients, (F* x P, n)."""
        n_fates, n = by_row.shape[1:]
        pulled = self.back(by_row.reshape(-1, n_fates * n))
        return pulled.reshape(-1, n_fates, n).transpose(1, 0, 2).reshape(-1, n)


def indicators(row: NDArray[np.integer], column: NDArray[np.integer], shape: tuple[int, int]) -> Any:
    """Return a sparse matrix with a one in each of some places."""
    return sparse.csr_matrix((np.ones(len(row)), (row, column)), shape)
