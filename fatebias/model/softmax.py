"""Softmax of logits against a reference fate whose own logit is zero."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def exponentials(logits: Array, axis: int = 1) -> tuple[Array, Array, Array]:
    """Return ``exp(logits - top)``, ``exp(-top)`` for the reference, and top, the largest logit or zero."""
    top = np.maximum(logits.max(axis=axis), 0)
    return np.exp(logits - np.expand_dims(top, axis)), np.exp(-top), top


def log_total(logits: Array, axis: int = 1) -> Array:
    """Return ``log(1 + sum_f exp(logits_f))``, the fates along an axis of the logits."""
    raised, reference, top = exponentials(logits, axis)
    return np.asarray(top + np.log(reference + raised.sum(axis=axis)))


def probabilities(logits: Array, axis: int = 1) -> Array:
    """Return the probabilities of the non-reference fates, in the shape of the logits."""
    raised, reference, _ = exponentials(logits, axis)
    raised /= np.expand_dims(reference + raised.sum(axis=axis), axis)
    return raised
