"""Which entries of a guide matrix say that a cell holds a guide."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from fatebias.config import DataConfig
from fatebias.data.reading.ambient import ambient_counts
from fatebias.data.reading.raw import RawScreen
from fatebias.errors import DataError, some
from fatebias.pasted import setting

BIN_GROWTH = 1.25  # of counts beyond the first few


def present_entries(raw: RawScreen, data: DataConfig) -> tuple[csr_matrix, list[str], list[str]]:
    """Return 1 where a cell holds the guide of a column, (N, guide columns), notes and warnings."""
    _check_entries(raw, data)
    matrix: csr_matrix = raw.guides
    if data.guide_threshold is None and not raw.guides_called:
        _refuse_raw_counts(matrix, raw.guides_at)
    present = csr_matrix(matrix > (data.guide_threshold or 0), dtype=np.int32)
    present.sort_indices()
    stored = matrix.data[matrix.data > 0]
    if not stored.size or stored.max() <= 1:
        return present, [], []
    told = "each counts as present (with data.guide_threshold only those above it)"
    if data.guide_threshold is not None:
        told = f"present means above {data.guide_threshold:g}"
    single = float((stored == 1).mean())
    told = f"the guide matrix holds counts up to {stored.max():g}; {single:.1%} of its entries are 1: {told}"
    return present, [told], _insisted(matrix, raw, data)


def _insisted(matrix: csr_matrix, raw: RawScreen, data: DataConfig) -> list[str]:
    """Warn where ambient counts pass for guides because ``data.guide_threshold=0`` says so."""
    found = ambient_counts(matrix) if data.guide_threshold == 0 and not raw.guides_called else None
    if found is None:
        return []
    offered = (
        "" if found.threshold is None else f"; {setting('data.guide_threshold', found.threshold)} does not"
    )
    return [
        "the guide matrix looks like raw UMI counts, and data.guide_threshold=0 counts ambient ones, too: "
        f"{found.held:.1f} guides a cell{offered}"
    ]


def guide_counts(matrix: csr_matrix, threshold: float | None) -> dict[str, Any] | None:
    """Return how many entries hold each count, and the threshold above which a guide is present.

    Small counts by themselves, then in bins that grow by a quarter: ``from`` is the least count of each bin.
    None for a matrix of 0 and 1, and for one of fractions.
    """
    entries = matrix.data[matrix.data > 0]
    if not entries.size or entries.max() <= 1 or (entries != np.floor(entries)).any():
        return None
    edges = [1]
    while edges[-1] <= entries.max():
        edges.append(max(edges[-1] + 1, int(edges[-1] * BIN_GROWTH)))
    number, _ = np.histogram(entries, bins=edges)
    return {"threshold": float(threshold or 0), "from": edges[:-1], "entries": number.tolist()}


def _check_entries(raw: RawScreen, data: DataConfig) -> None:
    matrix, entries = raw.guides, raw.guides.data
    wrong = ~np.isfinite(entries) | (entries < 0) if entries.dtype.kind == "f" else entries < 0
    if wrong.any():
        cells = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))[wrong]
        raise DataError(
            f"{int(wrong.sum())} entries of the guide matrix are NaN, infinite or negative",
            where=raw.guides_at,
            found=f"{some(np.unique(entries[wrong]).tolist(), 5)}; "
            f"first cells {some(raw.cells[np.unique(cells)[:5]].tolist())}",
            allowed="counts or 0/1, zero where a cell does not hold the guide",
            fix="correct these entries; where a missing value means no guide, set it to zero",
        )
    if data.guide_threshold is None and entries.dtype.kind == "f":
        fractional = entries != np.floor(entries)
        if fractional.any():
            raise DataError(
                f"{int(fractional.sum())} entries of the guide matrix are fractions",
                where=raw.guides_at,
                found=f"values from {entries.min():.4g} to {entries.max():.4g}",
                allowed="whole numbers, or a threshold above which a guide counts as present",
                fix=f"{setting('data.guide_threshold', 0.5)} if these are assignment probabilities",
            )


def _refuse_raw_counts(matrix: csr_matrix, where: str) -> None:
    found = ambient_counts(matrix)
    if found is None:
        return
    held = f"{found.single:.1%} of its entries are 1; {found.held:.1f} guides a cell if each counts"
    if found.threshold is None:
        held += ", and no threshold parts ambient ones from guides"
        fix = "call the guides first and store them as 0/1, or choose a data.guide_threshold"
    else:
        held += f", {found.held_above:.1f} above {found.threshold} UMIs"
        fix = (
            f"{setting('data.guide_threshold', found.threshold)}, by a mixture of both parts (docs/input.md)"
        )
    raise DataError(
        "the guide matrix looks like raw UMI counts, of which the ambient ones are no guides",
        where=where,
        found=held,
        allowed="called guides, or a threshold above which a guide counts as present",
        fix=f"{fix}; {setting('data.guide_threshold', 0)} counts every one",
    )
