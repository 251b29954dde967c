"""What every inference method returns, so that nothing downstream knows which one ran."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Draws:
    """Joint posterior draws of all effects."""

    theta: Array  # (S, L, F*, D) gene effects
    delta: Array  # (S, G, F*) deviations of guides
    shared: Array  # (S, Q, F*) alpha, b, gamma stacked, Q = D + R + 1
    scales: Array  # (S, F*, D + 1) tau, each sigma_time, sigma_guide


class StoredDraws:
    """Returns stored draws in order, from the first again after the last."""

    def __init__(self, number: int, at: Callable[[list[int]], Draws]) -> None:
        self._order = itertools.cycle(range(number))
        self._at = at

    def __call__(self, n_draws: int) -> Draws:
        """Return the next S draws."""
        return self._at(list(itertools.islice(self._order, n_draws)))


@dataclass(frozen=True)
class LossTrace:
    """The loss by step."""

    step: NDArray[np.int64]  # counted from 0
    loss: Array  # negative ELBO (SVI), negative log marginal likelihood (Laplace) or potential energy (NUTS)
    timestamp_ms: NDArray[np.int64]  # milliseconds since 1970


@dataclass(frozen=True)
class Fit:
    """A fitted posterior."""

    draw: Callable[[int], Draws]  # returns S further joint draws; depends on the seed and earlier calls only
    trace: LossTrace
    diagnostics: dict[str, Any]  # figures by which to judge the fit, ready for JSON
    warnings: tuple[str, ...] = ()  # what a reader must know before trusting it; empty when it converged
    seconds: dict[str, float] = field(default_factory=dict)  # wall time by part

    @property
    def converged(self) -> bool:
        """Whether the fit has no warnings."""
        return not self.warnings
