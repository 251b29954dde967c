"""The precision of all effects at a point, and what a fit asks of it.

Of few effects it is a dense matrix with its Cholesky factor (`Dense`). Of many, genes are nearly independent
given the shared effects (`bordered`): this approximation makes conjugate gradients with the exact precision
end in a few steps, and what it leaves out of the log-determinant and the variances is estimated by its second
term with white noise (`ByGene`). Draws have what genes have in common from `common_directions`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache, cached_property
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fatebias.errors import FitError
from fatebias.inference.bordered import (
    MANY_EFFECTS,
    MOST_COUPLING,
    PROBES,
    Bordered,
    Places,
    conjugate_gradients,
    link,
    probes,
)
from fatebias.inference.common_directions import CommonDirections
from fatebias.model.design_matrix import DesignMatrix
from fatebias.model.regression import SoftRegression
from fatebias.model.variational import Noise

log = logging.getLogger(__name__)

Array = NDArray[np.float64]

LEAST_DRAWS = 64
# Posterior variances enter a scale as a sum over genes: with 50,000 draws in all it is known to less than a
# percent, at a small part of the cost of the whole covariance.
DRAWS_BEHIND_A_SCALE = 50_000
SOLVE_TOLERANCE = 1e-6
ANNOUNCED_GB = 4.0
MOST_GATHERED_BYTES = 1e9
SPARSE_COST = 10  # of an entry of a sparse matrix, in entries of a dense one
MOST_LEVEL = 0.3  # share by which the precision of the genes' common level may differ from independence


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
    by_gene = _MakeByGene(design, device) if design.size >= MANY_EFFECTS else None

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
    information = likelihood.information(pi)
    entries = prior.tocoo()
    information[entries.row, entries.col] += entries.data
    return information


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


class _MakeByGene:
    """Makes `ByGene` as long as genes are nearly independent."""

    def __init__(self, design: DesignMatrix, device: Any) -> None:
        self.design, self.device = design, device
        self.places = Places.of(design, device)
        self.failed = False

    def __call__(self, likelihood: SoftRegression, pi: Array, prior: Any) -> ByGene | None:
        bend = likelihood.bend(pi)
        blocks, border, shared = self.places.put(*self.design.information.at(bend))
        own, fixed = self.places.of_prior(prior)
        blocks = blocks + own
        try:
            start = Bordered.of_parts(blocks, border, shared + fixed, self.places)
        except torch.linalg.LinAlgError:
            raise ran_away("a precision matrix that is not positive definite") from None
        found = ByGene(self.design, self.places, start, blocks, likelihood, pi, bend, prior)
        self.failed = not found.is_close()
        return None if self.failed else found


class ByGene:
    """The precision by its sparse parts and the approximation with independent genes."""

    words = "by conjugate gradients, genes nearly independent"

    def __init__(
        self,
        design: DesignMatrix,
        places: Places,
        approximation: Bordered,
        blocks: Tensor,
        likelihood: SoftRegression,
        pi: Array,
        bend: Array,
        prior: Any,
    ) -> None:
        self.design, self.places, self.blocks = design, places, blocks
        self.approximation = approximation
        self.likelihood, self.pi, self.bend, self.prior = likelihood, pi, bend, prior
        self.whole: Tensor | None = None  # the precision, where it is gathered
        self.linked = link(approximation, self.times, places, *probes(places))
        square = sum(float((each**2).sum()) for each in self.linked) / PROBES
        self.coupling = square / design.size  # mean square of a row of F

    def gather(self) -> None:
        """Keep the precision as one matrix, for hundreds of products, where that is quicker and has room.

        A product then costs the square of the number of effects, however many cells there are.
        """
        size, sparse = self.design.size, self.design.rows.n_effects * self.likelihood.matrix.nnz
        if 8 * size**2 <= MOST_GATHERED_BYTES and size**2 < SPARSE_COST * sparse:
            self.whole = torch.from_numpy(dense_precision(self.likelihood, self.pi, self.prior)).to(
                self.device
            )

    def is_close(self) -> bool:
        """Whether genes are nearly independent: one by one, and in what they have in common.

        Where every cell has one guide and few are NTC, intercepts take up the level that all genes share,
        which no pair of genes shows.
        """
        if not self.coupling < MOST_COUPLING:
            return False
        theta = self.design.theta_index  # (L, F*, D)
        level = torch.zeros(self.design.size, theta[0].size, dtype=torch.float64, device=self.device)
        level[torch.from_numpy(theta.reshape(len(theta), -1)), torch.arange(theta[0].size)] = 1
        gene, shared = self.places.split(level)
        exact = level.T @ self.places.join(*(each[0] for each in self.times(gene[None], shared[None])))
        white = self.places.join(*(each[0] for each in self.approximation.whiten(gene[None], shared[None])))
        root = torch.linalg.cholesky(white.T @ white)
        half = torch.linalg.solve_triangular(root, exact, upper=False)
        share = torch.linalg.eigvalsh(torch.linalg.solve_triangular(root, half.T, upper=False))
        return bool((share - 1).abs().max() < MOST_LEVEL)

    def times(self, gene: Tensor, shared: Tensor) -> tuple[Tensor, Tensor]:
        """Return the precision times vectors, (J, L, w, n) and (J, q, n)."""
        n_points, n = len(gene), gene.shape[-1]
        flat = self.places.join(gene.permute(1, 2, 0, 3).flatten(2), shared.transpose(0, 1).flatten(1))
        if self.whole is None:
            vectors = flat.cpu().numpy()
            bent = self.likelihood.squares_times(self.bend, vectors) + self.prior @ vectors
            own, common = self.places.split(torch.from_numpy(bent).to(gene))
        else:
            own, common = self.places.split(self.whole @ flat)
        own = own.unflatten(-1, (n_points, n)).permute(2, 0, 1, 3)
        return own, common.unflatten(-1, (n_points, n)).transpose(0, 1)

    @property
    def device(self) -> torch.device:
        """Where the blocks are, and the factor once it is made."""
        return self.places.gene.device

    @cached_property
    def factor(self) -> Tensor:
        """Lower Cholesky factor, (size, size)."""
        return dense_factor(self.likelihood, self.pi, self.prior, self.device)

    @property
    def log_volume(self) -> float:
        """Half the log-determinant, to the second order in what links genes."""
        return float(self.approximation.log_volume[0]) - self.coupling * self.design.size / 4

    @cached_property
    def noise(self) -> CommonDirections:
        """What makes noise of this precision, and each gene's covariance."""
        return CommonDirections.of(self.approximation, self.times, self.places)

    def of_gene(self, gene: int) -> Array:
        """Return the precision of a gene's effects given all others, in the order of its block."""
        n = int(self.places.taken[gene].sum())
        return np.asarray(self.blocks[gene, :n, :n].cpu().numpy())

    def solve(self, vector: Array) -> Array:
        """Return the inverse times a vector, (size,)."""
        return self.solve_all(vector[:, None])[:, 0]

    def solve_all(self, vectors: Array) -> Array:
        """Return the inverse times vectors, (size, n)."""
        parts = self.places.by_point(*self.places.put(vectors))
        found = conjugate_gradients(self.times, self.approximation, parts, SOLVE_TOLERANCE)
        return np.asarray(self.places.together(*found).cpu().numpy())

    @cached_property
    def second(self) -> Array:
        """What links genes, as draws whose mean squares add to the variances, (n, size)."""
        own, common = self.approximation.colour(*self.linked)
        return np.asarray(self.places.join(own[0], common[0]).T.cpu().numpy())

    def scale_squares(self) -> Array:
        """Return the expectation of the sum of squares behind each scale around the mean, (F*, D + 1)."""
        blocks = (self.approximation.covariances()[0] * self.places.both).sum(dim=0).cpu().numpy()
        return self.design.block_squares(blocks) + self.design.scale_squares(self.second)

    def sd(self) -> Array:
        """Return a rough SD of each effect, (size,)."""
        own, common = self.approximation.variances()
        variance = self.places.join(own[0].unsqueeze(-1), common[0].unsqueeze(-1)).squeeze(1).cpu().numpy()
        return np.asarray(np.sqrt(variance + (self.second**2).mean(axis=0)))

    def prior_share(self) -> Array:
        """Return how much of what is known of each effect the prior knows, (size,): the diagonal of C Q."""
        prior, fixed = self.places.of_prior(self.prior)
        blocks = (self.approximation.covariances()[0] * prior).sum(dim=-1)
        common = self.approximation.variances()[1][0] * fixed.diagonal()
        share = self.places.join(blocks.unsqueeze(-1), common.unsqueeze(-1)).squeeze(1).cpu().numpy()
        return np.asarray(share + (self.second * (self.prior @ self.second.T).T).mean(axis=0))
