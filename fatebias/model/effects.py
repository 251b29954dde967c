"""Pure tensor maths of the model: from scales and standard normals to effects, logits and the likelihood."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def gene_effects(tau: Tensor, z0: Tensor, sigma_time: Tensor | None, eps: Tensor | None) -> Tensor:
    """Turn scales and standard normals into gene effects by day.

    ``theta_0 = tau * z0`` and ``theta_d = theta_{d-1} + sigma_time[:, d-1] * eps[..., d-1]``: a random
    walk over days with a learned scale for each interval.

    Parameters
    ----------
    tau
        Scale on the first day, shape (..., F*).
    z0
        Standard normals, shape (..., L, F*).
    sigma_time
        Scale of each change, shape (..., F*, D - 1); None when D = 1.
    eps
        Standard normals, shape (..., L, F*, D - 1); None when D = 1.

    Returns
    -------
    Tensor
        theta, shape (..., L, F*, D), logits against the reference fate.
    """
    first = (tau.unsqueeze(-2) * z0).unsqueeze(-1)  # (..., L, F*, 1)
    if sigma_time is None or eps is None:
        return first
    steps = sigma_time.unsqueeze(-3) * eps  # (..., L, F*, D-1)
    return torch.cat([first, steps], dim=-1).cumsum(dim=-1)


def guide_deviations(sigma_guide: Tensor, u: Tensor, guide_gene: Tensor | None = None) -> Tensor:
    """Scale the deviations of CRISPR guides from their gene.

    Parameters
    ----------
    sigma_guide
        Shape (..., F*).
    u
        Standard normals, shape (..., G, F*).
    gene_of_guide
        Index from 0 of each guide's gene, shape (G,), to make the deviations mean-zero within a gene
        (``model.guide_effects=centred``); None leaves them as drawn.

    Returns
    -------
    Tensor
        delta, shape (..., G, F*).
    """
    delta = sigma_guide.unsqueeze(-2) * u
    return delta if guide_gene is None else centre_within_genes(delta, guide_gene)


def centre_within_genes(delta: Tensor, guide_gene: Tensor) -> Tensor:
    """Subtract from each guide the mean over the guides of its gene.

    Parameters
    ----------
    delta
        Shape (..., G, F*).
    gene_of_guide
        Index from 0 of each guide's gene, shape (G,).

    Returns
    -------
    Tensor
        The same shape; sums to zero within each gene.
    """
    n_genes = int(guide_gene.max()) + 1
    count = torch.bincount(guide_gene, minlength=n_genes).to(delta.dtype)
    sums = delta.new_zeros((*delta.shape[:-2], n_genes, delta.shape[-1])).index_add(-2, guide_gene, delta)
    return delta - (sums / count.clamp_min(1).unsqueeze(-1)).index_select(-2, guide_gene)


def guide_day_table(theta: Tensor, delta: Tensor, guide_gene: Tensor) -> Tensor:
    """Lay out each guide's effect on each day as one row, the table that the embedding sum reads.

    Parameters
    ----------
    theta
        Shape (L, F*, D).
    delta
        Shape (G, F*).
    gene_of_guide
        Index from 0 of each guide's gene, shape (G,).

    Returns
    -------
    Tensor
        Shape (G * D, F*); guide g on day d stands in row g * D + d.
    """
    beta = theta.index_select(0, guide_gene) + delta.unsqueeze(-1)  # (G, F*, D)
    return beta.transpose(1, 2).reshape(-1, delta.shape[1])


def cross_entropy_and_slope(eta_star: Tensor, p: Tensor, n: Tensor) -> tuple[Tensor, Tensor]:
    """Log-likelihood of soft labels and its gradient, worked out by hand in one pass.

    ``sum_m sum_f p[f,m] log softmax([0, eta_m])[f]`` and ``d/d eta[f,m] = p[f,m] - n[m] * pi[f,m]``. The
    value is accumulated in float64 whatever the data are stored in.

    Parameters
    ----------
    eta_star
        Logits of the non-reference fates, shape (F*, M).
    p
        Summed fate probabilities, shape (F, M), reference first.
    n
        Their sum over fates, shape (M,).

    Returns
    -------
    value : Tensor
        A float64 scalar.
    slope : Tensor
        Shape (F*, M).
    """
    top = eta_star[0].clamp_min(0)  # the reference logit is zero
    for logit in eta_star[1:]:
        top = torch.maximum(top, logit)
    raised = torch.exp(eta_star - top)
    total = torch.exp(-top)
    for each in raised:
        total += each
    labels = p[1:]
    value = (labels * eta_star).sum(dtype=torch.float64) - (n * (top + torch.log(total))).sum(
        dtype=torch.float64
    )
    return value, torch.addcmul(labels, raised, n / total, value=-1)


class _SoftCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, eta_star: Tensor, p: Tensor, n: Tensor) -> Tensor:
        value, slope = cross_entropy_and_slope(eta_star, p, n)
        ctx.save_for_backward(slope)
        return value

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None]:
        (slope,) = ctx.saved_tensors
        return slope * grad_outputs[0].to(slope.dtype), None, None


def soft_cross_entropy(eta_star: Tensor, p: Tensor, n: Tensor) -> Tensor:
    """Log-likelihood of soft labels for autograd; see `cross_entropy_and_slope`.

    Parameters
    ----------
    eta_star, p, n
        As there.

    Returns
    -------
    Tensor
        A float64 scalar.
    """
    return _SoftCrossEntropy.apply(eta_star, p, n)
