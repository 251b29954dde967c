"""Fate probabilities: columns found by name, rows checked, fates summed, further ones dropped or merged."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fatebias.config import DataConfig
from fatebias.data.reading.fate_names import against_terminal_states, name_columns
from fatebias.data.reading.fate_rows import SUM_TOLERANCE, check_rows
from fatebias.data.reading.raw import RawScreen
from fatebias.errors import DataError, some
from fatebias.pasted import setting

LEAST_RANGE = 1e-6  # of a fate's probability among cells


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


def with_noted_fates(raw: RawScreen, data: DataConfig) -> DataConfig:
    """Return the settings with the fates that the screen notes, where those of ``data`` are the defaults."""
    plain = DataConfig()
    chosen = any(getattr(data, key) != getattr(plain, key) for key in ("fates", "ref_fate", "contrast_fate"))
    if raw.noted_fates is None or chosen:
        return data
    fates, contrast = raw.noted_fates
    return replace(data, fates=list(fates), ref_fate=fates[0], contrast_fate=contrast)


def fate_probabilities(raw: RawScreen, data: DataConfig) -> Fates:
    """Find the configured fates among the columns and check every row.

    Columns are found by name, never by position; rows that are no probabilities are an error or, with
    ``data.bad_cells=drop``, marked.
    """
    named, columns_from = name_columns(raw, data)
    groups = _groups(named, raw, data)
    columns = tuple(groups)
    _check_fates(columns, raw, data)
    warnings = against_terminal_states(named, columns_from, raw, data)
    rows = check_rows(raw, data)
    values = np.stack([rows.values[:, list(places)].sum(axis=1) for places in groups.values()], axis=1)

    fates = (data.ref_fate, *(fate for fate in data.fates if fate != data.ref_fate))
    p = values[:, [columns.index(fate) for fate in fates]]
    extra = [column for column in columns if column not in fates]
    notes = [
        f"fate {fate} is the sum of {', '.join(named[place] for place in places)}"
        for fate, places in groups.items()
        if len(places) > 1
    ]
    if extra and data.other_fates != "drop":
        p[:, fates.index(data.other_fates)] += values[:, [columns.index(fate) for fate in extra]].sum(axis=1)
        notes.append(f"fates merged into {data.other_fates}: {', '.join(extra)}")
    elif extra:
        gone = float(values[~rows.bad][:, [columns.index(fate) for fate in extra]].sum(axis=1).mean())
        notes.append(f"fates dropped, the rest renormalised: {', '.join(extra)} ({gone:.1%} of probability)")
    total = p.sum(axis=1)
    empty = ~rows.bad & (total < SUM_TOLERANCE)
    p = p / np.where(rows.bad | empty, 1.0, total)[:, None]
    told = (*warnings, *rows.warnings, *_say_nothing(p[~rows.bad & ~empty], fates))
    return Fates(p, fates, named, columns_from, rows.bad, empty, tuple(notes), told)


def _say_nothing(p: NDArray[np.float64], fates: tuple[str, ...]) -> tuple[str, ...]:
    """Warn of fates that no cell turns to, and of probabilities that are the same in every cell."""
    told = []
    if len(p) > 1 and (np.ptp(p, axis=0) < LEAST_RANGE).all():
        told.append(
            "fate probabilities are the same in all cells: no gene can be seen to act. Look at how CellRank "
            "has computed them"
        )
    nowhere = [fate for fate, highest in zip(fates, p.max(axis=0, initial=0), strict=True) if highest == 0]
    if nowhere:
        told.append(
            f"no cell turns to {', '.join(nowhere)}: its probability is 0 in every cell, and effects against "
            "it rest on the prior alone. Leave it out of data.fates"
        )
    return tuple(told)


def _groups(named: tuple[str, ...], raw: RawScreen, data: DataConfig) -> dict[str, tuple[int, ...]]:
    """Return the places of the columns behind each fate: one, or those that ``data.merge_fates`` sums."""
    merged = data.merge_fates or {}
    fate_of = {column: fate for fate, columns in merged.items() for column in columns}
    absent = [column for column in fate_of if column not in named]
    taken = [fate for fate in merged if fate in named and fate_of.get(fate) != fate]
    if absent or taken:
        raise DataError(
            f"data.merge_fates names fates that are not among the columns: {some(absent)}"
            if absent
            else f"data.merge_fates makes fates of which there are columns, too: {some(taken)}",
            where=raw.at("obsm", data.fate_prob_key),
            found=setting("data.merge_fates", merged),
            allowed=f"{', '.join(named)}, each in one sum, under a new name or that of one of its parts",
            fix=setting("data.merge_fates", {"NAME": list(named[:2])}) + " with names from these",
        )
    groups: dict[str, tuple[int, ...]] = {}
    for place, column in enumerate(named):
        fate = fate_of.get(column, column)
        groups[fate] = (*groups.get(fate, ()), place)
    return groups


def _check_fates(columns: tuple[str, ...], raw: RawScreen, data: DataConfig) -> None:
    """Compare ``data.fates`` with the names of the columns."""
    where = raw.at("obsm", data.fate_prob_key)
    absent = [fate for fate in data.fates if fate not in columns]
    if absent:
        what, fix = _absent(absent, columns, data)
        raise DataError(what, where=where, found=data.fates, allowed=columns, fix=fix)
    extra = [column for column in columns if column not in data.fates]
    if extra and data.other_fates == "refuse":
        raise DataError(
            f"the screen has fates beyond data.fates: {', '.join(extra)}",
            where=where,
            found=data.fates,
            allowed=columns,
            fix=f"{setting('data.other_fates', 'drop')} leaves them out and renormalises, "
            f"{setting('data.other_fates', data.fates[-1])} (or another fate) merges them into that one, "
            f"{setting('data.fates', [*data.fates, *extra])} models them",
        )


def _absent(absent: list[str], columns: tuple[str, ...], data: DataConfig) -> tuple[str, str]:
    """Say why fates are not among the columns, and the line that settles it."""
    alike = {column.strip().casefold(): column for column in columns}
    meant = {fate: alike.get(fate.strip().casefold(), fate) for fate in data.fates}
    if all(fate in columns for fate in meant.values()):
        what = f"fates {some(absent)} are spelt otherwise in the screen: only case or spaces differ"
        return what, (
            f"{setting('data.fates', list(meant.values()))} {setting('data.ref_fate', meant[data.ref_fate])} "
            f"{setting('data.contrast_fate', meant[data.contrast_fate])}"
        )
    parts = {fate: _numbered(fate, columns) for fate in absent}
    if all(len(found) > 1 for found in parts.values()):
        what = f"fates {some(absent)} are in several columns each"
        return what, f"{setting('data.merge_fates', {**(data.merge_fates or {}), **parts})} sums them"
    reference, contrast = _two(columns, data)
    fix = (
        f"{setting('data.fates', list(columns))} {setting('data.ref_fate', reference)} "
        f"{setting('data.contrast_fate', contrast)} (or another two of these)"
    )
    return f"fates {some(absent)} are not among the columns", fix


def _two(columns: tuple[str, ...], data: DataConfig) -> tuple[str, str]:
    """Return a reference and a contrast among the columns, those of the settings where they are there."""
    contrast = data.contrast_fate if data.contrast_fate in columns else None
    free = [column for column in columns if column != contrast]
    reference = data.ref_fate if data.ref_fate in free else free[0]
    return reference, contrast or next((column for column in free if column != reference), reference)


def _numbered(fate: str, columns: Sequence[str]) -> list[str]:
    """Return the columns that are parts of a fate, as CellRank numbers them: EC_1, EC_2."""
    return [column for column in columns if re.fullmatch(rf"{re.escape(fate)}[ _.-]?\d+", column)]
