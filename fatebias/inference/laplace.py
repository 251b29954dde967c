"""Empirical-Bayes Laplace: the posterior as one normal over all effects, with the scales estimated.

Given the scales the model is a ridge-penalised multinomial regression (`model.design_matrix`), whose mode
is found by Newton's method with the exact Hessian. The scales are updated as in variational Bayes: with
S the posterior expectation of the sum of squares behind a scale and n their number, q(s) is proportional
to ``s^-n exp(-S / 2 s^2) HalfNormal(s)``, and the normal prior gets the mode of ``1 / s^2`` in log s,
which for these sizes is its expectation. The rounds are sped up by Anderson mixing (Walker and Ni 2011,
doi 10.1137/10078356X).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from fatebias.config import PriorsConfig
from fatebias.inference.curvature import Curvature, Curve, curvature_of
from fatebias.inference.dense import ran_away
from fatebias.inference.scales import EVIDENCE_TOLERANCE, ScaleSearch, log_hyperprior, scale_update
from fatebias.model.design_matrix import DesignMatrix, scale_prior_widths, shared_scales
from fatebias.model.regression import SoftRegression

log = logging.getLogger(__name__)

Array = NDArray[np.float64]

NEWTON_TOLERANCE = 1e-3  # squared distance to the mode in posterior SDs
SHORTEST_STEP = 1e-8
NEGLIGIBLE_GAIN = 1e-6  # below what rounding leaves of a difference of two log-likelihoods


@dataclass(frozen=True)
class InitialValues:
    """Where a fit begins."""

    scale_precision: Array  # (F*, D + 1) 1 / s^2 of tau, each sigma_time, sigma_guide
    held: NDArray[np.bool_] | None = None  # (F*, D + 1) scales that are not estimated; None estimates all
    mean: Array | None = None  # (size,) effects in flat order; None begins at zero


@dataclass(frozen=True)
class LaplaceFit:
    """The normal approximation at the mode."""

    mean: Array  # (size,) mode of all effects in flat order
    curvature: Curvature  # the precision there
    unit: Array  # (size,) rough posterior SD of each effect
    scale_precision: Array  # (F*, D + 1) 1 / s^2 of tau, each sigma_time, sigma_guide
    log_evidence: tuple[float, ...]  # Laplace's log marginal likelihood after each round
    decrement: float  # Newton decrement: squared length of the gradient at the mode in posterior SDs
    scale_change: float  # largest relative change of a scale that one more round would make
    converged: bool  # both are below their tolerances
    seconds: float

    @property
    def device(self) -> torch.device:
        """Where the curvature is."""
        return self.curvature.device

    @property
    def factor(self) -> torch.Tensor:
        """Lower Cholesky factor of the precision, (size, size); of many effects made when first asked for."""
        return self.curvature.factor


def fit_laplace(
    design: DesignMatrix,
    priors: PriorsConfig,
    *,
    likelihood_weight: float = 1.0,
    max_rounds: int = 30,
    device: torch.device | str = "cpu",
    on_round: Callable[[int, float], None] | None = None,
    start: InitialValues | None = None,
) -> LaplaceFit:
    """Return the mode, the curvature there and the scales, converged or not.

    The dense factorisation runs on ``device``, the sparse products on the CPU. ``on_round`` is called with
    the round and the log marginal likelihood. Raises FitError when the precision is not positive definite or
    the mode diverges.
    """
    with np.errstate(all="ignore"):  # values that are not finite end in a FitError below
        return _fit(design, priors, likelihood_weight, max_rounds, device, on_round, start)


def _fit(
    design: DesignMatrix,
    priors: PriorsConfig,
    likelihood_weight: float,
    max_rounds: int,
    device: torch.device | str,
    on_round: Callable[[int, float], None] | None,
    start: InitialValues | None,
) -> LaplaceFit:
    begun = time.perf_counter()
    likelihood = design.regression(likelihood_weight)
    counts = design.scale_counts()
    widths = scale_prior_widths(priors, design.rows.n_days)
    search = ScaleSearch(design.rows.n_effects, len(counts))
    flat = _first_guess(design)
    if start is not None:
        search.begin_at(np.log(start.scale_precision), start.held)
        flat = flat if start.mean is None else start.mean
    curve = curvature_of(design, device, draws=not search.held.all())
    evidence: list[float] = []
    for number in range(max_rounds):
        penalty = _Penalty(design, priors, np.exp(search.point))
        mode = _newton(likelihood, penalty, flat, curve)
        flat = mode.mean
        evidence.append(mode.log_evidence + log_hyperprior(search.point, widths))
        if on_round is not None:
            on_round(number, evidence[-1])
        if search.held.all():
            settled = mode.gain < EVIDENCE_TOLERANCE
        else:
            squares = design.scale_squares(flat[None]) + mode.curvature.scale_squares()
            search.seen(evidence[-1], -np.log(scale_update(squares, counts, widths)))
            settled = search.settled
        log.debug("round %d: log evidence %.3f, scales move by %.3g", number, evidence[-1], search.change)
        converged = settled and mode.decrement < NEWTON_TOLERANCE
        if converged or number + 1 == max_rounds:
            break
        search.move()
    return LaplaceFit(
        mean=flat,
        curvature=mode.curvature,
        unit=mode.curvature.sd(),
        scale_precision=np.exp(search.point),
        log_evidence=tuple(evidence),
        decrement=mode.decrement,
        scale_change=search.change,
        converged=converged,
        seconds=time.perf_counter() - begun,
    )


def _first_guess(design: DesignMatrix) -> Array:
    """Return effects of zero, but for day intercepts at the logits of each day's mean probabilities."""
    rows = design.rows
    flat = np.zeros(design.size)
    by_day = np.stack([np.bincount(rows.day, rows.p[:, f], rows.n_days) for f in range(rows.p.shape[1])])
    share = (by_day + 0.5) / (by_day + 0.5).sum(axis=0)
    flat[design.shared_index[: rows.n_days]] = np.log(share[1:] / share[0]).T
    return flat


class _Penalty:
    """The normal prior given the scales."""

    def __init__(self, design: DesignMatrix, priors: PriorsConfig, scale_precision: Array) -> None:
        self.precision = design.prior_precision(priors, scale_precision)
        rows = design.rows
        fixed = float(np.log(shared_scales(rows, priors)).sum())
        # the walk's matrix has determinant 1
        learned = 0.5 * float((design.scale_counts() * np.log(scale_precision)).sum())
        self.half_logdet = learned - rows.n_effects * fixed

    def value(self, flat: Array) -> float:
        return -0.5 * float(flat @ (self.precision @ flat))


@dataclass(frozen=True)
class _Mode:
    mean: Array
    curvature: Curvature
    slope: Array  # of the log posterior
    log_evidence: float
    gain: float  # rise of the log posterior that the last step promised

    @cached_property
    def decrement(self) -> float:
        """Squared length of the slope in posterior SDs."""
        return float(self.slope @ self.curvature.solve(self.slope))


def _newton(
    likelihood: SoftRegression, penalty: _Penalty, flat: Array, curve: Curve, most: int = 50
) -> _Mode:
    """Climb to the mode; the curvature returned belongs to the Hessian where the last step began."""
    logits = likelihood.logits(flat)
    height = likelihood.value(logits) + penalty.value(flat)
    for _ in range(most):
        pi = likelihood.probabilities(logits)
        slope = likelihood.gradient(pi) - penalty.precision @ flat
        curvature = curve(likelihood, pi, penalty.precision)
        move = curvature.solve(slope)
        gain = float(slope @ move)
        along = likelihood.logits(move)
        length = 1.0
        while True:
            candidate = flat + length * move
            new = likelihood.value(logits + length * along) + penalty.value(candidate)
            enough = new >= height + 1e-4 * length * gain or gain < NEGLIGIBLE_GAIN
            if enough or length < SHORTEST_STEP:
                break
            length /= 2
        if not np.isfinite(new):
            raise ran_away(f"objective {new}")
        flat, logits, height = candidate, logits + length * along, new
        # A full Newton step ends the climb, converged or not: the scales are about to move anyway, and once
        # they have settled what one such step misses of the mode is negligible (`decrement` measures it). So
        # a round costs one factorisation.
        if length == 1.0:
            break
    slope = likelihood.gradient(likelihood.probabilities(logits)) - penalty.precision @ flat
    log_volume = penalty.half_logdet - curvature.log_volume
    return _Mode(flat, curvature, slope, height + log_volume, gain / 2)
