"""From a screen to a posterior, by the method that ``inference=`` names."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pyro
import torch

from fatebias.config import Config, weight_asked
from fatebias.data.screen import Screen
from fatebias.errors import ConfigError
from fatebias.inference.checkpoint import Checkpoint
from fatebias.inference.diagnostics import (
    convergence_warnings,
    gene_k_hats,
    laplace_figures,
    loss_drift,
)
from fatebias.inference.laplace import InitialValues, LaplaceFit, fit_laplace
from fatebias.inference.mean_field import mean_field_draws, mean_field_family
from fatebias.inference.result import Draws, Fit, LossTrace, StoredDraws
from fatebias.inference.scale_posterior import integrate_scales
from fatebias.inference.svi import run_svi
from fatebias.model.design_matrix import DesignMatrix, cell_design_of, design_of
from fatebias.model.effects import centre_within_genes
from fatebias.model.fate_model import fate_model
from fatebias.model.tensors import design_tensors
from fatebias.model.variational import StructuredFamily, VariationalInit, cold_init

log = logging.getLogger(__name__)

OnStep = Callable[[int, float, int], None]


def choose_device(name: str) -> torch.device:
    """Return the torch device of the setting ``device``: auto, cpu, cuda or cuda:N."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        return torch.device("cuda" if count else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= count:
        raise ConfigError(
            f"device={name} is not there",
            where="device",
            found=f"{count} GPUs that torch {torch.__version__} can use",
            allowed=["auto", "cpu"] + [f"cuda:{i}" for i in range(count)],
            fix="device=auto takes a GPU where there is one",
        )
    return device


def fit_screen(
    screen: Screen,
    cfg: Config,
    weight: float | None = None,
    *,
    on_step: OnStep | None = None,
    checkpoint: Checkpoint | None = None,
    start: InitialValues | None = None,
    judge: bool = True,
) -> Fit:
    """Return the posterior of a screen, whichever method ``cfg.inference`` names.

    ``weight`` is the likelihood weight, by default the number in ``cfg``. ``on_step`` is called with step,
    loss and time in milliseconds at every step of the optimiser. SVI keeps its state in ``checkpoint`` while
    it runs. The Laplace solution begins at ``start``, or at zero. ``judge=False`` is for refits of a model
    that was judged: a Laplace fit then has no k-hats, and of many genes each is drawn by itself. Raises
    FitError when no usable posterior was found, ConfigError when the device is not available.
    """
    weight = weight_asked(cfg) if weight is None else weight
    device = choose_device(cfg.device)
    begun = time.perf_counter()
    pyro.clear_param_store()
    pyro.set_rng_seed(cfg.seed)
    design = design_of(screen, cfg.model)
    log.info(
        "%d cells collapse into %d rows; %d effects; %s", screen.N, design.rows.n_rows, design.size, device
    )
    seconds = {"collapse": time.perf_counter() - begun}
    if cfg.inference.method == "nuts":
        from fatebias.inference.nuts import fit_nuts

        return fit_nuts(design, cfg, weight, device, on_step)
    laplace = None
    if cfg.inference.method == "laplace" or cfg.inference.warm_start == "laplace":
        laplace = fit_laplace(
            design,
            cfg.priors,
            likelihood_weight=weight,
            max_rounds=cfg.inference.max_rounds,
            device=device,
            start=start,
        )
        seconds["laplace"] = laplace.seconds
        rounds = len(laplace.log_evidence)
        log.info("Laplace: %d rounds in %.1f s, %s", rounds, laplace.seconds, laplace.curvature.words)
    if cfg.inference.method == "laplace":
        assert laplace is not None
        return _laplace_only(design, laplace, cfg, weight, device, seconds, on_step, judge)
    return _svi(screen, design, laplace, cfg, weight, device, seconds, on_step, checkpoint)


def _laplace_only(
    design: DesignMatrix,
    laplace: LaplaceFit,
    cfg: Config,
    weight: float,
    device: torch.device,
    seconds: dict[str, float],
    on_step: OnStep | None,
    judge: bool,
) -> Fit:
    stamp = time.time_ns() // 1_000_000
    trace = LossTrace(
        np.arange(len(laplace.log_evidence)),
        -np.array(laplace.log_evidence),
        np.full(len(laplace.log_evidence), stamp, dtype=np.int64),
    )
    if on_step is not None:
        for step, loss in zip(trace.step.tolist(), trace.loss.tolist(), strict=True):
            on_step(step, loss, stamp)
    begun = time.perf_counter()
    diagnostics: dict[str, Any] = laplace_figures(laplace)
    if judge:
        diagnostics |= gene_k_hats(design, laplace, None, weight, cfg.seed)
    seconds["diagnostics"] = time.perf_counter() - begun
    if cfg.inference.scales == "fixed":
        family = StructuredFamily(design, _variational_init(laplace), _generator(cfg.seed, device), device)
        draw = _draws_of(design, family)
    else:
        draw = _integrated_draws(
            design, laplace, cfg, weight, seconds, diagnostics, rough=not judge,
            moved=lambda moves: torch.from_numpy(laplace.mean) + moves,
        )  # fmt: skip
    return Fit(draw, trace, diagnostics, convergence_warnings(diagnostics), seconds)


def _svi(
    screen: Screen,
    design: DesignMatrix,
    laplace: LaplaceFit | None,
    cfg: Config,
    weight: float,
    device: torch.device,
    seconds: dict[str, float],
    on_step: OnStep | None,
    checkpoint: Checkpoint | None,
) -> Fit:
    full = cfg.inference.batch_size is None or cfg.inference.batch_size >= len(screen.day)
    rows = design.rows if full else cell_design_of(screen, cfg.model).rows
    tensors = design_tensors(rows, device=device, sparse=full)
    model = partial(
        fate_model,
        priors=cfg.priors,
        likelihood_weight=weight,
        centred_guides=design.centred,
    )
    init = cold_init(design, device) if laplace is None else _variational_init(laplace)
    structured = None
    if cfg.inference.variational == "structured":
        structured = StructuredFamily(design, init, _generator(cfg.seed, device), device)
        family: Any = structured
    else:
        family = mean_field_family(model, design, None if laplace is None else init, device)
    begun = time.perf_counter()
    until_level = cfg.inference.stop == "level" and laplace is not None and structured is not None and full
    trace = run_svi(
        model,
        family,
        tensors,
        cfg.inference,
        seed=cfg.seed,
        until_level=until_level,
        on_step=on_step,
        checkpoint=checkpoint,
    )
    seconds["svi"] = time.perf_counter() - begun
    early = len(trace.step) < cfg.inference.num_steps
    why = f" of at most {cfg.inference.num_steps}: the loss is level" if early else ""
    log.info("SVI: %d steps%s, in %.1f s", len(trace.step), why, seconds["svi"])
    begun = time.perf_counter()
    diagnostics: dict[str, Any] = loss_drift(trace) | {"svi_steps": len(trace.step)}
    if laplace is not None:
        diagnostics |= laplace_figures(laplace)
        if structured is not None:
            diagnostics |= gene_k_hats(design, laplace, structured, weight, cfg.seed)
    seconds["diagnostics"] = time.perf_counter() - begun
    if structured is None:
        draw: Callable[[int], Draws] = partial(mean_field_draws, family, design)
    elif laplace is None or cfg.inference.scales == "fixed":
        draw = _draws_of(design, structured)
    else:
        draw = _integrated_draws(design, laplace, cfg, weight, seconds, diagnostics, moved=structured.moved)
    return Fit(draw, trace, diagnostics, convergence_warnings(diagnostics), seconds)


def _variational_init(laplace: LaplaceFit) -> VariationalInit:
    return VariationalInit(
        mean=laplace.mean,
        noise=laplace.curvature.noise,
        sd=laplace.unit,
        scale_precision=laplace.scale_precision,
    )


def _generator(seed: int, device: torch.device) -> torch.Generator:
    return torch.Generator(device=device).manual_seed(seed)


def _draws_of(design: DesignMatrix, family: StructuredFamily) -> Callable[[int], Draws]:
    return lambda n_draws: _draws(design, *family.draw(n_draws))


def _integrated_draws(
    design: DesignMatrix,
    laplace: LaplaceFit,
    cfg: Config,
    weight: float,
    seconds: dict[str, float],
    diagnostics: dict[str, Any],
    *,
    moved: Callable[[torch.Tensor], torch.Tensor],
    rough: bool = False,
) -> Callable[[int], Draws]:
    """Return what draws effects and scales, the scales integrated out around the Laplace solution.

    ``moved`` returns the effects, (S, size), of moves from the Laplace mode.
    """
    begun = time.perf_counter()
    n_draws = cfg.inference.num_posterior_draws
    scales = integrate_scales(design, laplace, cfg.priors, weight, n_draws, cfg.seed, rough=rough)
    diagnostics |= {"scale_points": len(scales.weight), "scale_points_used": scales.points_used}
    seconds["scales"] = time.perf_counter() - begun

    def at(chosen: list[int]) -> Draws:
        effects = moved(torch.from_numpy(scales.moves[chosen].astype(np.float64)))
        return _draws(design, effects, torch.from_numpy(np.exp(scales.log_scale[scales.point[chosen]])))

    return StoredDraws(n_draws, at)


def _draws(design: DesignMatrix, flat: torch.Tensor, scales: torch.Tensor) -> Draws:
    theta, delta, shared = design.split(flat.cpu().numpy())
    if design.centred:
        gene = torch.from_numpy(design.rows.guide_gene)
        delta = centre_within_genes(torch.from_numpy(np.ascontiguousarray(delta)), gene).numpy()
    return Draws(theta, delta, shared, scales.cpu().numpy())
