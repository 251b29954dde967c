"""The mode found again under other weights of the cells, many at once, from the mode and curvature at hand.

Refits differ from the full fit in the cells' weights alone: the design, the scales and the likelihood weight
stay. Each climbs by conjugate gradients preconditioned with the full fit's Hessian (Polak and Ribiere, the
step along each direction by Newton's rule), so no matrix is factorised again: a step costs one gradient and
one solve with the factor at hand, and refits take them together, which turns both into dense products.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fatebias.checks.centre import Centre
from fatebias.model.softmax import probabilities

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

# Squared distance to the mode, in SDs of the full fit, over that at the start. The error left in a refit is
# a thousandth of how far it moved.
TOLERANCE = 1e-6
MOST_STEPS = 60
# A step along a direction is too long where the slope at its end points back this steeply.
OVERSHOT = 0.9
# Arrays of one batch stay within a processor's cache.
BATCH_BYTES = 24e6
LARGEST_BATCH = 32


@dataclass(frozen=True)
class Refits:
    """Modes under B sets of weights."""

    values: Array  # (B, *index.shape) the coefficients asked for
    steps: NDArray[np.int64]  # (B,)
    converged: Flags  # (B,) whether each came within `TOLERANCE`


def refit(
    full: Centre, weights: Callable[[int], Array], n: int, index: NDArray[np.integer], workers: int = 1
) -> Refits:
    """Return the modes under n sets of weights, in their order.

    ``weights(b)`` returns the weights of the cells in refit b, (N,), which multiply their own, and must
    return the same for the same b. `index` has the flat places of the coefficients to keep. `workers` is
    the number of threads: scipy, numpy and torch release the interpreter while they work.
    """
    entries = 8 * full.design.rows.n_rows * full.design.rows.n_effects
    size = int(np.clip(BATCH_BYTES // entries, 1, LARGEST_BATCH))
    size = max(1, min(size, -(-n // workers)))
    batches = [range(start, min(start + size, n)) for start in range(0, n, size)]

    def climb(batch: range) -> tuple[Array, NDArray[np.int64], Flags]:
        labels = np.stack([_labels(full, weights(b)) for b in batch], axis=-1)
        flat, steps, converged = _climb(full, labels)
        return flat.T[:, index], steps, converged

    full.design.products.prepare()  # here once, not by every thread
    with ThreadPoolExecutor(workers) as pool:
        found = list(pool.map(climb, batches))
    return Refits(*(np.concatenate(parts) for parts in zip(*found, strict=True)))


def _labels(full: Centre, weight: Array) -> Array:
    """Return the sums of the cells' weighted labels by row, (M, F)."""
    n_rows = full.design.rows.n_rows
    return np.stack(
        [np.bincount(full.row_of_cell, column * weight, minlength=n_rows) for column in full.p.T], axis=1
    )


@dataclass
class _State:
    """Refits on their way, b of them."""

    labels: Array  # (M, F*, b)
    count: Array  # (M, b)
    logits: Array  # (M, F*, b)
    flat: Array  # (size, b) coefficients
    slope: Array  # (size, b)
    step: Array  # (size, b) the slope times the inverse Hessian of the full fit
    direction: Array  # (size, b)

    def keep(self, chosen: Flags) -> _State:
        return _State(
            *(np.ascontiguousarray(getattr(self, f.name)[..., chosen]) for f in dataclasses.fields(self))
        )


def _climb(full: Centre, p: Array) -> tuple[Array, NDArray[np.int64], Flags]:
    """Return the modes (size, b) for labels (M, F, b), the steps taken and whether each converged, (b,)."""
    b = p.shape[-1]
    result = np.repeat(full.mean[:, None], b, axis=1)
    steps, converged = np.zeros(b, dtype=np.int64), np.zeros(b, dtype=bool)
    at = _start(full, p)
    left = np.arange(b)
    square = _dot(at.slope, at.step)
    goal = np.maximum(TOLERANCE * square, 1e-16)  # equal weights start at the mode, where the square is 0
    for _ in range(MOST_STEPS):
        rise = _dot(at.slope, at.direction)
        # Directions lose their conjugacy where the curvature changes: start again from the steepest.
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
    """Move along each direction by Newton's rule, half as far where that leads over the top."""
    along = full.design.products.logits(at.direction, full.design.rows.n_effects)
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


def _slope(full: Centre, at: _State, logits: Array, flat: Array) -> Array:
    """Return the derivative of the penalised log-likelihood, (size, b)."""
    surplus = at.labels - at.count[:, None] * probabilities(logits)
    return full.weight * full.design.products.slopes(surplus) - full.precision @ flat


def _dot(one: Array, other: Array) -> Array:
    return np.asarray(np.einsum("pb,pb->b", one, other))
