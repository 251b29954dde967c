"""The one optimisation loop: Pyro's SVI with ClippedAdam and Trace_ELBO, whatever the family."""

from __future__ import annotations

import math
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pyro
import torch
from pyro.infer import SVI
from pyro.optim import ClippedAdam, PyroOptim

from fatebias.config import InferenceConfig
from fatebias.errors import FitError
from fatebias.inference.checkpoint import Checkpoint, StopSignals
from fatebias.inference.diagnostics import fall
from fatebias.inference.elbo import ReparameterisedELBO
from fatebias.inference.progress import Progress
from fatebias.inference.result import LossTrace
from fatebias.model.tensors import DesignTensors

FINAL_LR_SHARE = 0.1
AVERAGED_SHARE = 0.5
# The loss is judged every so many steps: level where it fell by no more than the first, or, where it is
# noisy, than twice its error and the second.
JUDGED_EVERY = 50
LEVEL_NATS, MOST_NATS = 0.5, 3.0
DIVERGED_AFTER = 200


def run_svi(
    model: Callable[..., None],
    family: Any,
    tensors: DesignTensors,
    cfg: InferenceConfig,
    *,
    seed: int,
    until_level: bool = False,
    on_step: Callable[[int, float, int], None] | None = None,
    checkpoint: Checkpoint | None = None,
) -> LossTrace:
    """Fit a variational family; return the loss, and leave the parameters in Pyro's parameter store.

    The learning rate falls geometrically to a tenth. The parameters left behind are their average over the
    last half of the steps (Polyak and Juditsky 1992, doi 10.1137/0330046), which takes the optimiser's own
    jitter out of the standard errors. ``until_level`` ends before ``num_steps`` once the loss is level, for
    a family that begins where another method has ended; the average then begins anew as steps double. Model
    and family are called as ``model(tensors, scale=...)``, with all rows or, under ``batch_size``, with
    minibatches of cells. A state found in ``checkpoint`` is resumed to the same bytes as without a break;
    ``on_step`` hears its steps again. Raises FitError when the loss is not finite or grows, SystemExit after
    SIGTERM with the state saved.
    """
    decay = FINAL_LR_SHARE ** (1 / cfg.num_steps)
    _spare_compiler()
    optimiser = ClippedAdam({"lr": cfg.lr, "clip_norm": cfg.clip_norm, "lrd": decay})
    svi = SVI(model, family, optimiser, ReparameterisedELBO())
    run = _State(svi, optimiser, family, _Batches(tensors, cfg.batch_size, seed))
    saved = checkpoint.load() if checkpoint is not None else None
    if saved is not None:
        run.restore(saved)
        for step, (loss, stamp) in enumerate(zip(run.losses, run.stamps, strict=True)):
            if on_step is not None:
                on_step(step, loss, stamp)
    with (
        pyro.validation_enabled(False),
        Progress(cfg.num_steps, "SVI", shown=cfg.progress) as progress,
        StopSignals() as signals,
    ):
        while len(run.losses) < cfg.num_steps and not _settled(run.losses, cfg):
            if until_level and _is_level(run.losses):
                break
            loss = run.step()
            _check(run.losses, cfg)
            if on_step is not None:
                on_step(len(run.losses) - 1, loss, run.stamps[-1])
            progress.step(len(run.losses), loss)
            if until_level and _begins_anew(len(run.losses) - 1):
                run.average = _Average()
            if until_level or len(run.losses) > AVERAGED_SHARE * cfg.num_steps:
                run.average.add()
            if checkpoint is not None and (signals.pending or checkpoint.due()):
                checkpoint.save(run.state())
            if signals.pending:
                signals.leave(saved=checkpoint is not None)
    run.average.leave()
    return LossTrace(np.arange(len(run.losses)), np.array(run.losses), np.array(run.stamps, dtype=np.int64))


def _spare_compiler() -> None:
    """Let torch's optimisers begin without torch's compiler, which takes seconds to import.

    They import it to exclude a few of their methods from compilation (torch/_compile.py). Nothing is compiled
    here, so the plain methods do; where something else has imported the compiler, all stays as it is.
    """
    if "torch._dynamo" in sys.modules:
        return
    for method in vars(torch.optim.Optimizer).values():
        plain = getattr(method, "__wrapped__", None)
        if plain is not None:
            plain.__dynamo_disable = plain


class _State:
    """All that changes from step to step."""

    def __init__(self, svi: SVI, optimiser: PyroOptim, family: Any, batches: _Batches) -> None:
        self.svi, self.optimiser, self.family, self.batches = svi, optimiser, family, batches
        self.average = _Average()
        self.losses: list[float] = []
        self.stamps: list[int] = []

    def step(self) -> float:
        """Take one step and return its loss."""
        batch, scale = self.batches.next()
        with warnings.catch_warnings():
            # a loss that is not finite ends in a FitError
            warnings.filterwarnings("ignore", message="Encountered NaN")
            loss = float(self.svi.step(batch, scale=scale))
        self.losses.append(loss)
        self.stamps.append(time.time_ns() // 1_000_000)
        return loss

    def state(self) -> dict[str, Any]:
        """Return tensors, numbers and names from which `restore` continues."""
        noise = getattr(self.family, "noise", None)
        return {
            "step": len(self.losses),
            "losses": torch.tensor(self.losses, dtype=torch.float64),
            "stamps": torch.tensor(self.stamps, dtype=torch.int64),
            "parameters": {name: value.detach() for name, value in pyro.get_param_store().named_parameters()},
            "optimiser": dict(self.optimiser.get_state()),
            "average": {"count": self.average.count, "mean": self.average.mean},
            "batches": {"order": self.batches.order, "random": self.batches.generator.get_state()},
            "random": [torch.get_rng_state(), *self._of_gpu()],
            "noise": None if noise is None else noise.state(),
        }

    @property
    def device(self) -> torch.device:
        """Where the rows are."""
        return self.batches.tensors.n.device

    def _of_gpu(self) -> list[torch.Tensor]:
        """Return the state of the GPU's own random numbers, which Pyro draws there."""
        return [torch.cuda.get_rng_state(self.device)] if self.device.type == "cuda" else []

    @torch.no_grad()
    def restore(self, saved: dict[str, Any]) -> None:
        """Restore a saved state."""
        self.family(self.batches.next()[0], scale=1.0)  # makes the parameters
        for name, value in pyro.get_param_store().named_parameters():
            value.copy_(saved["parameters"][name])
        self.optimiser.set_state(saved["optimiser"])
        self.losses, self.stamps = saved["losses"].tolist(), saved["stamps"].tolist()
        self.average.count = saved["average"]["count"]
        self.average.mean = {
            name: saved["average"]["mean"][name].to(value.device)
            for name, value in pyro.get_param_store().named_parameters()
            if name in saved["average"]["mean"]
        }
        self.batches.order = saved["batches"]["order"]
        self.batches.generator.set_state(saved["batches"]["random"])
        torch.set_rng_state(saved["random"][0])
        if self._of_gpu():
            torch.cuda.set_rng_state(saved["random"][-1], self.device)
        if saved["noise"] is not None:
            self.family.noise.restore(saved["noise"])


class _Batches:
    """Full batches, or random minibatches without replacement until every cell was seen."""

    def __init__(self, tensors: DesignTensors, batch_size: int | None, seed: int) -> None:
        self.tensors = tensors
        self.size = tensors.n_rows if batch_size is None else min(batch_size, tensors.n_rows)
        self.generator = torch.Generator().manual_seed(seed)
        self.order = torch.empty(0, dtype=torch.int64)

    def next(self) -> tuple[DesignTensors, float]:
        if self.size == self.tensors.n_rows:
            return self.tensors, 1.0
        if len(self.order) < self.size:
            self.order = torch.randperm(self.tensors.n_rows, generator=self.generator)
        chosen, self.order = self.order[: self.size], self.order[self.size :]
        return self.tensors.batch(chosen.to(self.tensors.n.device)), self.tensors.n_rows / self.size


class _Average:
    """Running average of everything in Pyro's parameter store, in unconstrained space."""

    def __init__(self) -> None:
        self.count = 0
        self.mean: dict[str, torch.Tensor] = {}

    @torch.no_grad()
    def add(self) -> None:
        self.count += 1
        for name, value in pyro.get_param_store().named_parameters():
            if name in self.mean:
                self.mean[name] += (value - self.mean[name]) / self.count
            else:
                self.mean[name] = value.detach().clone()

    @torch.no_grad()
    def leave(self) -> None:
        for name, value in pyro.get_param_store().named_parameters():
            if name in self.mean:
                value.copy_(self.mean[name])


def _check(losses: list[float], cfg: InferenceConfig) -> None:
    advice = f"try a smaller inference.lr (now {cfg.lr:g}), inference.warm_start=laplace, or priors=tight"
    if not math.isfinite(losses[-1]):
        raise FitError(
            f"SVI broke down at step {len(losses) - 1}", where="loss", found=losses[-1], fix=advice
        )
    if len(losses) % DIVERGED_AFTER == 0 and len(losses) >= 2 * DIVERGED_AFTER:
        first, last = np.mean(losses[:DIVERGED_AFTER]), np.mean(losses[-DIVERGED_AFTER:])
        if last > first + 0.1 * abs(first):
            raise FitError(
                f"SVI diverges: after {len(losses)} steps the loss is well above where it began",
                where="loss",
                found=f"{last:.4g} on average, {first:.4g} at first",
                fix=advice,
            )


def _is_level(losses: list[float]) -> bool:
    """Return whether the loss no longer falls, over the last 50 steps and over the last quarter of all.

    By no more than half a nat, or than chance allows up to three, against as many steps before.
    """
    n = len(losses)
    if n < 2 * JUDGED_EVERY or n % JUDGED_EVERY:
        return False
    for window in (JUDGED_EVERY, n // 4):
        fallen, error = fall(np.array(losses[n - 2 * window :]), window)
        if fallen > max(LEVEL_NATS, min(2 * error, MOST_NATS)):
            return False
    return True


def _begins_anew(done: int) -> bool:
    """Return whether the average begins anew: after 50, 100, 200, 400 ... steps."""
    share, rest = divmod(done, JUDGED_EVERY)
    return rest == 0 and share > 0 and share & (share - 1) == 0


def _settled(losses: list[float], cfg: InferenceConfig) -> bool:
    """Return whether the smoothed loss has stopped falling (``inference.tolerance``)."""
    window = cfg.patience
    if cfg.tolerance is None or len(losses) < 2 * window or len(losses) % window:
        return False
    before, after = np.mean(losses[-2 * window : -window]), np.mean(losses[-window:])
    return bool(before - after < cfg.tolerance * abs(after))
