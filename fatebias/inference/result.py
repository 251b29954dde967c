"""What every way of inference returns, so that nothing downstream knows which one ran."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Draws:
    """Joint posterior draws of all effects.

    Attributes
    ----------
    theta
        Gene effects, shape (S, L, F*, D).
    delta
        Deviations of guides, shape (S, G, F*).
    shared
        alpha, b, gamma stacked, shape (S, Q, F*), Q = D + R + 1.
    scales
        tau, each sigma_time, sigma_guide, shape (S, F*, D + 1).
    """

    theta: Array
    delta: Array
    shared: Array
    scales: Array


@dataclass(frozen=True)
class LossTrace:
    """What the optimiser saw, step by step.

    Attributes
    ----------
    step
        Counted from 0.
    loss
        Negative ELBO (SVI), negative log marginal likelihood (Laplace) or potential energy (NUTS).
    timestamp_ms
        Milliseconds since 1970.
    """

    step: NDArray[np.int64]
    loss: Array
    timestamp_ms: NDArray[np.int64]


@dataclass(frozen=True)
class Fit:
    """A fitted posterior.

    Attributes
    ----------
    draw
        Gives S further joint draws; what it gives depends on the seed and on earlier calls only.
    trace
        The loss.
    diagnostics
        Figures by which to judge the fit, plain content that JSON can hold.
    warnings
        What a reader must know before trusting the result; empty when the fit converged.
    seconds
        Wall time by part.
    """

    draw: Callable[[int], Draws]
    trace: LossTrace
    diagnostics: dict[str, Any]
    warnings: tuple[str, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def converged(self) -> bool:
        """Whether nothing speaks against the fit."""
        return not self.warnings
