"""Weights of the cells in the likelihood, and how far each cell is committed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fatebias.config import DataConfig
from fatebias.data.assignment import Slots
from fatebias.data.reading.elements import numeric_column
from fatebias.data.reading.raw import RawScreen
from fatebias.data.synthetic import sharpness
from fatebias.errors import DataError, some
from fatebias.pasted import setting

# For cell_weights=entropy: every cell keeps some weight, and a day's level needs this many NTC cells.
LEAST_CONFIDENCE = 0.01
FEWEST_CONTROLS = 20


def weight_column(raw: RawScreen, data: DataConfig) -> NDArray[np.float64]:
    """Return the configured weight of every cell, 1 without a column, (N,)."""
    if raw.weight is None:
        return np.ones(raw.cells.size)
    where = raw.at("obs", data.weights or "")
    weight = numeric_column(raw.weight, where).astype(np.float64)
    wrong = ~np.isfinite(weight) | (weight < 0)
    if wrong.any():
        raise DataError(
            f"{int(wrong.sum())} cells have a weight that is missing, infinite or negative",
            where=where,
            found=f"{some(np.unique(weight[wrong]).tolist(), 5)}; "
            f"first cells {some(raw.cells[wrong][:5].tolist())}",
            allowed="finite numbers, zero or more",
            fix=_equal_weights(),
        )
    return weight


def _equal_weights() -> str:
    settings = f"{setting('data.cell_weights', 'none')} {setting('data.weights', None)}"
    return f"correct the column, or {settings} for equal weights"


def entropy_weights(p: NDArray[np.float64], day: NDArray[np.int32], slots: Slots) -> NDArray[np.float64]:
    """Measure how sharp each label is, relative to cells of the day with NTC guides only.

    Relative, so that a day on which all cells are less committed does not count for less.
    """
    confidence = np.maximum(sharpness(p), LEAST_CONFIDENCE)
    controls = (slots.guide_ids == 0).all(axis=1) & (slots.n_guides > 0)
    for d in range(int(day.max()) + 1):
        here = day == d
        like = here & controls
        confidence[here] /= confidence[like if like.sum() >= FEWEST_CONTROLS else here].mean()
    return confidence


def scale_weights(weight: NDArray[np.float64], raw: RawScreen, data: DataConfig) -> NDArray[np.float64]:
    """Scale weights to mean 1 over the kept cells."""
    mean = float(weight.mean())
    if mean == 0:
        raise DataError(
            "all weights are zero",
            where=raw.at("obs", data.weights or ""),
            allowed="a positive weight for some kept cells",
            fix=_equal_weights(),
        )
    return weight / mean


def commitment_column(
    raw: RawScreen, kept: NDArray[np.bool_], data: DataConfig
) -> NDArray[np.float64] | None:
    """Return the commitment of the kept cells, None without a column."""
    if raw.commitment is None:
        return None
    where = raw.at("obs", data.commitment_key or "")
    degree = numeric_column(raw.commitment, where).astype(np.float64)[kept]
    wrong = ~((degree >= 0) & (degree <= 1))
    if wrong.any():
        raise DataError(
            f"{int(wrong.sum())} cells have a commitment that is missing or outside [0, 1]",
            where=where,
            found=f"{some(np.unique(degree[wrong]).tolist(), 5)}; "
            f"first cells {some(raw.cells[kept][wrong][:5].tolist())}",
            allowed="a number from 0 (naive) to 1 (committed) in every cell, as CellRank's "
            "compute_lineage_priming writes it",
            fix="correct the column, or "
            f"{setting('data.commitment_key', None)} {setting('calibration.commitment', 'entropy')}",
        )
    return degree
