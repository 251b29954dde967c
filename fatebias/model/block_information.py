"""The information in each gene's block and between genes and shared effects, straight from the sparse design.

All that `inference.bordered` needs of the curvature, at the cost of a few sparse products: the full matrix,
of which these are a thousandth, is never made.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fatebias.data.collapse import CollapsedRows
from fatebias.model.products import indicators

Array = NDArray[np.float64]


class Design(Protocol):
    """What is taken of a `DesignMatrix`, whose part this is."""

    @property
    def rows(self) -> CollapsedRows:
        """What the likelihood sums over."""
        ...

    @property
    def centred(self) -> bool:
        """Whether deviations have mean zero within a gene."""
        ...

    @property
    def matrix(self) -> Any:
        """Z as a CSR matrix, (M, P)."""
        ...

    @property
    def n_theta(self) -> int:
        """Number of theta of one fate."""
        ...

    def in_block(self, fate: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the places of one fate's theta and deviations within a block."""
        ...


class BlockInformation:
    """Sums over rows that make up the blocks, prepared once for a design."""

    def __init__(self, design: Design) -> None:
        self.design = design
        rows = design.rows
        self.n_genes, self.n_days, self.n_guides = rows.n_genes, rows.n_days, rows.n_guides
        matrix = design.matrix
        self.theta = matrix[:, : design.n_theta]
        self.shared = matrix[:, design.n_theta + self.n_guides :].toarray()  # (M, Q)
        # one entry for each guide in a row; the centring of deviations is applied to the blocks
        row = np.repeat(np.arange(rows.n_rows), np.diff(rows.indptr))
        self.delta = indicators(row, rows.guides - 1, (rows.n_rows, self.n_guides)).tocoo()
        order = np.argsort(rows.guide_gene, kind="stable")
        first = np.searchsorted(rows.guide_gene[order], np.arange(self.n_genes))
        self.slot = np.empty(self.n_guides, dtype=np.int64)  # of each guide within its gene
        self.slot[order] = np.arange(self.n_guides) - first[rows.guide_gene[order]]
        self.most = int(self.slot.max()) + 1
        self.width = self.n_days + self.most  # of one fate's block

    @cached_property
    def _own(self) -> tuple[sparse.csr_matrix, NDArray[np.int64]]:
        """Return what sums rows' weights to the entries of one fate's blocks, and the place of each."""
        rows = self.design.rows
        row, guide, times = self.delta.row, self.delta.col, self.delta.data
        gene = rows.guide_gene[guide]
        code = row.astype(np.int64) * self.n_genes + gene
        order = np.argsort(code, kind="stable")
        row, guide, times, gene, code = (each[order] for each in (row, guide, times, gene, code))
        day, slot = rows.day[row], self.n_days + self.slot[guide]
        _, group = np.unique(code, return_inverse=True)
        of_gene = np.bincount(group, times)[group]  # guides of the gene in the row
        parts = [
            (gene, day, day, row, of_gene * times),  # adds up to the square of theta's entry
            (gene, day, slot, row, of_gene * times),
            (gene, slot, slot, row, times**2),
        ]
        apart = 1
        while apart < len(code) and (same := code[apart:] == code[:-apart]).any():
            one, other = np.flatnonzero(same), np.flatnonzero(same) + apart
            parts.append((gene[one], slot[one], slot[other], row[one], times[one] * times[other]))
            apart += 1
        gene, left, right, row, value = (np.concatenate(each) for each in zip(*parts, strict=True))
        place, entry = np.unique((gene * self.width + left) * self.width + right, return_inverse=True)
        return sparse.csr_matrix((value, (entry, row)), (len(place), rows.n_rows)), place

    @cached_property
    def _columns(self) -> sparse.csr_matrix:
        """Theta and deviations in the order of one fate's blocks, transposed, (L * width, M)."""
        rows = self.design.rows
        theta = self.theta.tocoo()
        gene, day = np.divmod(theta.col, self.n_days)
        of_guide = rows.guide_gene[self.delta.col]
        place = [
            gene * self.width + day,
            of_guide * self.width + self.n_days + self.slot[self.delta.col],
        ]
        row, value = [theta.row, self.delta.row], [theta.data, self.delta.data]
        return sparse.csr_matrix(
            (np.concatenate(value), (np.concatenate(place), np.concatenate(row))),
            (self.n_genes * self.width, rows.n_rows),
        )

    def at(self, bend: Array) -> tuple[Array, Array, Array]:
        """Return blocks (L, w, w), border (L, w, q) and shared part (q, q), in the order of `Places`.

        ``bend``, (F*, F*, M), is what each row weighs in each pair of fates (`SoftRegression.bend`).
        """
        n_fates, width, n_shared = len(bend), self.width, self.shared.shape[1]
        own, place = self._own
        blocks = np.zeros((self.n_genes, n_fates, width, n_fates, width))
        border = np.empty((self.n_genes, n_fates, width, n_fates, n_shared))
        shared = np.empty((n_fates, n_shared, n_fates, n_shared))
        for f in range(n_fates):
            for g in range(f, n_fates):
                w = bend[f, g]
                flat = np.zeros(self.n_genes * width * width)
                flat[place] = own @ w
                square = flat.reshape(self.n_genes, width, width)
                upper = np.triu(square, 1)
                square = upper + np.swapaxes(upper, 1, 2) + square * np.eye(width)
                weighted = w[:, None] * self.shared
                across = np.asarray(self._columns @ weighted).reshape(self.n_genes, width, n_shared)
                common = self.shared.T @ weighted
                for one, other in {(f, g), (g, f)}:
                    blocks[:, one, :, other], border[:, one, :, other] = square, across
                    shared[one, :, other] = common
        if self.design.centred:
            blocks = np.einsum("lab,lfbgc,lcd->lfagd", self._centring, blocks, self._centring)
            border = np.einsum("lab,lfbgq->lfagq", self._centring, border)
        return self._by_place(blocks, border, shared)

    @cached_property
    def _centring(self) -> Array:
        """What takes the mean of a gene's deviations from each of them, (L, width, width), symmetric."""
        n_own = np.bincount(self.design.rows.guide_gene, minlength=self.n_genes)
        there = np.arange(self.most) < n_own[:, None]
        found = np.tile(np.eye(self.width), (self.n_genes, 1, 1))
        share = there[:, :, None] * there[:, None, :] / np.maximum(n_own, 1)[:, None, None]
        found[:, self.n_days :, self.n_days :] -= share
        return found

    def _by_place(self, blocks: Array, border: Array, shared: Array) -> tuple[Array, Array, Array]:
        """Put theta of all fates before the deviations, those slot by slot; shared effects fate last."""
        n_fates = blocks.shape[1]
        rank = np.concatenate([np.concatenate(self.design.in_block(fate)) for fate in range(n_fates)])
        order = np.argsort(rank)
        n_shared = shared.shape[1]
        of_shared = np.arange(n_fates * n_shared).reshape(n_fates, n_shared).T.ravel()
        flat = blocks.reshape(self.n_genes, len(order), len(order))[:, order][:, :, order]
        edge = border.reshape(self.n_genes, len(order), -1)[:, order][:, :, of_shared]
        common = shared.reshape(n_fates * n_shared, -1)[of_shared][:, of_shared]
        return flat, edge, common
