"""How scores scatter along each gene's effects, without a dense matrix.

The direction of an effect is its column of the inverse curvature in which genes are independent given the
shared effects (`inference.bordered`): its own gene's block and the shared effects, all else zero. A score
along it is that of the cells that hold the gene, and of all cells through the shared effects.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse

from fatebias.estimates.sandwich import Sandwich
from fatebias.inference.curvature import ByGene

Array = NDArray[np.float64]

AT_ONCE = 100_000  # pairs of a cell and a gene


@dataclass(frozen=True)
class ScatterOfScores:
    """Along each theta, (L x E,), E = F* x D; at weight 1, small-sample factors included."""

    variance: Array  # of theta
    expected: Array  # variance of the score if a soft label were one draw of a fate
    seen: Array  # its square summed over clusters (cells, where clusters are few)
    clusters: Array  # effective number of clusters that hold the gene


def scatter_of_scores(cells: Sandwich, curvature: ByGene) -> ScatterOfScores:
    """Return how scores scatter along the gene effects of a fit."""
    width = cells.design.theta_index[0].size
    start, places = curvature.approximation, curvature.places
    own = start.covariances()[0][:, :, :width]  # (L, w, E)
    common = -torch.linalg.solve_triangular(start.shared.T, start.across @ own, upper=True)  # (L, q, E)
    blocks, fixed = places.of_prior(curvature.prior)
    known = (own * (blocks @ own)).sum(dim=1) + (common * (fixed @ common)).sum(dim=1)
    expected = (own[:, :width].diagonal(dim1=1, dim2=2) - known) / cells.weight

    own_there, common_there = own.cpu().numpy(), common.cpu().numpy()
    pairs = _Pairs.of(cells, places.gene.cpu().numpy())
    square, fourth = np.zeros((2, *expected.shape))
    seen = np.einsum("lqe,qr,lre->le", common_there, pairs.shared.T @ pairs.shared, common_there)
    flat = own_there.reshape(-1, width)
    for first in range(0, len(pairs.gene), AT_ONCE):
        part = slice(first, first + AT_ONCE)
        gene = pairs.gene[part]
        mine = np.asarray(pairs.own[part] @ flat)
        through = np.einsum("pq,pqe->pe", pairs.shared[pairs.row[part]], common_there[gene])
        np.add.at(seen, gene, mine * (mine + 2 * through))
        along = (mine + through) ** 2
        np.add.at(square, gene, along)
        np.add.at(fourth, gene, along**2)
    factor = cells.residual_factor * (cells.cluster_factor if cells.clustered else 1.0)
    return ScatterOfScores(
        own[:, :width].diagonal(dim1=1, dim2=2).cpu().numpy().ravel(),
        expected.cpu().numpy().ravel(),
        factor * seen.ravel(),
        (3 * square**2 / np.maximum(fourth, 1e-300)).ravel(),
    )


@dataclass(frozen=True)
class _Pairs:
    """Scores of each cluster, or cell, by the genes that it holds."""

    row: NDArray[np.integer]  # (n,) cluster or cell
    gene: NDArray[np.integer]  # (n,)
    own: sparse.csr_matrix  # (n, L x w) score by effect of the gene's block
    shared: Array  # (rows, q) score by shared effect

    @classmethod
    def of(cls, cells: Sandwich, block_index: NDArray[np.integer]) -> _Pairs:
        """Return those of the cells around a fit; blocks of effects (L, w), padded with the size."""
        scores = cells.scores().tocsc()
        n_genes, width = block_index.shape
        shared = scores[:, cells.design.shared_index.ravel()].toarray()
        size = cells.design.size
        place = np.full(size + 1, -1)
        place[block_index.ravel()] = np.arange(block_index.size)
        place[size] = -1
        entries = scores.tocoo()
        at = place[entries.col]
        row, at, value = entries.row[at >= 0].astype(np.int64), at[at >= 0], entries.data[at >= 0]
        code, pair = np.unique(row * n_genes + at // width, return_inverse=True)
        own = sparse.csr_matrix((value, (pair, at)), (len(code), n_genes * width))
        return cls(code // n_genes, code % n_genes, own, shared)
