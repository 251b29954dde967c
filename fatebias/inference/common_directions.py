"""What genes have in common beyond the shared effects, without a dense matrix.

With R the factor of the approximation in which genes are independent given the shared effects (`bordered`),
the precision is H = R (I + F) R'. F is small but for a few directions in which many genes move together, as
the burden moves all of them. With its eigenvectors V and eigenvalues f there, from Lanczos' method (Lehoucq,
Sorensen and Yang 1998, doi 10.1137/1.9780898719628),

    C = H^-1 = R'^-1 (I + V diag(1 / (1 + f) - 1) V') R^-1.

What F is elsewhere links pairs of genes, and adds to a variance by its square.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh
from torch import Tensor

from fatebias.inference.bordered import Bordered, Places, Times, link

MOST_DIRECTIONS = 16
TOLERANCE = 0.02  # of an eigenvalue
# The few that lie apart are found in the first of Lanczos' restarts, those in the crowd after many.
MOST_RESTARTS = 2


@dataclass(frozen=True)
class CommonDirections:
    """Directions of white noise in which a precision differs from that of independent genes."""

    approximation: Bordered
    places: Places
    vectors: Tensor  # (size, k) V
    precision: Tensor  # (k,) 1 + f

    @classmethod
    def of(cls, approximation: Bordered, times: Times, places: Places) -> CommonDirections:
        """Return those of the precision that ``times`` multiplies by."""
        size = places.size

        def linked(vector: np.ndarray) -> np.ndarray:
            white = places.of_one(torch.from_numpy(vector.reshape(size, 1)).to(places.taken))
            found = places.from_one(*link(approximation, times, places, *white))
            return np.asarray(found.squeeze(1).cpu().numpy())

        start = np.random.default_rng(0).standard_normal(size)
        operator = LinearOperator((size, size), matvec=linked, dtype=np.float64)
        try:
            value, vector = eigsh(
                operator, k=MOST_DIRECTIONS, which="LM", v0=start, tol=TOLERANCE, maxiter=MOST_RESTARTS
            )
        except ArpackNoConvergence as found:  # those that did converge
            value, vector = found.eigenvalues, found.eigenvectors
        vectors, values = places.put(vector, value)
        return cls(approximation, places, vectors, 1 + values)

    @property
    def device(self) -> torch.device:
        """Where the vectors are."""
        return self.vectors.device

    @property
    def log_volume(self) -> float:
        """Half the log-determinant of the precision."""
        return float(self.approximation.log_volume[0]) + 0.5 * float(self.precision.log().sum())

    def bend(self, normal: Tensor) -> tuple[Tensor, Tensor]:
        """Return white noise, (size, n), with the variances of the common directions.

        As vectors of genes, (1, L, w, n), and shared ones, (1, q, n), which the approximation colours.
        """
        more = (self.precision**-0.5 - 1).unsqueeze(1)
        return self.places.of_one(normal + self.vectors @ (more * (self.vectors.T @ normal)))

    def colour(self, normal: Tensor) -> Tensor:
        """Return noise of the precision, (size, n), of white noise, (size, n)."""
        return self.places.from_one(*self.approximation.colour(*self.bend(normal)))

    def covariances(self) -> Tensor:
        """Return each gene's block of C, (L, w, w)."""
        along = self.approximation.colour(*self.places.of_one(self.vectors))[0][0]  # (L, w, k)
        return self.approximation.covariances()[0] + (along * (1 / self.precision - 1)) @ along.mT
