"""The precision of many effects, whose genes are nearly independent given the shared effects (`bordered`).

This approximation makes conjugate gradients with the exact precision end in a few steps, and what it leaves
out of the log-determinant and the variances is estimated by its second term with white noise. Draws have what
genes have in common from `common_directions`.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fatebias.inference.bordered import (
    MOST_COUPLING,
    PROBES,
    Bordered,
    Places,
    conjugate_gradients,
    link,
    probes,
)
from fatebias.inference.common_directions import CommonDirections
from fatebias.inference.dense import dense_factor, dense_precision, ran_away
from fatebias.model.design_matrix import DesignMatrix
from fatebias.model.regression import SoftRegression

Array = NDArray[np.float64]

SOLVE_TOLERANCE = 1e-6
MOST_LEVEL = 0.3  # share by which the precision of the genes' common level may differ from independence
MOST_GATHERED_BYTES = 1e9
SPARSE_COST = 10  # of an entry of a sparse matrix, in entries of a dense one


class MakeByGene:
    """Makes `ByGene` as long as genes are nearly independent."""

    def __init__(self, design: DesignMatrix, device: Any) -> None:
        self.design, self.places = design, Places.of(design, device)
        self.failed = False

    def __call__(self, likelihood: SoftRegression, pi: Array, prior: Any) -> ByGene | None:
        """Return the precision at a point; None where genes are not nearly independent."""
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
        if self.whole is not None:
            return
        size, sparse = self.design.size, self.design.rows.n_effects * self.likelihood.matrix.nnz
        if 8 * size**2 <= MOST_GATHERED_BYTES and size**2 < SPARSE_COST * sparse:
            whole = dense_precision(self.likelihood, self.pi, self.prior)
            self.whole = torch.from_numpy(whole).to(self.device)

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
        parts = self.places.of_one(level)
        exact = level.T @ self.places.from_one(*self.times(*parts))
        white = self.places.from_one(*self.approximation.whiten(*parts))
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
        return np.asarray(self.places.from_one(*self.approximation.colour(*self.linked)).T.cpu().numpy())

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
