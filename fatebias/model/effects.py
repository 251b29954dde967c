"""Pure tensor maths of the model: from scales and standard normals to effects, logits and the likelihood."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def gene_effects(tau: Tensor, z0: Tensor, sigma_time: Tensor | None, eps: Tensor | None) -> Tensor:
    """Return theta, (..., L, F*, D), logits against the reference fate, from scales and standard normals.

    ``theta_0 = tau * z0`` and ``theta_d = theta_{d-1} + sigma_time[:, d-1] * eps[..., d-1]``: a random walk
    over days with a learned scale for each interval. tau (..., F*), z0 (..., L, F*), sigma_time (..., F*, D -
    1) and eps (..., L, F*, D - 1); the last two are None when D = 1.
    """
    first = (tau.unsqueeze(-2) * z0).unsqueeze(-1)  # (..., L, F*, 1)
    if sigma_time is None or eps is None:
        return first
    steps = sigma_time.unsqueeze(-3) * eps  # (..., L, F*, D-1)
    return torch.cat([first, steps], dim=-1).cumsum(dim=-1)


def guide_deviations(sigma_guide: Tensor, u: Tensor, guide_gene: Tensor | None = None) -> Tensor:
    """Return delta, (..., G, F*): u, (..., G, F*), scaled by sigma_guide, (..., F*).

    With ``guide_gene``, (G,), the deviations have mean zero within a gene (``model.guide_effects=centred``).
    """
    delta = sigma_guide.unsqueeze(-2) * u
    return delta if guide_gene is None else centre_within_genes(delta, guide_gene)


def centre_within_genes(delta: Tensor, guide_gene: Tensor) -> Tensor:
    """Return deviations, (..., G, F*), less their mean over the guides of the same gene."""
    n_genes = int(guide_gene.max()) + 1
    count = torch.bincount(guide_gene, minlength=n_genes).to(delta.dtype)
    sums = delta.new_zeros((*delta.shape[:-2], n_genes, delta.shape[-1])).index_add(-2, guide_gene, delta)
    return delta - (sums / count.clamp_min(1).unsqueeze(-1)).index_select(-2, guide_gene)


def guide_day_table(theta: Tensor, delta: Tensor, guide_gene: Tensor) -> Tensor:
    """Return each guide's effect on each day, (G * D, F*), guide g on day d in row g * D + d."""
    beta = theta.index_select(0, guide_gene) + delta.unsqueeze(-1)  # (G, F*, D)
    return beta.transpose(1, 2).reshape(-1, delta.shape[1])


def cross_entropy_and_slope(eta_star: Tensor, p: Tensor, n: Tensor) -> tuple[Tensor, Tensor]:
    """Return the log-likelihood of soft labels, a float64 scalar, and its gradient, (F*, M), in one pass.

    ``sum_m sum_f p[f,m] log softmax([0, eta_m])[f]`` and ``d/d eta[f,m] = p[f,m] - n[m] * pi[f,m]``, with
    logits of shape (F*, M), labels p of shape (F, M), reference first, and n their sum over fates.
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
    """Return the log-likelihood of soft labels for autograd; see `cross_entropy_and_slope`."""
    return _SoftCrossEntropy.apply(eta_star, p, n)
