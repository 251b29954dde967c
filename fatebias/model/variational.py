"""The variational families that SVI can fit: what Pyro calls guides.

``structured`` is one dense Gaussian block a gene (its F* x D effects and its guides' deviations) and one
for the shared effects, over noise that is correlated between blocks as the Laplace solution says; scales
are log-normal, and z0, eps, u are drawn given them, so that theta, not z0, is what a block describes.
``normal`` is Pyro's AutoNormal.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any, Protocol

import numpy as np
import pyro
import torch
from numpy.typing import NDArray
from pyro.distributions import Delta, LogNormal
from torch import Tensor

from fatebias.model.design_matrix import DesignMatrix, walk_steps

COLD_SD = 0.1
COLD_SCALE = 0.3
POOL = 64  # solves at once: many right-hand sides cost little more than one


class Noise(Protocol):
    """Normal noise around the start."""

    @property
    def log_volume(self) -> float:
        """Half the log-determinant of its precision."""
        ...

    @property
    def device(self) -> torch.device:
        """Where it is made."""
        ...

    def colour(self, normal: Tensor) -> Tensor:
        """Return noise, (size, n), made of white noise, (size, n)."""
        ...


class IndependentNoise:
    """Noise of one SD, without correlation."""

    def __init__(self, sd: float, size: int, device: torch.device | str = "cpu") -> None:
        self.sd, self.device = sd, torch.device(device)
        self.log_volume = -size * float(np.log(sd))

    def colour(self, normal: Tensor) -> Tensor:
        """Return noise made of white noise."""
        return self.sd * normal


@dataclass(frozen=True)
class VariationalInit:
    """Where the structured family starts."""

    mean: NDArray[np.float64]  # (size,) all effects in flat order
    noise: Noise  # around the mean
    sd: NDArray[np.float64]  # (size,) rough marginal SDs: the units in which the family learns
    scale_precision: NDArray[np.float64]  # (F*, D + 1) 1 / s^2 of the scales


def cold_init(design: DesignMatrix, device: torch.device | str = "cpu") -> VariationalInit:
    """Return a start at zero with independent effects, for ``inference.warm_start=none``."""
    size, rows = design.size, design.rows
    return VariationalInit(
        mean=np.zeros(size),
        noise=IndependentNoise(COLD_SD, size, device),
        sd=np.full(size, COLD_SD),
        scale_precision=np.full((rows.n_effects, rows.n_days + 1), COLD_SCALE**-2),
    )


class StructuredFamily:
    """Gaussian blocks over correlated noise, with log-normal scales.

    With ``w = U e``, e standard normal and U what makes noise of the starting covariance, an effect block is
    ``m0 + sd * (loc + T (w / sd))``: loc and the lower-triangular T are learned for each gene and for the
    shared effects, U stays. At loc = 0, T = I the family is the starting normal itself, correlations between
    genes included; the log-determinant of T is exact.
    """

    def __init__(
        self,
        design: DesignMatrix,
        init: VariationalInit,
        generator: torch.Generator,
        device: torch.device | str = "cpu",
    ) -> None:
        rows = design.rows
        self.n_effects, self.n_days, self.size = rows.n_effects, rows.n_days, design.size
        self.burden = rows.n_days + rows.n_reps  # place of gamma among the shared effects
        self.counts = torch.from_numpy(design.scale_counts()).to(device)

        def put(values: Any, kind: torch.dtype = torch.float64) -> Tensor:
            return torch.as_tensor(np.ascontiguousarray(values)).to(device=device, dtype=kind)

        self.blocks = put(design.block_index, torch.int64)
        self.shared = put(design.shared_index.ravel(), torch.int64)
        self.noise_unit = put(init.sd)
        # Effects are put together as theta, delta, shared, each in its own shape, so that a step takes them
        # apart without copies: `parts` is the flat place of each, `source` its place in the blocks.
        by_part = (design.theta_index, design.delta_index, design.shared_index)
        parts = np.concatenate([index.ravel() for index in by_part])
        self.parts = put(parts, torch.int64)
        self.shapes = [index.shape for index in by_part]
        source = np.empty(self.size + 1, dtype=np.int64)
        source[design.block_index.ravel()] = np.arange(design.block_index.size)
        source[design.shared_index.ravel()] = design.block_index.size + np.arange(len(self.shared))
        self.source = put(source[parts], torch.int64)
        self.mean, self.sd = put(init.mean[parts]), put(init.sd[parts])
        self.walk = put(walk_steps(self.n_days))
        self.taken = (self.blocks < self.size).to(torch.float64)
        self.noise = _NoisePool(init.noise, design.size, generator)
        scale_sd = 1 / torch.sqrt(2 * (self.counts - 1).clamp_min(1)).expand(self.n_effects, -1)
        self.scale_sd = scale_sd.clone()
        # the log-normal whose E[1 / s^2] is the starting precision
        self.scale_loc = -0.5 * put(np.log(init.scale_precision)) + self.scale_sd**2

    def parameters(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Return the learned tensors from Pyro's parameter store, making them at first use.

        loc (size,) in the order of `parts`, raw T of the genes (L, width, width), raw T of the shared
        effects, mean of log scale and log of its SD (F*, D + 1). A raw T has logarithms on its diagonal.
        """
        width, n_shared = self.blocks.shape[1], len(self.shared)
        kind: dict[str, Any] = {"dtype": torch.float64, "device": self.mean.device}
        return (
            pyro.param("q.loc", lambda: torch.zeros(self.size, **kind)),
            pyro.param("q.blocks", lambda: torch.zeros(len(self.blocks), width, width, **kind)),
            pyro.param("q.shared", lambda: torch.zeros(n_shared, n_shared, **kind)),
            pyro.param("q.scale_loc", lambda: self.scale_loc.clone()),
            pyro.param("q.scale_log_sd", lambda: self.scale_sd.log()),
        )

    def __call__(self, *_args: Any, **_kwargs: Any) -> None:
        """Sample every latent site; Pyro runs this as its guide."""
        loc, raw_blocks, raw_shared, scale_loc, scale_log_sd = self.parameters()
        noise, log_density = self.noise.next()
        effects = self._transform(loc, raw_blocks, raw_shared, noise.unsqueeze(0)).squeeze(0)
        theta, delta, shared = (
            part.view(shape)
            for part, shape in zip(effects.split([prod(s) for s in self.shapes]), self.shapes, strict=True)
        )
        stretch = (raw_blocks.diagonal(dim1=1, dim2=2) * self.taken).sum() + raw_shared.diagonal().sum()
        pyro.sample(
            "q.noise",
            Delta(noise, log_density=log_density - stretch, event_dim=1),
            infer={"is_auxiliary": True},
        )

        scale_sd = scale_log_sd.exp()
        d = self.n_days
        tau = pyro.sample("tau", LogNormal(scale_loc[:, 0], scale_sd[:, 0]).to_event(1))
        sigma_guide = pyro.sample("sigma_guide", LogNormal(scale_loc[:, d], scale_sd[:, d]).to_event(1))
        steps = theta @ self.walk.T  # (L, F*, D): theta_0, then the changes
        _delta("z0", steps[..., 0] / tau, self.counts[0] * tau.log().sum())
        if d > 1:
            sigma_time = pyro.sample("sigma_time", LogNormal(scale_loc[:, 1:d], scale_sd[:, 1:d]).to_event(2))
            _delta("eps", steps[..., 1:] / sigma_time, self.counts[0] * sigma_time.log().sum())
        _delta("u", delta / sigma_guide, self.counts[-1] * sigma_guide.log().sum())
        _delta("alpha", shared[:d].T)
        _delta("b", shared[d : self.burden].T)
        _delta("gamma", shared[self.burden])
        if len(shared) > self.burden + 1:
            _delta("covar", shared[self.burden + 1 :].T)

    def _transform(self, loc: Tensor, raw_blocks: Tensor, raw_shared: Tensor, noise: Tensor) -> Tensor:
        """Return effects in the order of `parts` from noise in flat order, (S, size)."""
        unit = torch.cat([noise / self.noise_unit, noise.new_zeros(len(noise), 1)], dim=1)  # padding is zero
        own = torch.einsum("lij,slj->sli", _lower(raw_blocks), unit[:, self.blocks])
        common = unit[:, self.shared] @ _lower(raw_shared).T
        moved = torch.cat([own.flatten(1), common], dim=1).index_select(1, self.source)
        return self.mean + self.sd * (loc + moved)

    @torch.no_grad()
    def draw(self, n_draws: int) -> tuple[Tensor, Tensor]:
        """Return S draws of effects, (S, size), and of tau, each sigma_time, sigma_guide, (S, F*, D + 1)."""
        *_, scale_loc, scale_log_sd = self.parameters()
        flat = self.moved(self.noise.fresh(n_draws)[0])
        normal = torch.randn(
            n_draws, *scale_loc.shape, generator=self.noise.generator, dtype=torch.float64, device=flat.device
        )
        return flat, torch.exp(scale_loc + scale_log_sd.exp() * normal)

    @torch.no_grad()
    def moved(self, noise: Tensor) -> Tensor:
        """Return the effects that noise in flat order makes, (S, size): what was learned moves the noise."""
        loc, raw_blocks, raw_shared, *_ = self.parameters()
        effects = self._transform(loc, raw_blocks, raw_shared, noise.to(loc))
        return torch.empty_like(effects).index_copy_(1, self.parts, effects)

    @torch.no_grad()
    def block_moments(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Return what was learned, in the units of the effects.

        The mean of all effects, (size,); the matrix that multiplies each gene's block of noise, (L, width,
        width); and ``E[1 / s^2]`` of the scales, (F*, D + 1).
        """
        loc, raw_blocks, _, scale_loc, scale_log_sd = self.parameters()
        sd = torch.cat([self.noise_unit, self.sd.new_ones(1)])[self.blocks]
        transform = sd.unsqueeze(2) * _lower(raw_blocks) / sd.unsqueeze(1)
        precision = torch.exp(-2 * scale_loc + 2 * scale_log_sd.exp() ** 2)
        mean = torch.empty_like(loc).index_copy_(0, self.parts, self.mean + self.sd * loc)
        return mean.cpu().numpy(), transform.cpu().numpy(), precision.cpu().numpy()


def _delta(name: str, value: Tensor, log_density: Tensor | float = 0.0) -> None:
    pyro.sample(name, Delta(value, log_density=log_density, event_dim=value.dim()))


def _lower(raw: Tensor) -> Tensor:
    """Return the lower-triangular matrix with the exponential of the raw diagonal on its diagonal."""
    return raw.tril(-1) + torch.diag_embed(raw.diagonal(dim1=-2, dim2=-1).exp())


class _NoisePool:
    """Noise with the starting covariance, solved for many draws at once, each followed by its mirror image.

    One triangular solve with many right-hand sides costs hardly more than one with one; the mirror image
    cancels the odd part of the noise in the gradient of the means.
    """

    def __init__(self, noise: Noise, size: int, generator: torch.Generator) -> None:
        self.noise, self.size, self.generator = noise, size, generator
        self.log_norm = noise.log_volume - 0.5 * size * float(np.log(2 * np.pi))
        self.waiting: list[tuple[Tensor, Tensor]] = []

    def fresh(self, n_draws: int) -> tuple[Tensor, Tensor]:
        """Return noise, (S, size), with its log density, (S,)."""
        kind: dict[str, Any] = {"dtype": torch.float64, "device": self.noise.device}
        normal = torch.randn(self.size, n_draws, generator=self.generator, **kind)
        return self.noise.colour(normal).T, self.log_norm - 0.5 * (normal**2).sum(dim=0)

    def state(self) -> dict[str, Tensor]:
        """Return the generator's state and the draws not yet used, for a checkpoint."""
        return {
            "generator": self.generator.get_state(),
            "noise": torch.stack([noise for noise, _ in self.waiting]) if self.waiting else torch.empty(0),
            "log_density": torch.stack([density for _, density in self.waiting])
            if self.waiting
            else torch.empty(0),
        }

    def restore(self, state: dict[str, Tensor]) -> None:
        """Restore the state of a checkpoint."""
        self.generator.set_state(state["generator"])
        device = self.noise.device
        self.waiting = list(zip(state["noise"].to(device), state["log_density"].to(device), strict=True))

    def next(self) -> tuple[Tensor, Tensor]:
        """Return one draw, (size,), and its log density."""
        if not self.waiting:
            noise, log_density = self.fresh(POOL)
            for one, density in zip(noise, log_density, strict=True):
                self.waiting += [(-one, density), (one, density)]
            self.waiting.reverse()
        return self.waiting.pop()
