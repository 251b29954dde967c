"""The gold standard for small screens: Pyro's No-U-Turn sampler on the collapsed data.

Sampled are the effects whitened by the Laplace solution, and the log scales. Effects that the data hardly
inform are stretched with their scale (non-centred), those that the data fix are not (centred), the rest in
between: see `stretch_powers`. The posterior is then close to a standard normal, also where a scale comes near
zero, and a few leapfrog steps cross it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pyro
import torch
from numpy.typing import NDArray
from pyro.infer import MCMC, NUTS
from pyro.ops.stats import effective_sample_size, split_gelman_rubin
from torch import Tensor

from fatebias.config import Config, PriorsConfig
from fatebias.inference.diagnostics import convergence_warnings
from fatebias.inference.laplace import LaplaceFit, fit_laplace
from fatebias.inference.progress import Progress
from fatebias.inference.result import Draws, Fit, LossTrace, StoredDraws
from fatebias.model.design_matrix import DesignMatrix, scale_prior_widths, shared_scales, walk_steps
from fatebias.model.effects import centre_within_genes, guide_day_table
from fatebias.model.tensors import design_tensors

log = logging.getLogger(__name__)

START_SPREAD = 0.5
TARGET_ACCEPT = 0.9
LOG_SCALE_UNIT = 0.2  # of the log scales, so that all coordinates vary alike before the mass matrix adapts


class Potential:
    """Negative log posterior of the model in coordinates whitened by the Laplace solution."""

    def __init__(
        self,
        design: DesignMatrix,
        priors: PriorsConfig,
        likelihood_weight: float,
        laplace: LaplaceFit,
        device: torch.device,
    ) -> None:
        def put(values: Any, kind: torch.dtype = torch.float64) -> Tensor:
            return torch.as_tensor(np.ascontiguousarray(values)).to(device=device, dtype=kind)

        rows = design.rows
        self.centred = design.centred
        self.weight = likelihood_weight
        self.tensors = design_tensors(rows, device=device, dtype=torch.float64)
        self.n_days = rows.n_days
        self.mean, self.factor = put(laplace.mean), laplace.factor.to(device)
        self.scale_mode = put(laplace.scale_precision**-0.5)
        self.counts = put(design.scale_counts())
        self.widths = put(scale_prior_widths(priors, rows.n_days))
        self.theta = put(design.theta_index, torch.int64)
        self.delta = put(design.delta_index, torch.int64)
        self.shared = put(design.shared_index, torch.int64)
        self.walk = put(walk_steps(rows.n_days))
        self.power = put(stretch_powers(design, laplace))
        self.shared_precision = put(shared_scales(rows, priors) ** -2.0).unsqueeze(1)

    def effects(self, point: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Return steps, theta, delta, shared effects and scales at whitened coordinates.

        ``point`` has ``effects``, (..., size), and ``scales``, (..., F*, D + 1): log scales minus their
        Laplace value, in units of 0.2. The steps of the walk, (..., L, F*, D), and theta have the same
        shape, delta (..., G, F*), shared (..., Q, F*), scales (..., F*, D + 1).
        """
        white = point["effects"].unsqueeze(-1)
        flat = self.mean + torch.linalg.solve_triangular(self.factor.T, white, upper=True).squeeze(-1)
        ratio = torch.exp(LOG_SCALE_UNIT * point["scales"])
        stretch = (ratio**self.power).unsqueeze(-3)
        steps = (flat[..., self.theta] @ self.walk.T) * stretch[..., :-1]
        delta = flat[..., self.delta] * stretch[..., -1]
        return steps, steps.cumsum(dim=-1), delta, flat[..., self.shared], self.scale_mode * ratio

    def __call__(self, point: dict[str, Tensor]) -> Tensor:
        """Return the potential energy of one point, a float64 scalar."""
        steps, theta, delta, shared, scales = self.effects(point)
        used = centre_within_genes(delta, self.tensors.guide_gene) if self.centred else delta
        table = guide_day_table(theta, used, self.tensors.guide_gene)
        height = self.weight * self.tensors.log_likelihood(table, shared)
        height = (
            height - 0.5 * ((steps / scales[:, :-1]) ** 2).sum() - 0.5 * ((delta / scales[:, -1]) ** 2).sum()
        )
        # The normal densities' scales, less the Jacobian of what was stretched
        height = height - (self.counts * (1 - self.power) * scales.log()).sum()
        height = height - 0.5 * (self.shared_precision * shared**2).sum()
        # HalfNormal scales, and the Jacobian of their logarithm
        height = height - 0.5 * ((scales / self.widths) ** 2).sum() + scales.log().sum()
        return -height


def stretch_powers(design: DesignMatrix, laplace: LaplaceFit) -> NDArray[np.float64]:
    """Return to which power of its scale each kind of effect is stretched, (F*, D + 1), from 0 to 1.

    It is the effects' posterior variance over their prior variance, averaged: 1 where data say nothing
    (non-centred), 0 where they say all (centred). Papaspiliopoulos, Roberts and Skold 2003, Bayesian
    Statistics 7, partially non-centred parametrisations.
    """
    inverse = torch.cholesky_inverse(laplace.factor).cpu().numpy()
    theta, walk = design.theta_index, walk_steps(design.rows.n_days)
    across_days = inverse[theta[..., :, None], theta[..., None, :]]  # (L, F*, D, D)
    steps = np.einsum("de,lfeg,dg->fd", walk, across_days, walk) / len(theta)
    delta = inverse.diagonal()[design.delta_index].mean(axis=0)
    variance = np.column_stack([steps, delta])
    return np.asarray(np.clip(variance * laplace.scale_precision, 0, 1))


def fit_nuts(
    design: DesignMatrix,
    cfg: Config,
    weight: float,
    device: torch.device,
    on_step: Callable[[int, float, int], None] | None,
) -> Fit:
    """Return the draws of all chains, with R-hat and effective sample size of theta among the diagnostics."""
    settings = cfg.inference
    laplace = fit_laplace(
        design,
        cfg.priors,
        likelihood_weight=weight,
        max_rounds=settings.max_rounds,
        device=device,
    )
    potential = Potential(design, cfg.priors, weight, laplace, device)
    begun = time.perf_counter()
    losses: list[float] = []
    stamps: list[int] = []
    chains = []
    divergences = 0
    per_chain = settings.num_warmup + settings.num_samples
    with Progress(settings.num_chains * per_chain, "NUTS", shown=settings.progress) as progress:

        def hook(kernel: Any, point: dict[str, Tensor], stage: str, number: int) -> None:
            losses.append(float(kernel._potential_energy_last))
            stamps.append(time.time_ns() // 1_000_000)
            if on_step is not None:
                on_step(len(losses) - 1, losses[-1], stamps[-1])
            progress.step(len(losses), losses[-1])

        for chain in range(settings.num_chains):
            samples, diverged = _chain(potential, laplace, cfg, chain, hook)
            chains.append(samples)
            divergences += diverged
    theta = torch.stack([potential.effects(each)[1] for each in chains])  # (chains, S, L, F*, D)
    diagnostics = _figures(theta) | {
        "nuts_divergences": divergences,
        "nuts_divergent_share": divergences / (settings.num_chains * settings.num_samples),
    }
    log.info("NUTS: R-hat up to %.3f, ESS from %.0f", diagnostics["r_hat_max"], diagnostics["ess_min"])
    seconds = {"laplace": laplace.seconds, "nuts": time.perf_counter() - begun}
    merged = {name: torch.cat([each[name] for each in chains]) for name in chains[0]}
    trace = LossTrace(np.arange(len(losses)), np.array(losses), np.array(stamps, dtype=np.int64))
    return Fit(_stored(potential, merged), trace, diagnostics, convergence_warnings(diagnostics), seconds)


def _chain(
    potential: Potential, laplace: LaplaceFit, cfg: Config, chain: int, hook: Callable[..., None]
) -> tuple[dict[str, Tensor], int]:
    pyro.set_rng_seed(cfg.seed + 1000 * chain)
    kind: dict[str, Any] = {"dtype": torch.float64, "device": potential.mean.device}
    start = {
        "effects": START_SPREAD * torch.randn(len(laplace.mean), **kind),
        "scales": START_SPREAD * torch.randn(laplace.scale_precision.shape, **kind),
    }
    kernel = NUTS(potential_fn=potential, target_accept_prob=TARGET_ACCEPT)
    sampler = MCMC(
        kernel,
        num_samples=cfg.inference.num_samples,
        warmup_steps=cfg.inference.num_warmup,
        initial_params=start,
        hook_fn=hook,
        disable_progbar=True,
    )
    sampler.run()
    divergent = sampler.diagnostics().get("divergences", {})
    return sampler.get_samples(), sum(len(each) for each in divergent.values())


def _figures(theta: Tensor) -> dict[str, Any]:
    by_entry = theta.flatten(2)
    r_hat = split_gelman_rubin(by_entry, chain_dim=0, sample_dim=1)
    ess = effective_sample_size(by_entry, chain_dim=0, sample_dim=1)
    return {
        "r_hat_max": float(r_hat.max()),
        "ess_min": float(ess.min()),
        "nuts_chains": by_entry.shape[0],
    }


def _stored(potential: Potential, samples: dict[str, Tensor]) -> StoredDraws:
    """Return what gives the samples of all chains in order."""

    def at(chosen: list[int]) -> Draws:
        _, theta, delta, shared, scales = potential.effects(
            {name: values[chosen] for name, values in samples.items()}
        )
        if potential.centred:
            delta = centre_within_genes(delta, potential.tensors.guide_gene)
        parts: list[NDArray[np.float64]] = [part.cpu().numpy() for part in (theta, delta, shared, scales)]
        return Draws(*parts)

    return StoredDraws(len(samples["effects"]), at)
