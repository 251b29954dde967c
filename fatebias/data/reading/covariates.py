"""Days and replicates: labels of any type to codes, ordered as the user reads them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fatebias.config import DataConfig
from fatebias.errors import DataError, some

if TYPE_CHECKING:
    import pandas as pd

# More labels than any screen has days or replicates: the column means something else.
MOST_LABELS = 100
# How a missing value reads after the column was turned into text.
MISSING_TEXT = frozenset({"", "nan", "none", "<na>", "nat"})


@dataclass(frozen=True, eq=False)
class Levels:
    """A label of each cell as a code into ordered labels."""

    codes: NDArray[np.int32]  # (N,) 0..len(labels)-1
    labels: tuple[str, ...]  # in order, as text
    notes: tuple[str, ...] = ()


def day_levels(column: pd.Series[Any], where: str, data: DataConfig) -> Levels:
    """Order days by ``data.day_order``, the number in each label, or an ordered categorical."""
    codes, labels, unused = _as_text(column, where)
    if data.day_order is not None:
        order = _configured_order(labels, data.day_order, where)
    else:
        order = _order_by_number(labels, column, where)
    levels = _reorder(codes, labels, order)
    _check_count("D", "days", data.D, levels.labels, where)
    note = (f"days without a cell in the screen: {', '.join(unused)}",) if unused else ()
    return Levels(levels.codes, levels.labels, note)


def replicate_levels(column: pd.Series[Any], where: str, data: DataConfig) -> Levels:
    """Order replicates by name, numbers within names by value."""
    codes, labels, _ = _as_text(column, where)
    levels = _reorder(codes, labels, sorted(labels, key=_natural))
    _check_count("R", "replicates", data.R, levels.labels, where)
    return levels


def _as_text(column: pd.Series[Any], where: str) -> tuple[NDArray[np.intp], list[str], list[str]]:
    """Code a column by its labels as text; return codes, labels and categories without a cell."""
    import pandas as pd

    codes, values = pd.factorize(column, use_na_sentinel=True)
    labels = [_text(value) for value in np.asarray(values)]
    missing = codes < 0
    for code, label in enumerate(labels):
        if label.strip().lower() in MISSING_TEXT:
            missing |= codes == code
    if missing.any():
        raise DataError(
            f"{int(missing.sum())} of {missing.size} cells have no value",
            where=where,
            found=f"missing in rows {some(np.flatnonzero(missing)[:5].tolist())}",
            allowed="a value in every cell",
            fix="fill in the column or remove those cells",
        )
    # Several values may share a text: 1 and '1' in an object column.
    merged, labels_array = pd.factorize(np.asarray(labels, dtype=object))
    codes, labels = merged[codes], [str(label) for label in labels_array]
    if len(labels) > MOST_LABELS:
        raise DataError(
            f"{len(labels)} different labels, more than any screen has days or replicates",
            where=where,
            found=some(labels, 5),
            allowed=f"at most {MOST_LABELS}",
            fix="name the column that holds the day (data.day_key) or the replicate (data.rep_key)",
        )
    _refuse_lookalikes(labels, where)
    categories = [_text(value) for value in getattr(getattr(column, "cat", None), "categories", ())]
    return codes, labels, [category for category in categories if category not in labels]


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return str(int(value))
    return str(value)


def _refuse_lookalikes(labels: list[str], where: str) -> None:
    seen: dict[str, str] = {}
    for label in labels:
        other = seen.setdefault(label.strip().casefold(), label)
        if other != label:
            raise DataError(
                "two labels differ only in case or spaces",
                where=where,
                found=some([other, label]),
                fix="write them the same way, or make them clearly different",
            )


def _configured_order(labels: list[str], day_order: list[str], where: str) -> list[str]:
    wanted = [str(label) for label in day_order]
    absent = [label for label in labels if label not in wanted]
    empty = [label for label in wanted if label not in labels]
    if absent or empty or len(set(wanted)) != len(wanted):
        found = [f"labels of the screen {some(labels)}"]
        if absent:
            found.append(f"not in data.day_order: {some(absent)}")
        if empty:
            found.append(f"without a cell: {some(empty)}")
        raise DataError(
            "data.day_order does not fit the days of the screen",
            where=where,
            found="; ".join(found),
            allowed="every label of the screen once",
            fix=f"data.day_order=[{','.join(sorted(labels, key=_natural))}] in the right order",
        )
    return wanted


def _order_by_number(labels: list[str], column: pd.Series[Any], where: str) -> list[str]:
    numbers_of = {label: _numbers_in(label) for label in labels}
    odd = [label for label, found in numbers_of.items() if len(found) != 1]
    if odd:
        ordered = getattr(column, "cat", None)
        if ordered is not None and ordered.ordered:
            return [text for text in map(_text, ordered.categories) if text in labels]
        several = [label for label in odd if numbers_of[label]]
        raise DataError(
            "a day label holds more than one number" if several else "a day label holds no number",
            where=where,
            found=some(several or odd),
            allowed="one number in each label (d0, D1, 'day 2', 3), or an ordered categorical",
            fix=f"data.day_order=[{','.join(sorted(labels, key=_natural))}] in the right order",
        )
    day_of: dict[float, str] = {}
    for label in labels:
        other = day_of.setdefault(numbers_of[label][0], label)
        if other != label:
            raise DataError(
                "two labels stand for the same day",
                where=where,
                found=some([other, label]),
                fix="write them the same way, or give data.day_order if they are different days",
            )
    return [day_of[number] for number in sorted(day_of)]


def _numbers_in(label: str) -> list[float]:
    try:
        return [float(label)] if np.isfinite(float(label)) else []
    except ValueError:
        return [float(number) for number in re.findall(r"(?:(?<!\S)-)?\d+(?:\.\d+)?", label)]


def _natural(label: str) -> list[tuple[int, float, str]]:
    """Sort key: digits by value, the rest by letters."""
    parts = re.findall(r"\d+|\D+", label)
    return [(0, float(part), "") if part.isdigit() else (1, 0.0, part) for part in parts]


def _reorder(codes: NDArray[np.intp], labels: list[str], order: list[str]) -> Levels:
    place = np.array([order.index(label) for label in labels], dtype=np.int32)
    return Levels(place[codes], tuple(order))


def _check_count(key: str, what: str, wanted: int | None, labels: tuple[str, ...], where: str) -> None:
    if wanted is not None and wanted != len(labels):
        raise DataError(
            f"data.{key} is {wanted}, the screen has {len(labels)} {what}",
            where=where,
            found=labels,
            allowed=f"{wanted} {what}",
            fix=f"data.{key}={len(labels)}, or data.{key}=null to take it from the screen; "
            "if one is missing, check which cells it holds",
        )
