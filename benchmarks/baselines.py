"""What the fit is compared with: the straightforward Pyro implementation, and the same model in NumPyro."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch

from fatebias.config import PriorsConfig
from fatebias.data.collapse import CollapsedRows
from fatebias.data.screen import Screen


def straightforward_steps(
    screen: Screen, n_steps: int, *, batch_size: int = 8192, k_max: int = 20
) -> list[float]:
    """Return the seconds of minibatch SVI steps as one would first write them, after two that do not count.

    AutoNormal, padded guides, autograd throughout: every slot of a cell, padding included, fetches its
    guide's effect on all days; the sum over slots is then read at the cell's day.
    """
    import pyro
    import pyro.distributions as dist
    from pyro.infer import SVI, Trace_ELBO
    from pyro.infer.autoguide import AutoNormal
    from pyro.optim import ClippedAdam

    priors = PriorsConfig()
    p = torch.from_numpy(screen.p).float()
    padding = ((0, 0), (0, max(0, k_max - screen.K)))
    ids = torch.from_numpy(np.pad(screen.guide_ids, padding).astype(np.int64))
    mask = torch.from_numpy(np.pad(screen.mask, padding).astype(np.float32))
    day, rep = (torch.from_numpy(x.astype(np.int64)) for x in (screen.day, screen.rep))
    k = torch.from_numpy(screen.k_centered).float()
    gene = torch.from_numpy(screen.gene_of_guide.astype(np.int64))
    n_genes, n_guides, n_days, n_reps, n_effects = screen.L, screen.G, screen.D, screen.R, screen.n_fates_star

    def model(batch: torch.Tensor) -> None:
        def normal(name: str, sd: float, *shape: int) -> torch.Tensor:
            return pyro.sample(name, dist.Normal(0.0, sd).expand(shape).to_event(len(shape)))

        def half(name: str, sd: float, *shape: int) -> torch.Tensor:
            return pyro.sample(name, dist.HalfNormal(sd).expand(shape).to_event(len(shape)))

        alpha = normal("alpha", priors.s_alpha, n_effects, n_days)
        b = normal("b", priors.s_rep, n_effects, n_reps)
        gamma = normal("gamma", priors.s_gamma, n_effects)
        tau, z0 = half("tau", priors.s_tau, n_effects), normal("z0", 1.0, n_genes, n_effects)
        sigma_time = half("sigma_time", priors.s_time, n_effects, n_days - 1)
        eps = normal("eps", 1.0, n_genes, n_effects, n_days - 1)
        sigma_guide, u = half("sigma_guide", priors.s_guide, n_effects), normal("u", 1.0, n_guides, n_effects)
        first = (tau * z0).unsqueeze(-1)
        theta = torch.cat([first, first + torch.cumsum(eps * sigma_time, dim=-1)], dim=-1)
        theta = torch.cat([torch.zeros(1, n_effects, n_days), theta])
        delta = torch.cat([torch.zeros(1, n_effects), sigma_guide * u])
        beta = theta[gene] + delta.unsqueeze(-1)  # (G + 1, F*, D)
        summed = (beta[ids[batch]] * mask[batch][:, :, None, None]).sum(dim=1)  # (B, F*, D)
        eta = summed[torch.arange(len(batch)), :, day[batch]]
        eta = eta + alpha.T[day[batch]] + b.T[rep[batch]] + gamma * k[batch].unsqueeze(1)
        logits = torch.cat([torch.zeros(len(batch), 1), eta], dim=1)
        ll = (p[batch] * torch.log_softmax(logits, dim=1)).sum()
        pyro.factor("soft_ce", len(p) / len(batch) * ll)

    pyro.clear_param_store()
    svi = SVI(model, AutoNormal(model), ClippedAdam({"lr": 0.01}), Trace_ELBO())
    taken = []
    for _ in range(n_steps + 2):
        begun = time.perf_counter()
        svi.step(torch.randint(len(p), (batch_size,)))
        taken.append(time.perf_counter() - begun)
    return taken[2:]


def numpyro_steps(rows: CollapsedRows, n_steps: int) -> list[float]:
    """Return the seconds of NumPyro's jitted full-batch SVI steps (AutoNormal), compilation left out."""
    import jax
    import jax.numpy as jnp
    import numpyro
    import numpyro.distributions as dist
    from numpyro.infer import SVI, Trace_ELBO
    from numpyro.infer.autoguide import AutoNormal

    priors = PriorsConfig()
    counts = np.diff(rows.indptr)
    row = jnp.asarray(np.repeat(np.arange(rows.n_rows), counts))
    slot = jnp.asarray((rows.guides - 1) * rows.n_days + np.repeat(rows.day, counts))
    gene = jnp.asarray(rows.guide_gene)
    p = jnp.asarray(rows.p, dtype=jnp.float32)
    n = p.sum(axis=1)
    day, rep = jnp.asarray(rows.day), jnp.asarray(rows.rep)
    k = jnp.asarray(rows.k_centered, dtype=jnp.float32)
    n_effects, n_days = rows.n_effects, rows.n_days

    def model() -> None:
        def normal(name: str, sd: float, *shape: int) -> Any:
            return numpyro.sample(name, dist.Normal(0.0, sd).expand(shape).to_event(len(shape)))

        def half(name: str, sd: float, *shape: int) -> Any:
            return numpyro.sample(name, dist.HalfNormal(sd).expand(shape).to_event(len(shape)))

        alpha = normal("alpha", priors.s_alpha, n_effects, n_days)
        b = normal("b", priors.s_rep, n_effects, rows.n_reps)
        gamma = normal("gamma", priors.s_gamma, n_effects)
        tau, z0 = half("tau", priors.s_tau, n_effects), normal("z0", 1.0, rows.n_genes, n_effects)
        sigma_time = half("sigma_time", priors.s_time, n_effects, n_days - 1)
        eps = normal("eps", 1.0, rows.n_genes, n_effects, n_days - 1)
        sigma_guide = half("sigma_guide", priors.s_guide, n_effects)
        u = normal("u", 1.0, rows.n_guides, n_effects)
        steps = jnp.concatenate([(tau * z0)[..., None], eps * sigma_time], axis=-1)
        beta = jnp.cumsum(steps, axis=-1)[gene] + (sigma_guide * u)[..., None]  # (G, F*, D)
        table = jnp.swapaxes(beta, 1, 2).reshape(-1, n_effects)
        summed = jax.ops.segment_sum(table[slot], row, num_segments=rows.n_rows, indices_are_sorted=True)
        eta = alpha.T[day] + b.T[rep] + gamma * k[:, None] + summed
        top = jnp.maximum(eta.max(axis=1), 0)
        total = top + jnp.log(jnp.exp(-top) + jnp.exp(eta - top[:, None]).sum(axis=1))
        numpyro.factor("soft_ce", (p[:, 1:] * eta).sum() - (n * total).sum())

    svi = SVI(model, AutoNormal(model), numpyro.optim.ClippedAdam(0.01), Trace_ELBO())
    state = svi.init(jax.random.PRNGKey(0))
    update = jax.jit(svi.update)
    state, _ = update(state)
    taken = []
    for _ in range(n_steps):
        begun = time.perf_counter()
        state, loss = update(state)
        jax.block_until_ready(loss)
        taken.append(time.perf_counter() - begun)
    return taken
