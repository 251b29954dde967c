"""The model as a regression: every effect is a coefficient of one sparse matrix, the same for each fate.

Coefficients of one fate, in order: theta by gene and day (L * D), delta by guide (G), then the shared
effects alpha by day, b by replicate, gamma and those of covariates (Q = D + R + 1 + C). Logits are
``eta = Z c`` with Z of shape (M, P), P = L * D + G + Q, and c of shape (P, F*). The flat order is fate by
fate. Given the scales the prior is normal, so mode and curvature are those of a ridge-penalised
multinomial regression.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fatebias.config import ModelConfig, PriorsConfig
from fatebias.data.collapse import CollapsedRows, collapse, each_cell
from fatebias.data.screen import Screen
from fatebias.model.block_information import BlockInformation
from fatebias.model.products import Products, indicators
from fatebias.model.regression import SoftRegression

Array = NDArray[np.float64]


@dataclass(frozen=True)
class DesignMatrix:
    """The matrix that turns effects into logits, and the place of each effect in the flat vector."""

    rows: CollapsedRows
    centred: bool = False  # guide deviations have mean zero within a gene (model.guide_effects=centred)

    @property
    def n_theta(self) -> int:
        """L * D."""
        return self.rows.n_genes * self.rows.n_days

    @property
    def n_shared(self) -> int:
        """Q = D + R + 1 + C."""
        return self.rows.n_days + self.rows.n_reps + 1 + self.rows.n_covariates

    @property
    def per_fate(self) -> int:
        """P."""
        return self.n_theta + self.rows.n_guides + self.n_shared

    @property
    def size(self) -> int:
        """F* x P, the length of the flat vector."""
        return self.rows.n_effects * self.per_fate

    @cached_property
    def matrix(self) -> Any:
        """Z as a CSR matrix, (M, P)."""
        rows = self.rows
        row = np.repeat(np.arange(rows.n_rows), np.diff(rows.indptr))
        gene = rows.guide_gene[rows.guides - 1]
        theta = indicators(row, gene * rows.n_days + rows.day[row], (rows.n_rows, self.n_theta))
        delta = indicators(row, rows.guides - 1, (rows.n_rows, rows.n_guides))
        if self.centred:
            delta = delta @ self._centring()
        everyone = np.arange(rows.n_rows)
        day = indicators(everyone, rows.day, (rows.n_rows, rows.n_days))
        rep = indicators(everyone, rows.rep, (rows.n_rows, rows.n_reps))
        burden, covariates = rows.k_centered[:, None], sparse.csr_matrix(rows.covariates)
        return sparse.hstack([theta, delta, day, rep, burden, covariates], format="csr")

    def _centring(self) -> Any:
        """Return the matrix that subtracts a gene's mean from the deviations of its guides, (G, G)."""
        n_guides = self.rows.n_guides
        member = indicators(np.arange(n_guides), self.rows.guide_gene, (n_guides, self.rows.n_genes))
        share = member.multiply(1 / np.maximum(member.sum(axis=0), 1)).tocsr()
        return sparse.eye(n_guides, format="csr") - share @ member.T

    @cached_property
    def products(self) -> Products:
        """Products with Z as R E: of each row its guides on its day, its day and replicate, and the rest."""
        rows, n_days, n_reps = self.rows, self.rows.n_days, self.rows.n_reps
        row = np.repeat(np.arange(rows.n_rows), np.diff(rows.indptr))
        everyone, days = np.arange(rows.n_rows), np.arange(n_days)
        # rows are in the order of days, so that those of a day use a part of K that the processor keeps
        guide = indicators(
            row, rows.day[row] * rows.n_guides + rows.guides - 1, (rows.n_rows, n_days * rows.n_guides)
        )
        when = indicators(everyone, rows.day * n_reps + rows.rep, (rows.n_rows, n_days * n_reps))
        rest = np.column_stack([rows.k_centered, rows.covariates])
        of_row = sparse.hstack([guide, when, rest], format="csr")
        gene_and_day = (rows.guide_gene * n_days + days[:, None]).ravel()
        theta = indicators(np.arange(len(gene_and_day)), gene_and_day, (len(gene_and_day), self.n_theta))
        delta = self._centring() if self.centred else sparse.eye(rows.n_guides, format="csr")
        times = np.arange(n_days * n_reps)
        day = indicators(times, times // n_reps, (len(times), n_days))
        rep = indicators(times, times % n_reps, (len(times), n_reps))
        of_effect = sparse.bmat(
            [
                [theta, sparse.vstack([delta] * n_days), None, None, None],
                [None, None, day, rep, None],
                [None, None, None, None, sparse.eye(rest.shape[1])],
            ],
            format="csr",
        )
        return Products(self.matrix, (of_row, of_effect))

    @cached_property
    def information(self) -> BlockInformation:
        """What makes the information in each gene's block, prepared once."""
        return BlockInformation(self)

    def regression(self, weight: float = 1.0) -> SoftRegression:
        """Return the likelihood of the rows' labels as a function of the flat vector."""
        return SoftRegression(self.products, self.rows.p, weight)

    def logits(self, flat: Array) -> Array:
        """Return Z c, (M, F*), for a flat vector of shape (F* x P,)."""
        return self.products.times(flat.reshape(self.rows.n_effects, -1).T)

    def split(self, flat: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Return theta (..., L, F*, D), delta (..., G, F*) and shared (..., Q, F*) of flat (..., F* x P)."""
        by_fate = flat.reshape(*flat.shape[:-1], self.rows.n_effects, self.per_fate)
        theta, delta, shared = np.split(by_fate, [self.n_theta, self.n_theta + self.rows.n_guides], axis=-1)
        theta = theta.reshape(*theta.shape[:-1], self.rows.n_genes, self.rows.n_days)
        return np.swapaxes(theta, -3, -2), np.swapaxes(delta, -1, -2), np.swapaxes(shared, -1, -2)

    @cached_property
    def theta_index(self) -> NDArray[np.int64]:
        """Flat places of theta, (L, F*, D)."""
        return self.split(np.arange(self.size))[0]

    @cached_property
    def delta_index(self) -> NDArray[np.int64]:
        """Flat places of delta, (G, F*)."""
        return self.split(np.arange(self.size))[1]

    @cached_property
    def shared_index(self) -> NDArray[np.int64]:
        """Flat places of the shared effects, (Q, F*)."""
        return self.split(np.arange(self.size))[2]

    @cached_property
    def block_index(self) -> NDArray[np.int64]:
        """Flat places of each gene's theta and of its guides' delta, (L, width).

        Genes with fewer guides than others are padded with ``size``, one past the flat vector.
        """
        gene = self.rows.guide_gene
        most = int(np.bincount(gene, minlength=self.rows.n_genes).max())
        order = np.argsort(gene, kind="stable")
        start = np.searchsorted(gene[order], np.arange(self.rows.n_genes))
        slots = np.full((self.rows.n_genes, most, self.rows.n_effects), self.size)
        slots[gene[order], np.arange(len(gene)) - start[gene[order]]] = self.delta_index[order]
        return np.concatenate(
            [self.theta_index.reshape(self.rows.n_genes, -1), slots.reshape(self.rows.n_genes, -1)], axis=1
        )

    def prior_precision(self, priors: PriorsConfig, scale_precision: Array) -> Any:
        """Return the precision of the normal prior given the scales, sparse, (size, size).

        ``scale_precision`` is ``1 / s^2`` of tau, each sigma_time and sigma_guide, (F*, D + 1).
        """
        rows = self.rows
        walk = walk_steps(rows.n_days)
        fixed = shared_scales(rows, priors) ** -2.0
        by_fate = []
        for by_scale in scale_precision:
            gene = walk.T @ np.diag(by_scale[:-1]) @ walk
            delta = by_scale[-1] * sparse.eye(rows.n_guides)
            parts = [sparse.kron(sparse.eye(rows.n_genes), gene), delta, sparse.diags(fixed)]
            by_fate.append(sparse.block_diag(parts, format="csr"))
        return sparse.block_diag(by_fate, format="csr")

    def in_block(self, fate: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return where theta (D,) and deviations (n,) of a fate are in a row of `block_index`."""
        n_fates, n_days = self.rows.n_effects, self.rows.n_days
        theta = fate * n_days + np.arange(n_days)
        return theta, np.arange(n_fates * n_days + fate, self.block_index.shape[1], n_fates)

    def block_prior(self, scale_precision: Array) -> Array:
        """Return the prior's precision of a gene's block, (w, w), in the order of `block_index`."""
        walk = walk_steps(self.rows.n_days)
        width = self.block_index.shape[1]
        found = np.zeros((width, width))
        for fate, by_scale in enumerate(scale_precision):
            theta, deltas = self.in_block(fate)
            found[np.ix_(theta, theta)] = walk.T @ np.diag(by_scale[:-1]) @ walk
            found[deltas, deltas] = by_scale[-1]
        return found

    def scale_counts(self) -> Array:
        """Return how many normals each scale has, (D + 1,): L for tau and sigma_time, G for sigma_guide."""
        return np.array([float(self.rows.n_genes)] * self.rows.n_days + [float(self.rows.n_guides)])

    def scale_squares(self, effects: Array) -> Array:
        """Return the mean over S vectors, (S, size), of the sum of squares behind each scale, (F*, D + 1).

        Squares of theta_0, of each change of theta from day to day, and of delta.
        """
        theta, delta, _ = self.split(effects)
        steps = theta @ walk_steps(self.rows.n_days).T  # (S, L, F*, D)
        by_draw = [np.einsum("slfd,slfd->fd", steps, steps), np.einsum("sgf,sgf->f", delta, delta)[:, None]]
        return np.concatenate(by_draw, axis=1) / len(effects)

    def block_squares(self, second_moment: Array) -> Array:
        """Return the same, (F*, D + 1), from the sum over genes of their blocks' second moments, (w, w)."""
        n_fates, n_days = self.rows.n_effects, self.rows.n_days
        walk = walk_steps(n_days)
        found = np.empty((n_fates, n_days + 1))
        diagonal = second_moment.diagonal()
        for fate in range(n_fates):
            theta, deltas = self.in_block(fate)
            found[fate, :-1] = (walk @ second_moment[np.ix_(theta, theta)] @ walk.T).diagonal()
            found[fate, -1] = diagonal[deltas].sum()
        return found


def with_more_genes(design: DesignMatrix, fewer: DesignMatrix, flat: Array) -> Array:
    """Return effects in the order of a design, those of genes that `fewer` lacks, its last, at zero."""
    theta, delta, shared = fewer.split(flat)
    more = np.zeros(design.size)
    more[design.theta_index[: len(theta)]] = theta
    more[design.delta_index[: len(delta)]] = delta
    more[design.shared_index] = shared
    return more


def shared_scales(rows: CollapsedRows, priors: PriorsConfig) -> Array:
    """Return the prior SD of each shared effect, (Q,)."""
    scales = [priors.s_alpha] * rows.n_days + [priors.s_rep] * rows.n_reps + [priors.s_gamma]
    return np.array(scales + [priors.s_covar] * rows.n_covariates)


def walk_steps(n_days: int) -> Array:
    """Return the matrix that takes theta over days to its first value and its changes, (D, D)."""
    return np.eye(n_days) - np.eye(n_days, k=-1)


def scale_prior_widths(priors: PriorsConfig, n_days: int) -> Array:
    """Return the HalfNormal scales of tau, each sigma_time and sigma_guide, (D + 1,)."""
    return np.array([priors.s_tau] + [priors.s_time] * (n_days - 1) + [priors.s_guide])


# Designs built so far, kept as long as their screen: the weight, the fit, its estimates and the checks all
# take the same one. A screen is never changed in place; `dataclasses.replace` makes another.
_BUILT: WeakKeyDictionary[Screen, dict[tuple[str, bool], DesignMatrix]] = WeakKeyDictionary()


def design_of(screen: Screen, model: ModelConfig) -> DesignMatrix:
    """Return the design of a screen's collapsed rows, built once."""
    return _built(screen, model, collapse)


def cell_design_of(screen: Screen, model: ModelConfig) -> DesignMatrix:
    """Return the design with one row for each cell of a screen, built once."""
    return _built(screen, model, each_cell)


def _built(screen: Screen, model: ModelConfig, rows_of: Callable[[Screen], CollapsedRows]) -> DesignMatrix:
    centred = model.guide_effects == "centred"
    kept = _BUILT.setdefault(screen, {})
    key = (rows_of.__name__, centred)
    if key not in kept:
        kept[key] = DesignMatrix(rows_of(screen), centred)
    return kept[key]
