"""The sample sites of the model, and nothing else."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import pyro
import torch
from pyro.distributions import HalfNormal, Normal
from torch import Tensor

from fatebias import names
from fatebias.config import PriorsConfig
from fatebias.model.effects import gene_effects, guide_day_table, guide_deviations
from fatebias.model.tensors import DesignTensors


# Made once, not at every step: building them takes as long as evaluating them.
@lru_cache(maxsize=64)
def _normal(sd: float, shape: tuple[int, ...], device: torch.device) -> Any:
    zero = torch.zeros(shape, dtype=torch.float64, device=device)
    return Normal(zero, zero + sd).to_event(len(shape))


@lru_cache(maxsize=64)
def _half_normal(sd: float, shape: tuple[int, ...], device: torch.device) -> Any:
    return HalfNormal(torch.full(shape, sd, dtype=torch.float64, device=device)).to_event(len(shape))


def fate_model(
    tensors: DesignTensors,
    priors: PriorsConfig,
    *,
    likelihood_weight: float = 1.0,
    scale: float = 1.0,
    centred_guides: bool = False,
) -> None:
    """Sample the hierarchical soft-label multinomial model of fate bias.

    ``eta = alpha[day] + b[rep] + gamma * k_centered + covar x + sum over guides (theta[gene, day] + delta)``,
    ``log-likelihood = likelihood_weight * sum_i sum_f p[i,f] log softmax([0, eta_i])[f]``; gene effects walk
    over days with a learned scale for each interval, guides deviate from their gene by the same amount on
    every day. Non-centred throughout.
    """
    n_effects, n_days = tensors.n_effects, tensors.n_days
    device = tensors.n.device

    def normal(name: str, sd: float, *shape: int) -> Tensor:
        return pyro.sample(name, _normal(sd, shape, device))

    def half_normal(name: str, sd: float, *shape: int) -> Tensor:
        return pyro.sample(name, _half_normal(sd, shape, device))

    alpha = normal("alpha", priors.s_alpha, n_effects, n_days)
    b = normal("b", priors.s_rep, n_effects, tensors.n_reps)
    gamma = normal("gamma", priors.s_gamma, n_effects)
    covar = []
    if tensors.n_covariates:
        covar.append(normal("covar", priors.s_covar, n_effects, tensors.n_covariates))
    tau = half_normal("tau", priors.s_tau, n_effects)
    z0 = normal("z0", 1.0, tensors.n_genes, n_effects)
    sigma_time = eps = None
    if n_days > 1:
        sigma_time = half_normal("sigma_time", priors.s_time, n_effects, n_days - 1)
        eps = normal("eps", 1.0, tensors.n_genes, n_effects, n_days - 1)
    sigma_guide = half_normal("sigma_guide", priors.s_guide, n_effects)
    u = normal("u", 1.0, tensors.n_guides, n_effects)

    theta = gene_effects(tau, z0, sigma_time, eps)
    delta = guide_deviations(sigma_guide, u, tensors.guide_gene if centred_guides else None)
    shared_effects = torch.cat([alpha, b, gamma.unsqueeze(-1), *covar], dim=1).T  # (Q, F*)
    log_likelihood = tensors.log_likelihood(guide_day_table(theta, delta, tensors.guide_gene), shared_effects)
    pyro.factor(names.SOFT_CE, scale * likelihood_weight * log_likelihood)
