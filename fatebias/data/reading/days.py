"""Days: an ordered categorical, the configured order, or the time that each label says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fatebias.config import DataConfig
from fatebias.data.reading.day_labels import days_of, numbers_in, read_label
from fatebias.data.reading.labels import Levels, as_text, check_count, natural, reorder, text
from fatebias.errors import DataError, some
from fatebias.pasted import setting

if TYPE_CHECKING:
    import pandas as pd

ALLOWED = (
    "one number in each label and the same text around it (d0, D1, 'day 2'; 12h, 3d; E8.5), "
    "or an ordered categorical"
)


def day_levels(column: pd.Series[Any], where: str, data: DataConfig) -> Levels:
    """Order days by ``data.day_order``, an ordered categorical, or the number and unit in each label."""
    codes, labels, unused = as_text(column, where, [*data.meant_labels, *(data.day_order or ())])
    warnings: tuple[str, ...] = ()
    ordered = getattr(column, "cat", None)
    if data.day_order is not None:
        order, by = _configured_order(labels, data.day_order, where), "data.day_order"
    elif ordered is not None and ordered.ordered:
        order = [label for label in map(text, ordered.categories) if label in labels]
        by, warnings = "the ordered categorical", _against_numbers(order)
    else:
        order, by = _order_by_time(labels, where)
    check_count("D", "days", data.D, tuple(order), where)
    notes = (f"days without a cell in the screen: {', '.join(unused)}",) if unused else ()
    return Levels(reorder(codes, labels, order), tuple(order), by, notes, warnings)


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
            fix=_order_line(sorted(labels, key=natural)),
        )
    return wanted


def _order_by_time(labels: list[str], where: str) -> tuple[list[str], str]:
    odd = {label: count for label in labels if (count := numbers_in(label)) != 1}
    if odd:
        several = [label for label, count in odd.items() if count]
        raise DataError(
            "a day label holds more than one number" if several else "a day label holds no number",
            where=where,
            found=some(several or odd),
            allowed=ALLOWED,
            fix=_order_line(sorted(labels, key=natural)),
        )
    read = [read_label(label) for label in labels]
    times, doubt = days_of(read)
    order = [label for _, _, label in sorted(zip(times, map(natural, labels), labels, strict=True))]
    if doubt is not None:
        raise DataError(
            f"the order of the days is not clear: {doubt}",
            where=where,
            found=f"{some(labels)}, which would come out as {' < '.join(order)}",
            allowed=ALLOWED,
            fix=_order_line(order),
        )
    label_at: dict[float, str] = {}
    for time, label in zip(times, labels, strict=True):
        other = label_at.setdefault(round(time, 9), label)
        if other != label:
            raise DataError(
                "two labels stand for the same day",
                where=where,
                found=some([other, label]),
                fix="write them the same way, or give data.day_order if they are different days",
            )
    units = {each.unit for each in read if not each.is_bare_zero}
    return order, "their units of time" if len(units) > 1 else "the number in each label"


def _against_numbers(order: list[str]) -> tuple[str, ...]:
    """Warn where an ordered categorical contradicts the numbers in its labels."""
    if any(numbers_in(label) != 1 for label in order):
        return ()
    times, doubt = days_of([read_label(label) for label in order])
    if doubt is not None or times == sorted(times):
        return ()
    by_time = [label for _, label in sorted(zip(times, order, strict=True))]
    return (
        f"the ordered categorical puts the days as {' < '.join(order)}, by their numbers they are "
        f"{' < '.join(by_time)}: the categorical was followed; the other order is "
        f"{setting('data.day_order', by_time)}",
    )


def _order_line(order: list[str]) -> str:
    return f"{setting('data.day_order', order)} in the right order"
