"""The model as a regression: every effect is a coefficient of one sparse matrix, the same for each fate.

Coefficients of one fate, in order: theta by gene and day (L * D), delta by guide (G), then the shared
effects alpha by day, b by replicate, gamma (Q = D + R + 1). Logits are ``eta = Z c`` with Z of shape
(M, P), P = L * D + G + Q, and c of shape (P, F*). The flat order is fate by fate. Given the scales the
prior is normal, so mode and curvature are those of a ridge-penalised multinomial regression.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fatebias.config import PriorsConfig
from fatebias.data.collapse import CollapsedRows

Array = NDArray[np.float64]


@dataclass(frozen=True)
class DesignMatrix:
    """Where each effect stands, and the matrix that turns effects into logits.

    Attributes
    ----------
    rows
        The design.
    centred
        Guide deviations count mean-zero within a gene (``model.guide_effects=centred``).
    """

    rows: CollapsedRows
    centred: bool = False

    @property
    def n_theta(self) -> int:
        """L * D."""
        return self.rows.n_genes * self.rows.n_days

    @property
    def n_shared(self) -> int:
        """Q = D + R + 1."""
        return self.rows.n_days + self.rows.n_reps + 1

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
        """Z as a CSR matrix, shape (M, P)."""
        rows = self.rows
        row = np.repeat(np.arange(rows.n_rows), np.diff(rows.indptr))
        gene = rows.gene_of_guide[rows.guides] - 1
        ones = np.ones(len(row))
        theta = sparse.csr_matrix(
            (ones, (row, gene * rows.n_days + rows.day[row])), (rows.n_rows, self.n_theta)
        )
        delta = sparse.csr_matrix((ones, (row, rows.guides - 1)), (rows.n_rows, rows.n_guides))
        if self.centred:
            delta = delta @ self._centring()
        everyone = np.arange(rows.n_rows)
        day = sparse.csr_matrix((np.ones(rows.n_rows), (everyone, rows.day)), (rows.n_rows, rows.n_days))
        rep = sparse.csr_matrix((np.ones(rows.n_rows), (everyone, rows.rep)), (rows.n_rows, rows.n_reps))
        return sparse.hstack([theta, delta, day, rep, rows.k_centered[:, None]], format="csr")

    def _centring(self) -> Any:
        member = sparse.csr_matrix(
            (np.ones(self.rows.n_guides), (np.arange(self.rows.n_guides), self.rows.gene_of_guide[1:] - 1))
        )
        share = member.multiply(1 / np.maximum(member.sum(axis=0), 1)).tocsr()
        return sparse.eye(self.rows.n_guides, format="csr") - share @ member.T

    @cached_property
    def transposed(self) -> Any:
        """Z transposed, CSR, shape (P, M)."""
        return self.matrix.T.tocsr()

    def split(self, flat: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Name the parts of a flat vector.

        Parameters
        ----------
        flat
            Shape (..., F* x P).

        Returns
        -------
        theta : ndarray
            Shape (..., L, F*, D).
        delta : ndarray
            Shape (..., G, F*).
        shared : ndarray
            Shape (..., Q, F*).
        """
        by_fate = flat.reshape(*flat.shape[:-1], self.rows.n_effects, self.per_fate)
        theta, delta, shared = np.split(by_fate, [self.n_theta, self.n_theta + self.rows.n_guides], axis=-1)
        theta = theta.reshape(*theta.shape[:-1], self.rows.n_genes, self.rows.n_days)
        return np.swapaxes(theta, -3, -2), np.swapaxes(delta, -1, -2), np.swapaxes(shared, -1, -2)

    @cached_property
    def theta_index(self) -> NDArray[np.int64]:
        """Flat place of theta, shape (L, F*, D)."""
        return self.split(np.arange(self.size))[0]

    @cached_property
    def delta_index(self) -> NDArray[np.int64]:
        """Flat place of delta, shape (G, F*)."""
        return self.split(np.arange(self.size))[1]

    @cached_property
    def shared_index(self) -> NDArray[np.int64]:
        """Flat place of the shared effects, shape (Q, F*)."""
        return self.split(np.arange(self.size))[2]

    @cached_property
    def block_index(self) -> NDArray[np.int64]:
        """Flat places of each gene's theta and of its guides' delta, shape (L, width).

        Genes with fewer guides than others are padded with ``size``, one past the flat vector.
        """
        gene = self.rows.gene_of_guide[1:] - 1
        most = int(np.bincount(gene, minlength=self.rows.n_genes).max())
        order = np.argsort(gene, kind="stable")
        start = np.searchsorted(gene[order], np.arange(self.rows.n_genes))
        slots = np.full((self.rows.n_genes, most, self.rows.n_effects), self.size)
        slots[gene[order], np.arange(len(gene)) - start[gene[order]]] = self.delta_index[order]
        return np.concatenate(
            [self.theta_index.reshape(self.rows.n_genes, -1), slots.reshape(self.rows.n_genes, -1)], axis=1
        )

    def prior_precision(self, priors: PriorsConfig, scale_precision: Array) -> list[Any]:
        """Precision of the normal prior given the scales, fate by fate.

        Parameters
        ----------
        priors
            Fixed scales of alpha, b and gamma.
        scale_precision
            ``1 / s^2`` of tau, each sigma_time and sigma_guide, shape (F*, D + 1).

        Returns
        -------
        list
            F* sparse matrices of shape (P, P).
        """
        rows = self.rows
        walk = walk_steps(rows.n_days)
        fixed = [priors.s_alpha**-2] * rows.n_days + [priors.s_rep**-2] * rows.n_reps + [priors.s_gamma**-2]
        precisions = []
        for by_scale in scale_precision:
            gene = walk.T @ np.diag(by_scale[:-1]) @ walk
            delta = by_scale[-1] * sparse.eye(rows.n_guides)
            parts = [sparse.kron(sparse.eye(rows.n_genes), gene), delta, sparse.diags(fixed)]
            precisions.append(sparse.block_diag(parts, format="csr"))
        return precisions

    def scale_counts(self) -> Array:
        """Count the normals behind each scale, shape (D + 1,): L for tau, sigma_time; G for sigma_guide."""
        return np.array([float(self.rows.n_genes)] * self.rows.n_days + [float(self.rows.n_guides)])

    def scale_squares(self, flat: Array, spread: Array) -> Array:
        """Posterior expectation of the sum of squares that each scale has to explain.

        Parameters
        ----------
        flat
            Posterior mean, shape (size,).
        spread
            Draws of the posterior less its mean, shape (S, size).

        Returns
        -------
        ndarray
            Shape (F*, D + 1): theta_0, each change of theta from day to day, delta.
        """
        walk = walk_steps(self.rows.n_days)

        def squares(effects: Array) -> Array:
            theta, delta, _ = self.split(np.atleast_2d(effects))
            steps = theta @ walk.T  # (S, L, F*, D)
            by_draw = [
                np.einsum("slfd,slfd->fd", steps, steps),
                np.einsum("sgf,sgf->f", delta, delta)[:, None],
            ]
            return np.concatenate(by_draw, axis=1) / len(theta)

        return squares(flat) + squares(spread)


def walk_steps(n_days: int) -> Array:
    """Matrix that takes theta over days to its first value and its changes, shape (D, D)."""
    return np.eye(n_days) - np.eye(n_days, k=-1)


def scale_prior_widths(priors: PriorsConfig, n_days: int) -> Array:
    """HalfNormal scales of tau, each sigma_time and sigma_guide, shape (D + 1,)."""
    return np.array([priors.s_tau] + [priors.s_time] * (n_days - 1) + [priors.s_guide])
