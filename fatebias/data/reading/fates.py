"""Fate probabilities: columns found by name, rows checked, further fates dropped or merged."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fatebias.config import DataConfig
from fatebias.data.reading.labels import means_missing
from fatebias.data.reading.raw import RawScreen
from fatebias.errors import DataError, some

# CellRank's solver leaves row sums off by up to this much.
SUM_TOLERANCE = 1e-3
# Linear solvers leave zeros a little below zero; values down to this are clipped without a message.
NEGATIVE_TOLERANCE = 1e-6
# Terminal cells are one-hot in their own fate's column. A mean above this in another column says that the
# columns are in another order than their names.
CONTRADICTION = 0.9


@dataclass(frozen=True, eq=False)
class Fates:
    """Fate probabilities in the order of the model."""

    p: NDArray[np.float64]  # (N, F) rows sum to 1 where `bad` and `empty` are False
    fates: tuple[str, ...]  # reference first, then the others in the order of data.fates
    columns: tuple[str, ...]  # names of all columns
    columns_from: str  # where these names were found
    bad: NDArray[np.bool_]  # (N,) rows that are no probabilities
    empty: NDArray[np.bool_]  # (N,) rows with nothing left after further fates were dropped
    notes: tuple[str, ...]
    warnings: tuple[str, ...]


def fate_probabilities(raw: RawScreen, data: DataConfig) -> Fates:
    """Find the configured fates among the columns and check every row.

    Columns are found by name, never by position; rows that are no probabilities are an error or, with
    ``data.bad_cells=drop``, marked.
    """
    columns, columns_from = _name_columns(raw, data)
    _check_fates(columns, raw, data)
    warnings = _against_terminal_states(columns, columns_from, raw, data)
    values, bad = _check_rows(raw, data)

    fates = (data.ref_fate, *(fate for fate in data.fates if fate != data.ref_fate))
    p = values[:, [columns.index(fate) for fate in fates]]
    extra = [column for column in columns if column not in fates]
    notes = []
    if extra and data.other_fates != "drop":
        p[:, fates.index(data.other_fates)] += values[:, [columns.index(fate) for fate in extra]].sum(axis=1)
        notes.append(f"fates merged into {data.other_fates}: {', '.join(extra)}")
    elif extra:
        gone = float(values[~bad][:, [columns.index(fate) for fate in extra]].sum(axis=1).mean())
        notes.append(f"fates dropped, the rest renormalised: {', '.join(extra)} ({gone:.1%} of probability)")
    total = p.sum(axis=1)
    empty = ~bad & (total < SUM_TOLERANCE)
    p = p / np.where(bad | empty, 1.0, total)[:, None]
    return Fates(p, fates, columns, columns_from, bad, empty, tuple(notes), tuple(warnings))


def _name_columns(raw: RawScreen, data: DataConfig) -> tuple[tuple[str, ...], str]:
    """Return the names of the columns, from the most trusted source that has them."""
    where = raw.at("obsm", data.fate_prob_key)
    count = raw.fate_values.shape[1]
    settle = (
        f"data.fate_columns=[{','.join(f'NAME{i + 1}' for i in range(count))}] in the order of the columns"
    )
    if data.fate_columns is not None:
        if len(data.fate_columns) != count:
            raise DataError(
                f"data.fate_columns names {len(data.fate_columns)} columns, the screen has {count}",
                where=where,
                found=data.fate_columns,
                allowed=f"{count} names",
                fix=settle,
            )
        return tuple(data.fate_columns), "data.fate_columns"
    states: tuple[str, ...] = ()
    if raw.terminal is not None:  # a category "nan" is that of the cells which are not terminal
        states = tuple(str(state) for state in raw.terminal.categories if not means_missing(str(state)))
    if len(states) == count:
        settle += f"; the terminal states, in their own order, are {', '.join(states)}"
    for origin, found in raw.fate_names:
        if len(found) != count:
            raise DataError(
                f"{origin} names {len(found)} fates, the matrix has {count} columns",
                where=where,
                found=found,
                fix=settle,
            )
        if all(re.fullmatch(r"\d+(\.0)?", name) for name in found):
            raise DataError("the fate columns have numbers for names", where=where, found=found, fix=settle)
        if len(set(found)) != count:
            raise DataError("fate columns share a name", where=where, found=found, fix=settle)
        missing = [name for name in found if means_missing(name)]
        if missing:
            raise DataError(
                f"the name of a fate column means a missing value: {some(missing)}",
                where=where,
                found=found,
                allowed="a name for every fate",
                fix=f"{settle}, with the name that is meant in place of {some(missing)}",
            )
        return found, origin
    if raw.terminal is None:
        raise DataError(
            "the names of the fate columns are unknown",
            where=where,
            found=f"{count} columns without names, no uns[{data.fate_prob_key + '_names'!r}], "
            f"no categories in obs[{terminal_key(data.fate_prob_key)!r}]",
            allowed="columns named in the screen or by data.fate_columns, never taken by position",
            fix=settle,
        )
    key = terminal_key(data.fate_prob_key)
    if len(states) != count:
        more = "fewer" if len(states) < count else "more"
        raise DataError(
            f"obs[{key!r}] has {more} categories than there are fate columns",
            where=where,
            found=f"{count} columns without names, categories {some(states) or 'none'}",
            allowed="one category a column; subsetting cells can empty categories",
            fix=settle,
        )
    return states, f"obs[{key!r}]"


def terminal_key(fate_prob_key: str) -> str:
    """Return the obs column that CellRank writes beside a matrix of fate probabilities."""
    return "term_states_bwd" if fate_prob_key.endswith("_bwd") else "term_states_fwd"


def _check_fates(columns: tuple[str, ...], raw: RawScreen, data: DataConfig) -> None:
    """Compare ``data.fates`` with the names of the columns."""
    where = raw.at("obsm", data.fate_prob_key)
    absent = [fate for fate in data.fates if fate not in columns]
    if absent:
        alike = {column.strip().casefold(): column for column in columns}
        meant = {fate: alike.get(fate.strip().casefold(), fate) for fate in data.fates}
        if all(fate in columns for fate in meant.values()):
            what = f"fates {some(absent)} are spelt otherwise in the screen: only case or spaces differ"
            fix = (
                f"data.fates=[{','.join(meant.values())}] data.ref_fate={meant[data.ref_fate]} "
                f"data.contrast_fate={meant[data.contrast_fate]}"
            )
        else:
            what = f"fates {some(absent)} are not among the columns"
            fix = f"data.fates=[{','.join(columns)}] with data.ref_fate and data.contrast_fate from these"
        raise DataError(what, where=where, found=columns, allowed=data.fates, fix=fix)
    extra = [column for column in columns if column not in data.fates]
    if extra and data.other_fates == "refuse":
        raise DataError(
            f"the screen has fates beyond data.fates: {', '.join(extra)}",
            where=where,
            found=columns,
            allowed=data.fates,
            fix="data.other_fates=drop leaves them out and renormalises, "
            f"data.other_fates={data.fates[-1]} (or another fate) merges them into that one, "
            f"data.fates=[{','.join([*data.fates, *extra])}] models them",
        )


def _against_terminal_states(
    columns: tuple[str, ...], columns_from: str, raw: RawScreen, data: DataConfig
) -> list[str]:
    """Check the columns' names on terminal cells, which are one-hot in their own fate's column."""
    if raw.terminal is None:
        return []
    states = [str(state) for state in raw.terminal.categories]
    codes = np.asarray(raw.terminal.codes)
    seen: dict[str, str] = {}
    for code, state in enumerate(states):
        members = raw.fate_values[codes == code]
        if state in columns and len(members):
            mean = np.asarray(members, dtype=np.float64).mean(axis=0)
            best = int(np.argmax(mean))
            if mean[best] > CONTRADICTION and columns[best] != state:
                seen[state] = columns[best]
    if not seen:
        return []
    what = "terminal cells contradict the order of the fate columns"
    found = ", ".join(f"cells of {state} lie in the column named {column}" for state, column in seen.items())
    if columns_from.startswith("obs["):
        raise DataError(
            what,
            where=raw.at("obsm", data.fate_prob_key),
            found=f"{found}; names from {columns_from}",
            fix=f"data.fate_columns=[...] with the names in the right order, of {', '.join(columns)}",
        )
    return [f"{what}: {found}; the names from {columns_from} were used unchanged"]


def _check_rows(raw: RawScreen, data: DataConfig) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the values, negative noise clipped, and which rows are no probabilities."""
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
    bad = undefined | negative | zero | off
    if not bad.any():
        return np.maximum(values, 0.0), bad
    counts = {
        "with NaN or infinity": undefined,
        "with a negative value": negative,
        "that sum to zero": zero,
        "that do not sum to 1": off,
    }
    kinds = ", ".join(f"{int(rows.sum())} {kind}" for kind, rows in counts.items() if rows.any())
    finite = values[~undefined]
    extent = ""
    if len(finite):
        sums = finite.sum(axis=1)
        extent = (
            f"; values from {finite.min():.4g} to {finite.max():.4g}, "
            f"row sums from {sums.min():.4g} to {sums.max():.4g}"
        )
    percent = len(finite) > 0 and abs(float(np.median(finite.sum(axis=1))) - 100) < 1
    guess = ""
    if percent:
        guess = "these look like percent: divide them by 100. "
    elif negative.mean() > 0.5:
        guess = "these look like logits: store the probabilities (their softmax). "
    if data.bad_cells == "refuse" or bad.all():
        raise DataError(
            f"{int(bad.sum())} of {bad.size} cells have fate values that are no probabilities",
            where=raw.at("obsm", data.fate_prob_key),
            found=f"rows {kinds}{extent}; first cells {some(raw.cells[bad][:5].tolist())}",
            allowed=f"finite, not negative, each row summing to 1 within {tolerance:g}",
            fix=f"{guess}data.bad_cells=drop leaves these cells out and counts them"
            if not bad.all()
            else f"{guess}correct the values: no cell would be left",
        )
    return np.where(bad[:, None], 0.0, np.maximum(values, 0.0)), bad
