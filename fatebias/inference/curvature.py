"""The precision of all effects at a point, and what a fit asks of it.

Of few effects it is a matrix with its Cholesky factor (`dense`), of many kept by gene (`by_gene`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fatebias.inference.bordered import MANY_EFFECTS
from fatebias.inference.by_gene import MakeByGene
from fatebias.inference.dense import Dense, dense_factor
from fatebias.model.design_matrix import DesignMatrix
from fatebias.model.regression import SoftRegression
from fatebias.model.variational import Noise

Array = NDArray[np.float64]

LEAST_DRAWS = 64
# Posterior variances enter a scale as a sum over genes: with 50,000 draws in all it is known to less than a
# percent, at a small part of the cost of the whole covariance.
DRAWS_BEHIND_A_SCALE = 50_000


class Curvature(Protocol):
    """A precision, (size, size)."""

    words: str  # how it is kept, for the log

    @property
    def device(self) -> torch.device:
        """Where the factor is."""
        ...

    @property
    def factor(self) -> Tensor:
        """Lower Cholesky factor, (size, size)."""
        ...

    @property
    def log_volume(self) -> float:
        """Half the log-determinant."""
        ...

    @property
    def noise(self) -> Noise:
        """What makes noise of this precision."""
        ...

    def of_gene(self, gene: int) -> Array:
        """Return the precision of a gene's effects given all others, in the order of its block."""
        ...

    def solve(self, vector: Array) -> Array:
        """Return the inverse times a vector, (size,)."""
        ...

    def solve_all(self, vectors: Array) -> Array:
        """Return the inverse times vectors, (size, n)."""
        ...

    def scale_squares(self) -> Array:
        """Return the expectation of the sum of squares behind each scale around the mean, (F*, D + 1)."""
        ...

    def sd(self) -> Array:
        """Return a rough SD of each effect, (size,)."""
        ...

    def prior_share(self) -> Array:
        """Return how much of what is known of each effect the prior knows, (size,): the diagonal of C Q.

        C is the inverse and Q the prior's part of the precision.
        """
        ...


Curve = Callable[[SoftRegression, Array, Any], Curvature]


def curvature_of(design: DesignMatrix, device: Any, *, draws: bool) -> Curve:
    """Return what makes the curvature from likelihood, probabilities (M, F*) and the prior's precision.

    Without ``draws`` scales are held, and a few draws do.
    """
    noise = _white_noise(design, device, few=not draws)
    by_gene = MakeByGene(design, device) if design.size >= MANY_EFFECTS else None

    def at(likelihood: SoftRegression, pi: Array, prior: Any) -> Curvature:
        if by_gene is not None and not by_gene.failed:
            found = by_gene(likelihood, pi, prior)
            if found is not None:
                return found
        return Dense(design, dense_factor(likelihood, pi, prior, device), noise(), prior)

    return at


def _white_noise(design: DesignMatrix, device: Any, few: bool) -> Callable[[], Tensor]:
    """Return standard normals, (size, draws), the same in every round so that the rounds converge."""

    @cache
    def noise() -> Tensor:
        draws = LEAST_DRAWS if few else max(LEAST_DRAWS, -(-DRAWS_BEHIND_A_SCALE // design.rows.n_genes))
        generator = torch.Generator().manual_seed(0)
        normal = torch.randn(design.size, draws, generator=generator, dtype=torch.float64)
        return normal.to(device)

    return noise
