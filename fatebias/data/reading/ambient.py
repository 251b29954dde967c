"""Raw UMI counts of guides: what part of them is ambient, and the threshold that leaves it out."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

Array = NDArray[np.float64]

# A matrix looks raw where at least this share of its entries are single UMIs, and this share of cells with
# a clear guide hold ambient ones beside it. Fewer entries than these say nothing.
SINGLE, BESIDE = 0.3, 0.2
FEWEST_ENTRIES = 500
# Counts that do not part into ambient ones and guides are raw all the same where so many are 1 in each cell.
MOSTLY_SINGLE, MANY_HELD = 0.7, 3.0
ROUNDS, TOLERANCE = 2000, 1e-9
NARROWEST = 0.1  # SD of the log counts of guides


@dataclass(frozen=True)
class AmbientCounts:
    """What raw counts say about ambient molecules."""

    threshold: int | None  # a guide is present above it; None where no threshold parts guides from the rest
    single: float  # share of entries that are 1
    held: float  # guides a cell that would count as present without a threshold
    held_above: float  # and above the threshold


def ambient_counts(matrix: csr_matrix) -> AmbientCounts | None:
    """Return what speaks for raw counts in a guide matrix (N, guides), None where it holds called guides."""
    entries = matrix.data[matrix.data > 0]
    if entries.size < FEWEST_ENTRIES or entries.max() <= 1 or (entries != np.floor(entries)).any():
        return None
    single = float((entries == 1).mean())
    if single < SINGLE:
        return None
    held = entries.size / matrix.shape[0]
    threshold = ambient_threshold(entries)
    if threshold is None:
        mostly = single >= MOSTLY_SINGLE and held >= MANY_HELD
        return AmbientCounts(None, single, held, held) if mostly else None
    low = (matrix.data > 0) & (matrix.data <= threshold)
    cell = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    clear = np.bincount(cell[matrix.data > threshold], minlength=matrix.shape[0]) > 0
    beside = np.bincount(cell[low], minlength=matrix.shape[0]) > 0
    if (clear & beside).sum() < BESIDE * clear.sum():
        return None
    return AmbientCounts(threshold, single, held, float((entries > threshold).sum()) / matrix.shape[0])


@dataclass(frozen=True)
class Mixture:
    """Positive counts as a geometric part, ambient molecules, and a log-normal one, guides."""

    share: float  # of entries that are guides
    ratio: float  # of the geometric part
    mean: float  # of the log counts of guides
    sd: float
    threshold: int | None  # the highest count that is more probably ambient; None where the parts do not part

    def log_ambient(self, value: Array) -> Array:
        """Return the log-probability that an entry is ambient and has this count, from 1."""
        return np.log1p(-self.share) + (value - 1) * np.log(self.ratio) + np.log1p(-self.ratio)

    def log_guide(self, value: Array) -> Array:
        """Return the log-probability that an entry is a guide's and has this count, from 1."""
        return np.log(self.share) + _log_normal(value, self.mean, self.sd)


def ambient_threshold(counts: NDArray[np.generic]) -> int | None:
    """Return the highest count that is more probably ambient, None where the two parts do not part."""
    return fit_mixture(counts).threshold


def fit_mixture(counts: NDArray[np.generic]) -> Mixture:
    """Fit the two parts to positive counts, and find the threshold between them.

    Positive counts are a mixture of a geometric part, ambient molecules whose rate varies from cell to cell,
    and a log-normal part, guides, fitted by EM to the histogram. crispat's Poisson-Gaussian mixture (Braunger
    and Velten 2024; Replogle et al. 2022, Cell 185:2559) has a Poisson in place of the geometric part, whose
    tail is too light where cells differ in depth.
    """
    value, number = np.unique(np.asarray(counts, dtype=np.float64), return_counts=True)
    log_value = np.log(value)
    parts = Mixture(0.3, 0.3, float(np.log(30.0)), 1.0, None)
    before = -np.inf
    for _ in range(ROUNDS):
        guide = parts.log_guide(value)
        both = np.logaddexp(parts.log_ambient(value), guide)
        is_guide = np.exp(guide - both)
        weight = number * is_guide
        share = float(np.clip(weight.sum() / number.sum(), 1e-9, 1 - 1e-9))
        mean_ambient = float((number - weight) @ value) / max(float((number - weight).sum()), 1e-9)
        ratio = float(np.clip(1 - 1 / max(mean_ambient, 1.0), 1e-9, 1 - 1e-9))
        mean = float(weight @ log_value / max(weight.sum(), 1e-9))
        sd = max(float(np.sqrt(weight @ (log_value - mean) ** 2 / max(weight.sum(), 1e-9))), NARROWEST)
        parts = Mixture(share, ratio, mean, sd, None)
        now = float(number @ both) / number.sum()
        if abs(now - before) < TOLERANCE:
            break
        before = now
    clear = value[(is_guide > 0.5) & (log_value <= parts.mean)]
    parted = clear.size > 0 and clear.min() > 1
    return replace(parts, threshold=int(clear.min()) - 1 if parted else None)


def _log_normal(value: Array, mean: float, sd: float) -> Array:
    """Return the log-probability of whole numbers from 1 under a rounded log-normal."""
    from scipy.special import log_ndtr

    upper = log_ndtr((np.log(value + 0.5) - mean) / sd)
    lower = log_ndtr((np.log(value - 0.5) - mean) / sd)
    # In the upper tail both are near 0 and their difference is lost: mirror it.
    tail_upper = log_ndtr(-(np.log(value + 0.5) - mean) / sd)
    tail_lower = log_ndtr(-(np.log(value - 0.5) - mean) / sd)
    mirrored = np.log(value) > mean
    big = np.where(mirrored, tail_lower, upper)
    small = np.where(mirrored, tail_upper, lower)
    return big + np.log(-np.expm1(small - big))
