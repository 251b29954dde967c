"""The likelihood's data on a device: who carries which guide on which day, and the soft labels."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fatebias.data.collapse import CollapsedRows
from fatebias.model.effects import cross_entropy_and_slope, soft_cross_entropy


class _LogLikelihood(torch.autograd.Function):
    """Value and gradient of the full-batch log-likelihood in one pass, without a graph in between.

    One product with the CSR matrix a fate gives the logits, one with its transpose the gradient.
    """

    @staticmethod
    def forward(ctx: Any, table: Tensor, shared_effects: Tensor, tensors: DesignTensors) -> Tensor:
        value, slope = cross_entropy_and_slope(
            tensors.logits(table.detach(), shared_effects.detach()), tensors.p, tensors.n
        )
        by_table = torch.stack([tensors.transposed @ each for each in slope], dim=1)
        ctx.save_for_backward(by_table.to(table.dtype), (tensors.shared @ slope.T).to(shared_effects.dtype))
        return value

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor, None]:
        by_table, by_shared = ctx.saved_tensors
        return grad_outputs[0] * by_table, grad_outputs[0] * by_shared, None


@dataclass(frozen=True)
class DesignTensors:
    """Rows of the likelihood as tensors of one dtype on one device."""

    slots: Tensor  # (nnz,) guide * D + day of all rows, guides from 0; NTC and padding left out
    indptr: Tensor  # (M + 1,) row m holds slots[indptr[m]:indptr[m + 1]]
    shared: Tensor  # (Q, M) one-hot day, one-hot replicate, centred burden, covariates
    p: Tensor  # (F, M) summed fate probabilities, reference first
    n: Tensor  # (M,) their sum over fates
    guide_gene: Tensor  # (G,) gene of each guide, from 0
    n_genes: int
    n_days: int
    n_reps: int
    n_covariates: int = 0
    csr: Tensor | None = None  # (M, G * D) matrix of the embedding sum; None in a minibatch
    transposed: Tensor | None = None  # (G * D, M)

    @property
    def n_rows(self) -> int:
        """M."""
        return len(self.n)

    @property
    def n_guides(self) -> int:
        """G."""
        return len(self.guide_gene)

    @property
    def n_effects(self) -> int:
        """F*."""
        return len(self.p) - 1

    def logits(self, table: Tensor, shared_effects: Tensor) -> Tensor:
        """Return the logits, (F*, M), of guides' effects, (G * D, F*), and shared effects, (Q, F*)."""
        table, shared_effects = table.to(self.p.dtype), shared_effects.to(self.p.dtype)
        common = shared_effects.T @ self.shared
        if self.csr is not None:
            return common + torch.stack([self.csr @ effects for effects in table.T.contiguous()])
        summed = torch.nn.functional.embedding_bag(
            self.slots, table, self.indptr, mode="sum", include_last_offset=True
        )
        return common + summed.T

    def log_likelihood(self, table: Tensor, shared_effects: Tensor) -> Tensor:
        """Return the log-likelihood of the soft labels at weight 1, a float64 scalar."""
        if self.csr is not None:
            return _LogLikelihood.apply(table, shared_effects, self)
        return soft_cross_entropy(self.logits(table, shared_effects), self.p, self.n)

    def batch(self, rows: Tensor) -> DesignTensors:
        """Return the rows of a minibatch, given their indices, (B,)."""
        starts, counts = self.indptr[rows], self.indptr[rows + 1] - self.indptr[rows]
        indptr = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
        within = torch.arange(int(indptr[-1]), device=rows.device) - indptr[:-1].repeat_interleave(counts)
        return DesignTensors(
            slots=self.slots[starts.repeat_interleave(counts) + within],
            indptr=indptr,
            shared=self.shared[:, rows].contiguous(),
            p=self.p[:, rows].contiguous(),
            n=self.n[rows],
            guide_gene=self.guide_gene,
            n_genes=self.n_genes,
            n_days=self.n_days,
            n_reps=self.n_reps,
            n_covariates=self.n_covariates,
        )


def design_tensors(
    rows: CollapsedRows,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    sparse: bool = True,
) -> DesignTensors:
    """Return rows as tensors on a device.

    ``sparse`` keeps the embedding sum as a CSR matrix with its transpose, for full batches; without it the
    tensors serve to pick minibatches from. Sums are accumulated in float64 whatever the dtype.
    """
    counts = np.diff(rows.indptr)
    slots = (rows.guides - 1) * rows.n_days + np.repeat(rows.day, counts)
    burden = rows.n_days + rows.n_reps
    shared = np.zeros((burden + 1 + rows.n_covariates, rows.n_rows))
    everyone = np.arange(rows.n_rows)
    shared[rows.day, everyone] = 1
    shared[rows.n_days + rows.rep, everyone] = 1
    shared[burden] = rows.k_centered
    shared[burden + 1 :] = rows.covariates.T

    def put(values: np.ndarray, kind: torch.dtype) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(device=device, dtype=kind)

    csr = transposed = None
    if sparse:
        csr, transposed = _csr_pair(rows, slots, put, dtype)
    return DesignTensors(
        slots=put(slots, torch.int64),
        indptr=put(rows.indptr, torch.int64),
        shared=put(shared, dtype),
        p=put(rows.p.T, dtype),
        n=put(rows.p.sum(axis=1), dtype),
        guide_gene=put(rows.guide_gene, torch.int64),
        n_genes=rows.n_genes,
        n_days=rows.n_days,
        n_reps=rows.n_reps,
        n_covariates=rows.n_covariates,
        csr=csr,
        transposed=transposed,
    )


def _csr_pair(rows: CollapsedRows, slots: np.ndarray, put: Any, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    from scipy import sparse

    shape = (rows.n_rows, rows.n_guides * rows.n_days)
    forward = sparse.csr_matrix((np.ones(len(slots), dtype=np.float32), slots, rows.indptr), shape=shape)
    pair = []
    for each in (forward, forward.T.tocsr()):
        each.sort_indices()
        with warnings.catch_warnings():
            # torch calls its CSR support beta; our tests compare the product with a plain sum
            warnings.filterwarnings("ignore", message=r"Sparse (CSR tensor|invariant)")
            pair.append(
                torch.sparse_csr_tensor(
                    put(each.indptr, torch.int32),
                    put(each.indices, torch.int32),
                    put(each.data, dtype),
                    size=each.shape,
                    check_invariants=False,
                )
            )
    return pair[0], pair[1]
