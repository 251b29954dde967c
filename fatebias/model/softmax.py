"""Softmax of logits against a reference fate whose own logit is zero.

Fate by fate: numpy reduces an axis of two or three entries ten times more slowly. Exponentials and logarithms
are torch's, which take several at once on every processor; imported where they are used, since reports and
discovery need no torch.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def exponentials(logits: Array, axis: int = 1) -> tuple[Array, Array, Array]:
    """Return ``exp(logits - top)``, ``exp(-top)`` for the reference, and top, the largest logit or zero."""
    by_fate = np.moveaxis(logits, axis, 0)
    top = np.maximum(by_fate[0], 0)
    for each in by_fate[1:]:
        np.maximum(top, each, out=top)
    raised = np.empty(logits.shape)
    for each, out in zip(by_fate, np.moveaxis(raised, axis, 0), strict=True):
        np.subtract(each, top, out=out)
    return _exp(raised), _exp(-top), top


def log_total(logits: Array, axis: int = 1) -> Array:
    """Return ``log(1 + sum_f exp(logits_f))``, the fates along an axis of the logits."""
    raised, reference, top = exponentials(logits, axis)
    import torch

    total = _total(raised, reference, axis)
    torch.from_numpy(total).log_()
    total += top
    return total


def probabilities(logits: Array, axis: int = 1) -> Array:
    """Return the probabilities of the non-reference fates, in the shape of the logits."""
    raised, reference, _ = exponentials(logits, axis)
    total = _total(raised, reference, axis)
    for each in np.moveaxis(raised, axis, 0):
        each /= total
    return raised


def _exp(values: Array) -> Array:
    """Raise e to values, in place."""
    import torch

    torch.from_numpy(values).exp_()
    return values


def _total(raised: Array, reference: Array, axis: int) -> Array:
    """Return the sum over all fates."""
    total = reference.copy()
    for each in np.moveaxis(raised, axis, 0):
        total += each
    return total
