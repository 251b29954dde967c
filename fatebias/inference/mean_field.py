"""Plain mean-field SVI: Pyro's AutoNormal and draws from it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyro
import torch
from pyro.infer.autoguide import AutoNormal
from pyro.infer.autoguide.initialization import init_to_feasible, init_to_value

from fatebias.inference.result import Draws
from fatebias.model.design_matrix import DesignMatrix, walk_steps
from fatebias.model.effects import gene_effects, guide_deviations
from fatebias.model.variational import VariationalInit


def mean_field_family(
    model: Callable[..., None], design: DesignMatrix, init: VariationalInit | None, device: torch.device
) -> AutoNormal:
    """Return an independent normal for every latent; None starts it at Pyro's default."""
    where = init_to_feasible() if init is None else init_to_value(values=_site_values(design, init, device))
    return AutoNormal(model, init_loc_fn=where, init_scale=0.05)


def _site_values(
    design: DesignMatrix, init: VariationalInit, device: torch.device
) -> dict[str, torch.Tensor]:
    theta, delta, shared = design.split(init.mean)
    scale = init.scale_precision**-0.5  # (F*, D + 1)
    d, burden = design.rows.n_days, design.rows.n_days + design.rows.n_reps
    steps = theta @ walk_steps(d).T
    values = {
        "alpha": shared[:d].T,
        "b": shared[d:burden].T,
        "gamma": shared[burden],
        "tau": scale[:, 0],
        "z0": steps[..., 0] / scale[:, 0],
        "sigma_guide": scale[:, d],
        "u": delta / scale[:, d],
    }
    if design.rows.n_covariates:
        values["covar"] = shared[burden + 1 :].T
    if d > 1:
        values |= {"sigma_time": scale[:, 1:d], "eps": steps[..., 1:] / scale[:, 1:d]}
    return {name: torch.from_numpy(np.ascontiguousarray(value)).to(device) for name, value in values.items()}


@torch.no_grad()
def mean_field_draws(family: Any, design: DesignMatrix, n_draws: int) -> Draws:
    """Return S draws from a fitted AutoNormal."""
    with pyro.plate("draws", n_draws, dim=-1):
        site = family()
    return draws_from_sites(site, design)


def draws_from_sites(site: dict[str, torch.Tensor], design: DesignMatrix) -> Draws:
    """Return draws of effects from draws of the model's sample sites, each of shape (S, ...)."""
    gene = torch.from_numpy(design.rows.guide_gene).to(site["u"].device)
    theta = gene_effects(site["tau"], site["z0"], site.get("sigma_time"), site.get("eps"))
    delta = guide_deviations(site["sigma_guide"], site["u"], gene if design.centred else None)
    covar = [site["covar"]] if "covar" in site else []
    by_site = [site["alpha"], site["b"], site["gamma"].unsqueeze(-1), *covar]
    shared = torch.cat(by_site, dim=-1).transpose(-1, -2)
    scales = [site["tau"].unsqueeze(-1), site["sigma_guide"].unsqueeze(-1)]
    if "sigma_time" in site:
        scales.insert(1, site["sigma_time"])
    parts = (theta, delta, shared, torch.cat(scales, dim=-1))
    return Draws(*(part.cpu().numpy().astype(np.float64) for part in parts))
