"""Guide calls as text, "A|B" for a cell with two guides: a file of Cell Ranger, or an obs column."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fatebias.data.reading.elements import as_series
from fatebias.data.reading.guide_columns import SURE
from fatebias.data.reading.guide_matrix import GuideMatrix
from fatebias.data.reading.labels import means_missing, text
from fatebias.data.reading.stores import Store
from fatebias.data.reading.table_file import TableRows, read_table
from fatebias.errors import DataError, some
from fatebias.pasted import choice, setting

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

# Columns of protospacer_calls_per_cell.csv, and what other callers name them.
BARCODE = ("cell_barcode", "barcode", "cell", "cell_id")
CALL = ("feature_call", "guide_name", "guide", "gRNA", "guide_id")
UMIS = ("num_umis", "UMI_counts", "umis")
NO_CALL = frozenset({"no call", "no calls", "negative", "unassigned", "no guide", "no guides", "no_guide"})


def read_calls(
    store: Store, cells: NDArray[Any], source: str, threshold: float | None, known: Sequence[str]
) -> GuideMatrix:
    """Read calls from an obs column or else a file, those above `threshold` UMIs; `known` are in the map."""
    if source in store.keys("obs"):
        where = f"{store.source}: obs[{source!r}]"
        calls = _texts(store, source)
        umis = _texts(store, UMIS[0]) if UMIS[0] in store.keys("obs") else None
        cell, notes = np.arange(cells.size), tuple[str, ...]()
    elif Path(source).is_file():
        where = source
        calls, umis, cell, notes = _from_file(Path(source), cells)
    else:
        raise DataError(
            "data.guide_calls is neither an obs column nor a file",
            where=source,
            found=f"obs has {', '.join(store.keys('obs')) or 'nothing'}",
            allowed="a column with the guides of each cell, as A|B, or a file such as Cell Ranger's "
            "protospacer_calls_per_cell.csv",
            fix=choice("data.guide_calls", store.keys("obs"), source),
        )
    matrix, columns = _matrix(calls, umis, cell, cells.size, threshold, known, where)
    return GuideMatrix(matrix, where, columns, "the calls", True, notes)


def _texts(store: Store, key: str) -> list[str]:
    column = as_series(store.value("obs", key))
    return ["" if missing else text(value) for value, missing in zip(column, column.isna(), strict=True)]


def _from_file(
    path: Path, cells: NDArray[Any]
) -> tuple[list[str], list[str] | None, NDArray[np.intp], tuple[str, ...]]:
    """Return the calls of the file's rows that are cells of the screen, and these cells."""
    rows = read_table(path, (BARCODE[0], CALL[0], UMIS[0]), "the file of guide calls", "data.guide_calls")
    barcode, call = _place(rows, BARCODE), _place(rows, CALL)
    umi = next((rows.header.index(name) for name in UMIS if name in rows.header), None)
    short = [number for number, row in rows.fields if len(row) <= max(barcode, call, umi or 0)]
    if short:
        raise DataError(
            "rows of the file of guide calls are too short",
            where=path,
            found=f"lines {some(short)}",
            allowed=f"a field for each of {', '.join(rows.header)}",
            fix="write the file again: it may have been cut off",
        )
    number = {str(cell): i for i, cell in enumerate(cells)}
    found = [row for _, row in rows.fields if row[barcode] in number]
    if not found:
        raise DataError(
            "no barcode of the guide calls is a cell of the screen",
            where=path,
            found=f"barcodes {some([row[barcode] for _, row in rows.fields[:3]])}; "
            f"cells {some(cells[:3].tolist())}{_hint([row[barcode] for _, row in rows.fields], cells)}",
            allowed="the names of the cells (obs_names) in the column of barcodes",
            fix="write the barcodes as the screen names its cells, sample or lane included",
        )
    cell = np.array([number[row[barcode]] for row in found])
    lacking = cells.size - len(set(cell.tolist()))
    notes = [f"guide calls of {len(found):,} of {len(rows.fields):,} rows belong to cells of the screen"]
    if lacking:
        notes.append(f"{lacking:,} cells have no row in {path.name}: they hold no guide")
    umis = None if umi is None else [row[umi] for row in found]
    return [row[call] for row in found], umis, cell, tuple(notes)


def _place(rows: TableRows, names: Sequence[str]) -> int:
    for name in names:
        if name in rows.header:
            return rows.header.index(name)
    raise DataError(
        f"the file of guide calls has no column {names[0]}",
        where=rows.source,
        found=f"columns {some(rows.header)}",
        allowed=f"one of {', '.join(names)}",
        fix=f"rename the column to {names[0]}",
    )


def _hint(barcodes: Sequence[str], cells: NDArray[Any]) -> str:
    """Say how many barcodes would match by their letters alone, without sample and lane."""

    def letters(name: object) -> str:
        found = re.search(r"[ACGT]{8,}", str(name))
        return found[0] if found else ""

    of_screen = {letters(cell) for cell in cells} - {""}
    alike = sum(letters(barcode) in of_screen for barcode in barcodes)
    return f"; {alike} would match by their bases alone" if alike else ""


def _matrix(
    calls: Sequence[str],
    umis: Sequence[str] | None,
    cell: NDArray[np.intp],
    n_cells: int,
    threshold: float | None,
    known: Sequence[str],
    where: str,
) -> tuple[csr_matrix, tuple[str, ...]]:
    from scipy.sparse import csr_matrix

    in_map = set(known)
    guides_of: dict[str, list[str]] = {}  # of each different call
    for call in set(calls):
        named = call.strip()
        none = named not in in_map and (means_missing(named) or named.casefold() in NO_CALL)
        guides_of[call] = (
            [] if none else [named] if named in in_map else list(filter(None, SURE.split(named)))
        )
    names = sorted({guide for guides in guides_of.values() for guide in guides})
    number = {guide: i for i, guide in enumerate(names)}
    held = [guides_of[call] for call in calls]
    row = np.repeat(cell, [len(guides) for guides in held])
    column = np.array([number[guide] for guides in held for guide in guides], dtype=np.int64)
    value = np.ones(len(row))
    if threshold is not None:
        value = _umis(umis, held, where, threshold)
    if not names:
        raise DataError(
            "no cell has a guide call",
            where=where,
            found=f"calls {some(sorted(set(calls)), 3)}",
            allowed="the guides of each cell, as A|B",
            fix="name another column or file by data.guide_calls",
        )
    matrix = csr_matrix((value, (row, column)), shape=(n_cells, len(names)))
    return matrix, tuple(names)


def _umis(
    umis: Sequence[str] | None, held: Sequence[list[str]], where: str, threshold: float
) -> NDArray[Any]:
    """Return the UMIs of each call, from text such as 3|5."""
    parts = [] if umis is None else [list(filter(None, SURE.split(each.strip()))) for each in umis]
    counts = [part for each, guides in zip(parts, held, strict=False) if guides for part in each]
    fits = umis is not None and all(
        not guides or len(each) == len(guides) for each, guides in zip(parts, held, strict=True)
    )
    try:
        value = np.array([float(count) for count in counts])
    except ValueError:
        fits = False
    if not fits:
        raise DataError(
            f"data.guide_threshold={threshold:g} asks for UMIs, which the guide calls lack",
            where=where,
            found=f"no column {UMIS[0]} with a number for each guide, as 3|5",
            allowed=f"a column {UMIS[0]} beside the calls",
            fix=f"{setting('data.guide_threshold', None)} takes the calls as they are",
        )
    return value
