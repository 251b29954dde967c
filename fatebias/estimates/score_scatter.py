"""How scores scatter along each gene's effects.

The direction of an effect is its column of the inverse curvature. Of many effects it is that of the curvature
in which genes are independent given the shared effects (`inference.bordered`): its own gene's block and the
shared effects, all else zero. A score along it is then that of the cells that hold the gene, and of all cells
through the shared effects.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse

from fatebias.estimates.sandwich import Sandwich
from fatebias.inference.by_gene import ByGene

Array = NDArray[np.float64]

AT_ONCE = 100_000  # pairs of a cell and a gene


@dataclass(frozen=True)
class ScoreScatter:
    """Along each theta, (L x E,), E = F* x D; at weight 1, small-sample factors included."""

    variance: Array  # of theta
    expected: Array  # variance of the score if a soft label were one draw of a fate
    seen: Array  # its square summed over clusters (cells, where clusters are few)
    clusters: Array  # effective number of clusters that hold the gene


def score_scatter(cells: Sandwich) -> ScoreScatter:
    """Return how scores scatter along the gene effects of a fit."""
    if isinstance(cells.curvature, ByGene):
        return _by_gene(cells, cells.curvature)
    return _by_column(cells)


def _by_column(cells: Sandwich) -> ScoreScatter:
    """Take the columns of the dense inverse."""
    theta = cells.design.theta_index.ravel()
    expected, seen, clusters = np.empty((3, len(theta)))
    for start in range(0, len(theta), 64):
        part = slice(start, start + 64)
        chosen = theta[part]
        u = np.ascontiguousarray(cells.covariance[:, chosen])
        # C A C is what Q leaves of C, over the weight; A itself is dense and Q is not.
        known = np.einsum("pn,pn->n", u, cells.precision @ u)
        expected[part] = (cells.covariance[chosen, chosen] - known) / cells.weight
        square = cells.along(u) ** 2
        seen[part] = square.sum(axis=0)
        clusters[part] = _number_of_clusters(square.sum(axis=0), (square**2).sum(axis=0))
    return ScoreScatter(cells.covariance[theta, theta], expected, seen, clusters)


def _number_of_clusters(squares: Array, fourths: Array) -> Array:
    """Return the effective number of clusters from sums of second and fourth powers of their scores."""
    return np.asarray(3 * squares**2 / np.maximum(fourths, 1e-300))


def _by_gene(cells: Sandwich, curvature: ByGene) -> ScoreScatter:
    """Take the columns of the inverse in which genes are independent."""
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
    return ScoreScatter(
        own[:, :width].diagonal(dim1=1, dim2=2).cpu().numpy().ravel(),
        expected.cpu().numpy().ravel(),
        factor * seen.ravel(),
        _number_of_clusters(square, fourth).ravel(),
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
