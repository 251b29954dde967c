"""The precision of all effects, genes taken as independent given their own cells and the shared effects.

Eliminating the shared effects (intercepts, replicates, burden) from the precision leaves a matrix over genes
whose blocks between two genes hold how much more often than by chance their guides are in one cell. Guides
are assigned at random, so this is close to zero, and here it is taken as zero. Order of elimination:

    [ S  U' ]     [ R_s      0 ] [ R_s'  across ]
    [ U  H  ]  =  [ across'  R ] [ 0     R'     ],  across = R_s^-1 U',  R R' = blocks of H - across' across

with S of the shared effects, H of genes (each gene's theta and its guides' deviations are a block) and U
between the two. It costs what the blocks cost, and is always positive definite.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fatebias.model.design_matrix import DesignMatrix

# From here on blocks save more than they cost.
MANY_EFFECTS = 1500
# Mean over effects of the sum of squares that link one to those of other genes (`coupling`): a cell's guides
# assigned at random give about genes / (cells of a day), 0.02 and less in screens of this size. Variances
# by block are off by this share at most.
MOST_COUPLING = 0.05
PROBES, PROBES_A_POINT = 8, 2  # white noise behind a trace, at one point and at many together
MOST_STEPS = 100
TINY = 1e-300

Times = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Places:
    """Where the blocks of a design lie in the flat vector."""

    gene: Tensor  # (L, w) flat places, padded with `size`
    shared: Tensor  # (q,)
    taken: Tensor  # (L, w) 1 where there is an effect, 0 where a gene has fewer guides
    size: int

    @property
    def both(self) -> Tensor:
        """1 where both effects of a pair are there, (L, w, w)."""
        return self.taken.unsqueeze(2) * self.taken.unsqueeze(1)

    @classmethod
    def of(cls, design: DesignMatrix, device: Any) -> Places:
        """Return the places of a design's blocks."""
        gene = torch.from_numpy(design.block_index).to(device)
        shared = torch.from_numpy(design.shared_index.ravel()).to(device)
        return cls(gene, shared, (gene < design.size).double(), design.size)

    def put(self, *values: Any) -> Any:
        """Return numpy arrays as tensors where the places are."""
        return tuple(torch.from_numpy(np.ascontiguousarray(each)).to(self.taken) for each in values)

    def split(self, flat: Tensor) -> tuple[Tensor, Tensor]:
        """Return vectors (size, n) as those of genes, (L, w, n), zero-padded, and shared ones, (q, n)."""
        padded = torch.cat([flat, flat.new_zeros(1, flat.shape[1])])
        return padded[self.gene], flat[self.shared]

    def join(self, gene: Tensor, shared: Tensor) -> Tensor:
        """Return vectors (size, n) from their parts."""
        padded = gene.new_empty(self.size + 1, gene.shape[-1])
        padded[self.gene] = gene
        padded[self.shared] = shared
        return padded[:-1]

    def of_one(self, flat: Tensor) -> tuple[Tensor, Tensor]:
        """Return vectors (size, n) for one precision, as (1, L, w, n) and (1, q, n)."""
        gene, shared = self.split(flat)
        return gene[None], shared[None]

    def from_one(self, gene: Tensor, shared: Tensor) -> Tensor:
        """Return vectors (size, n) from (1, L, w, n) and (1, q, n)."""
        return self.join(gene[0], shared[0])

    def by_point(self, flat: Tensor) -> tuple[Tensor, Tensor]:
        """Return one vector for each of J precisions, (size, J), as (J, L, w, 1) and (J, q, 1)."""
        gene, shared = self.split(flat)
        return gene.permute(2, 0, 1).unsqueeze(-1), shared.T.unsqueeze(-1)

    def together(self, gene: Tensor, shared: Tensor) -> Tensor:
        """Return vectors (size, J) from (J, L, w, 1) and (J, q, 1)."""
        return self.join(gene.squeeze(-1).permute(1, 2, 0), shared.squeeze(-1).T)

    def of_prior(self, prior: Any) -> tuple[Tensor, Tensor]:
        """Return blocks (L, w, w) and shared part (q, q) of a sparse precision that has no border."""
        gene, shared = self.gene.cpu().numpy(), self.shared.cpu().numpy()
        number, within = np.nonzero(gene < self.size)
        place = np.full((3, self.size), -1)  # gene, place within its block, place among the shared
        place[:2, gene[number, within]] = number, within
        place[2, shared] = np.arange(len(shared))
        entries = prior.tocoo()
        (block, row, one), (_, column, other) = place[:, entries.row], place[:, entries.col]
        of_gene = block >= 0
        blocks = np.zeros((*gene.shape, gene.shape[1]))
        blocks[block[of_gene], row[of_gene], column[of_gene]] = entries.data[of_gene]
        common = np.zeros((len(shared), len(shared)))
        common[one[~of_gene], other[~of_gene]] = entries.data[~of_gene]
        blocks_there, common_there = self.put(blocks, common)
        return blocks_there, common_there


@dataclass(frozen=True)
class Bordered:
    """Cholesky factors of J such precisions that differ in the blocks alone."""

    shared: Tensor  # (q, q) R_s, lower
    across: Tensor  # (L, q, w)
    blocks: Tensor  # (J, L, w, w) R, lower; 1 on the diagonal where a gene has fewer guides

    @classmethod
    def of_parts(cls, blocks: Tensor, border: Tensor, shared: Tensor, places: Places) -> Bordered:
        """Return the approximation, J = 1, of blocks (L, w, w), border (L, w, q) and shared part (q, q)."""
        root = torch.linalg.cholesky(shared)
        across = torch.linalg.solve_triangular(root, border.mT, upper=False)
        empty = torch.diag_embed(1 - places.taken)
        return cls(root, across, torch.linalg.cholesky(blocks - across.mT @ across + empty)[None])

    def plus(self, more: Tensor) -> Bordered:
        """Return the first of these with more precision on the blocks, (J, L, w, w)."""
        first = self.blocks[0]
        return Bordered(self.shared, self.across, torch.linalg.cholesky(first @ first.mT + more))

    def only(self, j: int) -> Bordered:
        """Return the j-th alone."""
        return Bordered(self.shared, self.across, self.blocks[j : j + 1])

    @property
    def log_volume(self) -> Tensor:
        """Half the log-determinant of each, (J,)."""
        own = self.blocks.diagonal(dim1=-2, dim2=-1).log().sum(dim=(1, 2))
        return own + self.shared.diagonal().log().sum()

    def covariances(self) -> Tensor:
        """Return each gene's block of the inverse, (J, L, w, w)."""
        return torch.cholesky_inverse(self.blocks)

    def sandwich(self, blocks: Tensor, border: Tensor, shared: Tensor) -> Tensor:
        """Return each gene's block of C M C, (L, w, w), C the inverse of the first precision.

        M has blocks (L, w, w), border (L, w, q) and shared part (q, q); what else M has between genes is
        left out, as in C.
        """
        eye = torch.eye(len(self.shared), dtype=self.shared.dtype, device=self.shared.device)
        away = self.across.mT @ torch.linalg.solve_triangular(self.shared, eye, upper=False)  # (L, w, q)
        crossed = away @ border.mT
        meat = blocks - crossed - crossed.mT + away @ shared @ away.mT
        inverse = self.covariances()[0]
        return inverse @ meat @ inverse

    def variances(self) -> tuple[Tensor, Tensor]:
        """Return the diagonal of the inverse, (J, L, w) and (J, q)."""
        own = self.covariances()
        eye = torch.eye(len(self.shared), dtype=self.shared.dtype, device=self.shared.device)
        meat = eye + torch.einsum("lqw,jlwv,lrv->jqr", self.across, own, self.across)
        root = torch.linalg.solve_triangular(self.shared.T, eye, upper=True)
        common = torch.einsum("qr,jrs,qs->jq", root, meat, root)
        return own.diagonal(dim1=-2, dim2=-1), common

    def whiten(self, gene: Tensor, shared: Tensor) -> tuple[Tensor, Tensor]:
        """Return the factor's transpose times vectors, of genes (J, L, w, n) and shared (J, q, n)."""
        common = self.shared.T @ shared + torch.einsum("lqw,jlwn->jqn", self.across, gene)
        return self.blocks.mT @ gene, common

    def colour(self, gene: Tensor, shared: Tensor) -> tuple[Tensor, Tensor]:
        """Return the inverse of `whiten`: white noise becomes noise of this precision."""
        own = torch.linalg.solve_triangular(self.blocks.mT, gene, upper=True)
        rest = shared - torch.einsum("lqw,jlwn->jqn", self.across, own)
        return own, torch.linalg.solve_triangular(self.shared.T, rest, upper=True)

    def solve(self, gene: Tensor, shared: Tensor) -> tuple[Tensor, Tensor]:
        """Return the inverse of the precisions times vectors."""
        return self.colour(*self.reduce(gene, shared))

    def reduce(self, gene: Tensor, shared: Tensor) -> tuple[Tensor, Tensor]:
        """Return the inverse of the factor times vectors."""
        common = torch.linalg.solve_triangular(self.shared, shared, upper=False)
        own = gene - torch.einsum("lqw,jqn->jlwn", self.across, common)
        return torch.linalg.solve_triangular(self.blocks, own, upper=False), common


def probes(places: Places, n: int = PROBES) -> tuple[Tensor, Tensor]:
    """Return white noise to estimate traces with, (1, L, w, n) and (1, q, n): the same in every call."""
    generator = torch.Generator().manual_seed(0)
    flat = torch.randn(places.size, n, generator=generator, dtype=torch.float64)
    return places.of_one(flat.to(places.taken.device))


def link(approximation: Bordered, times: Times, places: Places, gene: Tensor, shared: Tensor) -> Any:
    """Return ``F x`` of x in white coordinates, F what is left of the precision, ``R^-1 H R'^-1 - I``.

    ``times`` multiplies by the precision H itself.
    """
    own, common = approximation.reduce(*times(*approximation.colour(gene, shared)))
    return (own - gene) * places.taken.unsqueeze(-1), common - shared


def coupling(approximation: Bordered, times: Times, places: Places) -> Tensor:
    """Return the mean square of a row of F (`link`) at J points, (J,), by white noise."""
    few = probes(places, PROBES_A_POINT)
    noise = (each.expand(len(approximation.blocks), *each.shape[1:]) for each in few)
    own, common = link(approximation, times, places, *noise)
    return ((own**2).sum(dim=(1, 2, 3)) + (common**2).sum(dim=(1, 2))) / PROBES_A_POINT / places.size


def conjugate_gradients(
    times: Times, approximation: Bordered, right: tuple[Tensor, Tensor], tolerance: float
) -> tuple[Tensor, Tensor]:
    """Return the inverses of J precisions times a vector each, (J, L, w, 1) and (J, q, 1).

    ``times`` multiplies by the precisions, and the approximation is the preconditioner. Ends where the
    distance that is left is ``tolerance`` of the whole, in posterior SDs.
    """
    left = right
    found = tuple(torch.zeros_like(each) for each in right)
    direction = step = approximation.solve(*left)
    square = begun = _dot(left, step)
    for _ in range(MOST_STEPS):
        if not bool((square > tolerance**2 * begun).any()):
            break
        along = times(*direction)
        length = square / _dot(direction, along).clamp_min(TINY)
        found = _plus(found, length, direction)
        left = _plus(left, -length, along)
        step = approximation.solve(*left)
        new = _dot(left, step)
        direction = _plus(step, new / square.clamp_min(TINY), direction)
        square = new
    return found  # type: ignore[return-value]


def _dot(one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor]) -> Tensor:
    return (one[0] * other[0]).sum(dim=(1, 2, 3)) + (one[1] * other[1]).sum(dim=(1, 2))


def _plus(one: Any, length: Tensor, other: Any) -> Any:
    return one[0] + length.view(-1, 1, 1, 1) * other[0], one[1] + length.view(-1, 1, 1) * other[1]
