"""What either engine returns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fatebias.mash.joint import Exact, Prior

Array = NDArray[np.float64]


@dataclass(frozen=True)
class EngineResult:
    """Posterior of every effect and the fit it came from, L genes and D days."""

    postmean: Array  # (L, D)
    postsd: Array  # (L, D)
    lfsr: Array  # (L, D) local false sign rate as the engine gives it; R's may be rounded to exactly 0
    qvalue: Array | None  # (L, D) tail false discovery rate; ashr only
    loglik: float  # under the fitted mixture; ashr: summed over days
    v: Array | None  # (D, D) error correlation, or (L, D, D) where each gene has its own; None for ashr
    pi: dict[str, float]  # mixture weights above zero by component
    priors: tuple[Prior, ...]  # the fitted mixture: one over all days (mashr), or one a day (ashr)
    versions: dict[str, str]  # of the software that computed this
    notes: tuple[str, ...]  # what the user should know
    exact: Exact | None = None  # what the posterior is computed from where v and priors do not say all
