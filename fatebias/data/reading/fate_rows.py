"""Rows of fate values: probabilities, or what makes them none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fatebias.config import DataConfig
from fatebias.data.reading.raw import RawScreen
from fatebias.errors import DataError, some
from fatebias.pasted import setting

# CellRank's solver leaves row sums off by up to this much.
SUM_TOLERANCE = 1e-3
# Linear solvers leave zeros a little below zero; values down to this are clipped without a message.
NEGATIVE_TOLERANCE = 1e-6
# Renormalised rows that kept less than this say little of where a cell goes.
LITTLE_LEFT = 0.1
# Where a larger share of the cells is bad, the message does not offer to leave them out.
MOST_DROPPED = 0.9


@dataclass(frozen=True, eq=False)
class FateRows:
    """Fate values of every cell, and which of them are no probabilities."""

    values: NDArray[np.float64]  # (N, columns) negative noise clipped; zero where `bad`
    bad: NDArray[np.bool_]  # (N,)
    warnings: tuple[str, ...] = ()


def check_rows(raw: RawScreen, data: DataConfig) -> FateRows:
    """Return the values, and refuse or mark the rows that are no probabilities."""
    stored: NDArray[Any] = raw.fate_values
    tolerance = SUM_TOLERANCE
    if np.issubdtype(stored.dtype, np.floating):
        tolerance = max(tolerance, 4 * float(np.finfo(stored.dtype).eps))
    values = stored.astype(np.float64)
    total = values.sum(axis=1)
    undefined = ~np.isfinite(values).all(axis=1)
    with np.errstate(invalid="ignore"):
        negative = ~undefined & (values < -NEGATIVE_TOLERANCE).any(axis=1)
        zero = ~undefined & ~negative & (total < tolerance)
        off = ~undefined & ~negative & ~zero & (np.abs(total - 1) > tolerance + 1e-9)
        below = off & (total < 1)
    warnings: tuple[str, ...] = ()
    if data.bad_cells == "renormalise" and below.any():
        off &= ~below
        warnings = _renormalised(total[below])
    bad = undefined | negative | zero | off
    if bad.any() and (data.bad_cells != "drop" or bad.all()):
        kinds = {
            "with NaN or infinity": undefined,
            "with a negative value": negative,
            "that sum to zero": zero,
            "that do not sum to 1": off,
        }
        raise _refused(raw, data, values, bad, kinds, tolerance)
    return FateRows(np.where(bad[:, None], 0.0, np.maximum(values, 0.0)), bad, warnings)


def _renormalised(total: NDArray[np.float64]) -> tuple[str, ...]:
    little = int((total < LITTLE_LEFT).sum())
    rest = f"; {little:,} of them keep less than {LITTLE_LEFT:.0%} of their probability" if little else ""
    return (
        f"{total.size:,} cells whose fates sum to {total.mean():.2f} on average were renormalised: effects "
        f"are among the fates that are there; a gene that moves cells to one left out may not show{rest}",
    )


def _refused(
    raw: RawScreen,
    data: DataConfig,
    values: NDArray[np.float64],
    bad: NDArray[np.bool_],
    kinds: dict[str, NDArray[np.bool_]],
    tolerance: float,
) -> DataError:
    undefined, negative, _, off = kinds.values()
    finite = values[~undefined]
    total = finite.sum(axis=1)
    extent = ""
    if len(finite):
        extent = (
            f"; values from {finite.min():.4g} to {finite.max():.4g}, "
            f"row sums from {total.min():.4g} to {total.max():.4g}"
        )
    guess = ""
    if len(finite) and abs(float(np.median(total)) - 100) < 1:
        guess = "these look like percent: divide them by 100. "
    elif negative.mean() > 0.5:
        guess = "these look like logits: store the probabilities (their softmax). "
    elif off.any() and (values[off].sum(axis=1) < 1).all():
        guess = (
            "rows below 1 are what a fate that was left out leaves: store all fates, or "
            f"{setting('data.bad_cells', 'renormalise')} keeps these cells, with probabilities among the "
            "fates that are left. "
        )
    counted = ", ".join(f"{int(rows.sum())} {kind}" for kind, rows in kinds.items() if rows.any())
    correct, left = "Correct" if guess else "correct", _left(int((~bad).sum()))
    return DataError(
        f"{int(bad.sum())} of {bad.size} cells have fate values that are no probabilities",
        where=raw.at("obsm", data.fate_prob_key),
        found=f"rows {counted}{extent}; first cells {some(raw.cells[bad][:5].tolist())}",
        allowed=f"finite, not negative, each row summing to 1 within {tolerance:g}",
        fix=f"{guess}{setting('data.bad_cells', 'drop')} leaves these cells out and counts them"
        if bad.mean() < MOST_DROPPED
        else f"{guess}{correct} the values: {left} would be left",
    )


def _left(cells: int) -> str:
    return f"only {cells} cell{'s' if cells > 1 else ''}" if cells else "no cell"
