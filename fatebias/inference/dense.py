"""The precision of all effects as one matrix with its Cholesky factor."""

from __future__ import annotations

import logging
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fatebias.errors import FitError
from fatebias.model.design_matrix import DesignMatrix
from fatebias.model.regression import SoftRegression, add_sparse
from fatebias.model.variational import Noise

log = logging.getLogger(__name__)

Array = NDArray[np.float64]

ANNOUNCED_GB = 4.0


def dense_factor(likelihood: SoftRegression, pi: Array, prior: Any, device: Any) -> Tensor:
    """Return the lower Cholesky factor of the whole precision; FitError where there is none."""
    needed_gb = 3 * 8 * prior.shape[0] ** 2 / 1e9
    if needed_gb > ANNOUNCED_GB:
        log.warning(
            "matrices of %d x %d, %.0f GB, are kept; inference.warm_start=none does without",
            *prior.shape,
            needed_gb,
        )
    factor, failed = torch.linalg.cholesky_ex(
        torch.from_numpy(dense_precision(likelihood, pi, prior)).to(device)
    )
    if int(failed):
        raise ran_away("a precision matrix that is not positive definite")
    return factor


def dense_precision(likelihood: SoftRegression, pi: Array, prior: Any) -> Array:
    """Return the whole precision, (size, size)."""
    return add_sparse(likelihood.information(pi), prior)


def ran_away(found: str) -> FitError:
    """Return the error of a Laplace solution that was not found."""
    return FitError(
        "the Laplace solution could not be found",
        where="inference.warm_start=laplace",
        found=found,
        fix="try priors=tight, a smaller likelihood_weight, or inference.warm_start=none",
    )


class Dense:
    """The precision by its factor."""

    words = "all effects in one dense matrix"

    def __init__(self, design: DesignMatrix, factor: Tensor, white: Tensor, prior: Any) -> None:
        self.design, self.factor, self.white, self.prior = design, factor, white, prior

    @property
    def device(self) -> torch.device:
        """Where the factor is."""
        return self.factor.device

    @property
    def log_volume(self) -> float:
        """Half the log-determinant."""
        return float(self.factor.diagonal().log().sum())

    @property
    def noise(self) -> Noise:
        """What makes noise of this precision: itself."""
        return self

    def colour(self, normal: Tensor) -> Tensor:
        """Return noise of the precision, (size, n), of white noise, (size, n)."""
        return torch.linalg.solve_triangular(self.factor.T, normal, upper=True)

    def of_gene(self, gene: int) -> Array:
        """Return the precision of a gene's effects given all others, in the order of its block."""
        block = self.design.block_index[gene]
        rows = self.factor[torch.from_numpy(block[block < self.design.size]).to(self.device)]
        return np.asarray((rows @ rows.T).cpu().numpy())

    def solve(self, vector: Array) -> Array:
        """Return the inverse times a vector, (size,)."""
        return self.solve_all(vector[:, None])[:, 0]

    def solve_all(self, vectors: Array) -> Array:
        """Return the inverse times vectors, (size, n)."""
        right = torch.from_numpy(vectors).to(self.factor)
        return np.asarray(torch.cholesky_solve(right, self.factor).cpu().numpy())

    @cached_property
    def spread(self) -> Array:
        """Draws around the mean, (S, size)."""
        return np.asarray(self.colour(self.white).T.cpu().numpy())

    def scale_squares(self) -> Array:
        """Return the expectation of the sum of squares behind each scale around the mean, (F*, D + 1)."""
        return self.design.scale_squares(self.spread)

    def sd(self) -> Array:
        """Return a rough SD of each effect, (size,)."""
        return np.asarray(np.sqrt((self.spread**2).mean(axis=0)))

    def prior_share(self) -> Array:
        """Return how much of what is known of each effect the prior knows, (size,): the diagonal of C Q."""
        entries = self.prior.tocoo()
        covariance = torch.cholesky_inverse(self.factor).cpu().numpy()
        share = covariance[entries.row, entries.col] * entries.data
        return np.bincount(entries.row, share, len(covariance)).astype(np.float64)
