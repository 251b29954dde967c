"""The mode found again under other weights of the cells, many at once, from the mode and curvature at hand.

Refits differ from the full fit in the cells' weights alone: the design, the scales and the likelihood weight
stay. Each climbs by conjugate gradients preconditioned with the full fit's Hessian (Polak and Ribiere, the
step along each direction by Newton's rule), so that no matrix is factorised again: a step costs one gradient
and one solve with the factor at hand, and refits take them together, which turns both into dense products.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fatebias.config import Config
from fatebias.data.screen import Screen
from fatebias.inference.laplace import InitialValues, fit_laplace
from fatebias.model.design_matrix import DesignMatrix, design_of
from fatebias.model.softmax import probabilities

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

# Squared distance to the mode, in SDs of the full fit, over that at the start. The error left in a refit is
# a thousandth of how far it moved.
TOLERANCE = 1e-6
MOST_STEPS = 60
# A step along a direction is too long where the slope at its end points back this steeply.
OVERSHOT = 0.9
BATCH_BYTES = 24e6
LARGEST_BATCH = 32


@dataclass(frozen=True)
class Centre:
    """The full fit that refits start from.

    Attributes
    ----------
    coefficients
        The design of collapsed rows.
    row_of_cell
        Row of each cell, shape (N,).
    p
        Fate probabilities times the cells' own weights, shape (N, F).
    precision
        Of the normal prior given the scales, sparse, shape (size, size).
    weight
        Likelihood weight.
    mean
        The mode, shape (size,).
    factor
        Lower Cholesky factor of the precision there, shape (size, size).
    """

    design: DesignMatrix
    row_of_cell: NDArray[np.int64]
    p: Array
    precision: Any
    weight: float
    mean: Array
    factor: torch.Tensor

    @cached_property
    def transposed(self) -> Any:
        """Z transposed, CSR, shape (P, M)."""
        return self.design.transposed

    def solve(self, right: Array) -> Array:
        """Multiply with the inverse of the full fit's Hessian, shape (size, n)."""
        return torch.cholesky_solve(torch.from_numpy(np.ascontiguousarray(right)), self.factor).numpy()

    def covariances(self, index: NDArray[np.integer]) -> tuple[Array, Array]:
        """Give what the model says of blocks of coefficients, and the prior's part of it.

        Parameters
        ----------
        index
            Flat places, shape (L, D).

        Returns
        -------
        whole : ndarray
            Blocks of ``H^-1``, shape (L, D, D).
        prior : ndarray
            Blocks of ``H^-1 Q H^-1``, shape (L, D, D): the part of the spread that is not the labels'.
        """
        places = index.ravel()
        unit = np.zeros((len(self.mean), len(places)))
        unit[places, np.arange(len(places))] = 1
        columns = self.solve(unit)
        by_gene = columns.T.reshape(*index.shape, -1)
        held = (self.precision @ columns).T.reshape(*index.shape, -1)
        whole = np.take_along_axis(by_gene, np.repeat(index[:, None, :], index.shape[1], axis=1), axis=2)
        return whole, np.einsum("lap,lbp->lab", held, by_gene)


@dataclass(frozen=True)
class Refits:
    """Modes under other weights.

    Attributes
    ----------
    values
        The coefficients asked for, shape (B, *index.shape).
    steps
        Steps each took, shape (B,).
    converged
        Whether each got within `TOLERANCE`, shape (B,).
    """

    values: Array
    steps: NDArray[np.int64]
    converged: Flags


def centre(screen: Screen, cfg: Config, scale_precision: Array, mean: Array | None = None) -> Centre:
    """Find the mode of the whole screen under given scales.

    Parameters
    ----------
    screen
        The screen.
    cfg
        Priors, guide effects and the likelihood weight as a number.
    scale_precision
        ``1 / s^2``, shape (F*, D + 1).
    mean
        Where to begin, shape (size,); None begins at zero.

    Returns
    -------
    Centre
        With the curvature at the mode.

    Raises
    ------
    FitError
        When there is no mode.
    """
    design = design_of(screen, cfg.model)
    start = InitialValues(scale_precision, np.ones_like(scale_precision, dtype=bool), mean)
    fit = fit_laplace(design, cfg.priors, likelihood_weight=cfg.likelihood_weight, max_rounds=8, start=start)
    return Centre(
        design=design,
        row_of_cell=design.rows.row_of_cell,
        p=screen.p * screen.weight[:, None],
        precision=design.prior_precision(cfg.priors, scale_precision),
        weight=float(cfg.likelihood_weight),
        mean=fit.mean,
        factor=fit.factor.cpu(),
    )


def refit(
    full: Centre, weights: Callable[[int], Array], n: int, index: NDArray[np.integer], workers: int = 1
) -> Refits:
    """Find the modes under `n` sets of weights.

    Parameters
    ----------
    full
        Where they start.
    weights
        Gives the weights of the cells in refit number b, shape (N,), times which each cell's own weight
        counts; must give the same for the same b.
    n
        B.
    index
        Flat places of the coefficients to keep.
    workers
        Threads; scipy, numpy and torch all let go of the interpreter while they work.

    Returns
    -------
    Refits
        In the order of b.
    """
    entries = 8 * full.design.rows.n_rows * full.design.rows.n_effects
    size = int(np.clip(BATCH_BYTES // entries, 1, LARGEST_BATCH))
    size = max(1, min(size, -(-n // workers)))
    batches = [range(start, min(start + size, n)) for start in range(0, n, size)]

    def climb(batch: range) -> tuple[Array, NDArray[np.int64], Flags]:
        labels = np.stack([_labels(full, weights(b)) for b in batch], axis=-1)
        flat, steps, converged = _climb(full, labels)
        return flat.T[:, index], steps, converged

    _ = full.transposed  # made once, before threads ask for it
    with ThreadPoolExecutor(workers) as pool:
        found = list(pool.map(climb, batches))
    return Refits(*(np.concatenate(parts) for parts in zip(*found, strict=True)))


def _labels(full: Centre, weight: Array) -> Array:
    """Sum the cells' weighted labels by row, shape (M, F)."""
    n_rows = full.design.rows.n_rows
    return np.stack(
        [np.bincount(full.row_of_cell, column * weight, minlength=n_rows) for column in full.p.T], axis=1
    )


@dataclass
class _State:
    """Refits on their way; the last axis of each array counts them.

    Labels and logits (M, F*, b), counts (M, b), coefficients, slopes and directions (size, b).
    """

    labels: Array
    count: Array
    logits: Array
    flat: Array
    slope: Array
    step: Array
    direction: Array

    def keep(self, chosen: Flags) -> _State:
        return _State(
            *(np.ascontiguousarray(getattr(self, f.name)[..., chosen]) for f in dataclasses.fields(self))
        )


def _climb(full: Centre, p: Array) -> tuple[Array, NDArray[np.int64], Flags]:
    """Climb to the modes for labels of shape (M, F, b); coefficients (size, b), steps and success (b,)."""
    b = p.shape[-1]
    result = np.repeat(full.mean[:, None], b, axis=1)
    steps, converged = np.zeros(b, dtype=np.int64), np.zeros(b, dtype=bool)
    at = _start(full, p)
    left = np.arange(b)
    square = _dot(at.slope, at.step)
    goal = np.maximum(TOLERANCE * square, 1e-16)
    for _ in range(MOST_STEPS):
        rise = _dot(at.slope, at.direction)
        uphill = rise > 0.1 * square
        at.direction = np.where(uphill, at.direction, at.step)
        rise = np.where(uphill, rise, square)
        before = at.slope
        _advance(full, at, rise)
        steps[left] += 1
        at.step = full.solve(at.slope)
        new = _dot(at.slope, at.step)
        turn = np.maximum(new - _dot(before, at.step), 0) / square
        at.direction = at.step + turn * at.direction
        square = new
        result[:, left] = at.flat
        done = square <= goal
        converged[left[done]] = True
        if done.all():
            break
        if done.any():
            at, left, square, goal = at.keep(~done), left[~done], square[~done], goal[~done]
    return result, steps, converged


def _start(full: Centre, p: Array) -> _State:
    count = p.sum(axis=1)
    b = p.shape[-1]
    flat = np.repeat(full.mean[:, None], b, axis=1)
    one = full.design.logits(full.mean)
    at = _State(
        labels=np.ascontiguousarray(p[:, 1:]),
        count=count,
        logits=np.repeat(one[:, :, None], b, axis=2),
        flat=flat,
        slope=flat,
        step=flat,
        direction=flat,
    )
    at.slope = _slope(full, at, at.logits, at.flat)
    at.step = full.solve(at.slope)
    at.direction = at.step
    return at


def _advance(full: Centre, at: _State, rise: Array) -> None:
    """Go along each direction by Newton's rule, half as far where that leads over the top."""
    along = _logits(full, at.direction)
    pi = probabilities(at.logits)
    mean = (pi * along).sum(axis=1)
    bend = full.weight * (at.count * ((pi * along**2).sum(axis=1) - mean**2)).sum(axis=0)
    bend += _dot(at.direction, full.precision @ at.direction)
    length = rise / bend
    while True:
        flat, logits = at.flat + length * at.direction, at.logits + length * along
        slope = _slope(full, at, logits, flat)
        end = _dot(slope, at.direction)
        over = ~(np.abs(end) <= OVERSHOT * rise) & (length > 1e-6)
        if not over.any():
            break
        length = np.where(over, length / 2, length)
    at.flat, at.logits, at.slope = flat, logits, slope


def _logits(full: Centre, flat: Array) -> Array:
    """Give Z c for b refits, shape (M, F*, b)."""
    n_fates, b = full.design.rows.n_effects, flat.shape[1]
    stacked = flat.reshape(n_fates, -1, b).transpose(1, 0, 2).reshape(-1, n_fates * b)
    return np.asarray(full.design.matrix @ stacked).reshape(-1, n_fates, b)


def _slope(full: Centre, at: _State, logits: Array, flat: Array) -> Array:
    """Give the derivative of the penalised log-likelihood, shape (size, b)."""
    surplus = at.labels - at.count[:, None] * probabilities(logits)
    n_fates, b = surplus.shape[1:]
    pulled = full.weight * np.asarray(full.transposed @ surplus.reshape(-1, n_fates * b))
    return pulled.reshape(-1, n_fates, b).transpose(1, 0, 2).reshape(-1, b) - full.precision @ flat


def _dot(one: Array, other: Array) -> Array:
    return np.asarray(np.einsum("pb,pb->b", one, other))
