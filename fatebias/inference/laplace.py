"""Empirical-Bayes Laplace: the posterior as one normal over all effects, with the scales estimated.

Given the scales the model is a ridge-penalised multinomial regression (`model.coefficients`), whose mode
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
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fatebias.config import PriorsConfig
from fatebias.errors import FitError
from fatebias.inference.scales import ScaleSearch, log_hyperprior, scale_update
from fatebias.model.design_matrix import DesignMatrix, scale_prior_widths
from fatebias.model.regression import SoftRegression

log = logging.getLogger(__name__)

Array = NDArray[np.float64]

NEWTON_TOLERANCE = 1e-3
SHORTEST_STEP = 1e-8
NEGLIGIBLE_GAIN = 1e-6  # below what rounding leaves of a difference of two log-likelihoods
LEAST_DRAWS = 64
ANNOUNCED_GB = 4.0
DRAWS_BEHIND_A_SCALE = 50_000


@dataclass(frozen=True)
class InitialValues:
    """Where a fit begins.

    Attributes
    ----------
    scale_precision
        ``1 / s^2`` of tau, each sigma_time, sigma_guide, shape (F*, D + 1).
    held
        True for the scales that stay there, shape (F*, D + 1); None holds none.
    mean
        Effects in flat order, shape (size,); None begins at zero.
    """

    scale_precision: Array
    held: NDArray[np.bool_] | None = None
    mean: Array | None = None


@dataclass(frozen=True)
class LaplaceFit:
    """The normal approximation at the mode.

    Attributes
    ----------
    mean
        Mode of all effects in flat order, shape (size,).
    factor
        Lower Cholesky factor of the precision, shape (size, size).
    unit
        Rough posterior SD of each effect, shape (size,), to measure steps in.
    scale_precision
        ``1 / s^2`` of tau, each sigma_time, sigma_guide, shape (F*, D + 1).
    log_evidence
        Laplace's log marginal likelihood, one entry a round.
    decrement
        Newton decrement at the mode: squared length of the gradient in posterior SDs.
    scale_change
        Largest relative change of a scale that one more round would make.
    converged
        Whether both are below their tolerances.
    seconds
        Wall time.
    """

    mean: Array
    factor: torch.Tensor
    unit: Array
    scale_precision: Array
    log_evidence: tuple[float, ...]
    decrement: float
    scale_change: float
    converged: bool
    seconds: float


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
    """Find the mode, the curvature there and the scales.

    Parameters
    ----------
    coefficients
        The design.
    priors
        Scales of the priors.
    likelihood_weight
        How much a soft label counts.
    max_rounds
        Most updates of the scales.
    device
        Where the dense factorisation runs; the sparse products stay on the CPU.
    on_round
        Called with the round and the log marginal likelihood.
    start
        Where to begin, and which scales to hold as they are; None begins from nothing and holds none.

    Returns
    -------
    LaplaceFit
        The solution, converged or not: see its `converged`.

    Raises
    ------
    FitError
        When the precision is not positive definite or the mode runs away.
    """
    with np.errstate(all="ignore"):  # what is not finite ends in an error of ours
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
    needed_gb = 3 * 8 * design.size**2 / 1e9
    if needed_gb > ANNOUNCED_GB:
        log.warning(
            "the Laplace solution keeps matrices of %d x %d, %.0f GB; inference.warm_start=none does not",
            design.size,
            design.size,
            needed_gb,
        )
    likelihood = design.regression(likelihood_weight)
    counts = design.scale_counts()
    widths = scale_prior_widths(priors, design.rows.n_days)
    noise = _white_noise(design, device)
    search = ScaleSearch(design.rows.n_effects, len(counts))
    flat = _start(design)
    if start is not None:
        search.begin_at(np.log(start.scale_precision), start.held)
        flat = flat if start.mean is None else start.mean
    evidence: list[float] = []
    for number in range(max_rounds):
        penalty = _Penalty(design, priors, np.exp(search.point))
        mode = _newton(likelihood, penalty, flat, device)
        flat = mode.mean
        evidence.append(mode.log_evidence + log_hyperprior(search.point, widths))
        if on_round is not None:
            on_round(number, evidence[-1])
        spread = torch.linalg.solve_triangular(mode.factor.T, noise, upper=True).T.cpu().numpy()
        squares = design.scale_squares(flat, spread)
        search.seen(evidence[-1], -np.log(scale_update(squares, counts, widths)))
        log.debug("round %d: log evidence %.3f, scales move by %.3g", number, evidence[-1], search.change)
        converged = search.settled and mode.decrement < NEWTON_TOLERANCE
        if converged or number + 1 == max_rounds:
            break
        search.move()
    return LaplaceFit(
        mean=flat,
        factor=mode.factor,
        unit=np.sqrt((spread**2).mean(axis=0)),
        scale_precision=np.exp(search.point),
        log_evidence=tuple(evidence),
        decrement=mode.decrement,
        scale_change=search.change,
        converged=converged,
        seconds=time.perf_counter() - begun,
    )


def _white_noise(design: DesignMatrix, device: torch.device | str) -> torch.Tensor:
    """Draw standard normals, shape (size, draws), the same in every round so that the rounds converge.

    Posterior variances enter the scales as sums over all genes; with 50,000 draws behind a sum it is
    known to less than a percent, at a small part of the cost of the whole covariance.
    """
    draws = max(LEAST_DRAWS, -(-DRAWS_BEHIND_A_SCALE // design.rows.n_genes))
    generator = torch.Generator().manual_seed(0)
    return torch.randn(design.size, draws, generator=generator, dtype=torch.float64).to(device)


def _start(design: DesignMatrix) -> Array:
    """Effects of zero, but for the day intercepts, which give each day its mean probabilities."""
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
        fixed = (
            rows.n_days * np.log(priors.s_alpha) + rows.n_reps * np.log(priors.s_rep) + np.log(priors.s_gamma)
        )
        # the walk's matrix has determinant 1
        learned = 0.5 * float((design.scale_counts() * np.log(scale_precision)).sum())
        self.half_logdet = learned - rows.n_effects * fixed

    def value(self, flat: Array) -> float:
        return -0.5 * float(flat @ (self.precision @ flat))


@dataclass(frozen=True)
class _Mode:
    mean: Array
    factor: torch.Tensor
    decrement: float
    log_evidence: float


def _newton(likelihood: SoftRegression, penalty: _Penalty, flat: Array, device: Any, most: int = 50) -> _Mode:
    """Climb to the mode; the factor returned belongs to the Hessian where the last step began.

    The first step that can be taken whole is the last: the scales move on anyway, and by the time they
    have settled the steps are so small that what one of them misses of the mode is nothing. So a round
    costs one factorisation; `LaplaceFit.decrement` tells what is left in the end.
    """
    logits = likelihood.logits(flat)
    height = likelihood.value(logits) + penalty.value(flat)
    for _ in range(most):
        pi = likelihood.probabilities(logits)
        slope = likelihood.gradient(pi) - penalty.precision @ flat
        factor = _cholesky(likelihood.information(pi), penalty.precision, device)
        move = _solve(factor, slope)
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
            raise _ran_away(f"objective {new}")
        flat, logits, height = candidate, logits + length * along, new
        if length == 1.0:
            break
    slope = likelihood.gradient(likelihood.probabilities(logits)) - penalty.precision @ flat
    log_volume = penalty.half_logdet - float(factor.diagonal().log().sum())
    return _Mode(flat, factor, float(slope @ _solve(factor, slope)), height + log_volume)


def _solve(factor: torch.Tensor, vector: Array) -> Array:
    right = torch.from_numpy(vector).to(factor).unsqueeze(1)
    return torch.cholesky_solve(right, factor).squeeze(1).cpu().numpy()


def _cholesky(information: Array, precision: Any, device: Any) -> torch.Tensor:
    entries = precision.tocoo()
    information[entries.row, entries.col] += entries.data
    factor, failed = torch.linalg.cholesky_ex(torch.from_numpy(information).to(device))
    if int(failed):
        raise _ran_away("a precision matrix that is not positive definite")
    return factor


def _ran_away(found: str) -> FitError:
    return FitError(
        "the Laplace solution could not be found",
        where="inference.warm_start=laplace",
        found=found,
        fix="try priors=tight, a smaller likelihood_weight, or inference.warm_start=none",
    )
