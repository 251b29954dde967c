"""Labels of cells, such as day and replicate: columns of any type to codes and text, none missing."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fatebias.errors import DataError, some
from fatebias.pasted import setting

if TYPE_CHECKING:
    import pandas as pd

# More labels than any screen has days or replicates: the column means something else.
MOST_LABELS = 100
# How a missing value reads as text, whichever program wrote it: R, pandas, SQL, a spreadsheet, a form.
MISSING_TEXT = frozenset(
    {
        "",
        "na",
        "n/a",
        "#n/a",
        "<na>",
        "na_character_",
        "nan",
        "nat",
        "none",
        "null",
        "missing",
        "-",
        "--",
        ".",
        "?",
    }
)


@dataclass(frozen=True, eq=False)
class Levels:
    """A label of each cell as a code into ordered labels."""

    codes: NDArray[np.int32]  # (N,) 0..len(labels)-1
    labels: tuple[str, ...]  # in order, as text
    ordered_by: str = "name"  # what put them in this order
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def as_text(
    column: pd.Series[Any], where: str, meant: Collection[str] = ()
) -> tuple[NDArray[np.intp], list[str], list[str]]:
    """Code a column by its labels as text; return codes, labels and categories without a cell."""
    import pandas as pd

    codes, values = pd.factorize(column, use_na_sentinel=True)
    labels = [text(value) for value in np.asarray(values)]
    refuse_missing(codes, labels, where, meant)
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
    categories = [text(value) for value in getattr(getattr(column, "cat", None), "categories", ())]
    return codes, labels, [category for category in categories if category not in labels]


def refuse_missing(
    codes: NDArray[np.intp],
    labels: Sequence[str],
    where: str,
    meant: Collection[str] = (),
    what: str = "value",
    fix: str = "fill in the column or remove those cells",
) -> None:
    """Refuse cells without a label (a code below 0), and labels that mean missing unless they are `meant`."""
    missing = codes < 0
    as_label = [label for label in labels if means_missing(label) and label not in meant]
    for label in as_label:
        missing |= codes == labels.index(label)
    if not missing.any():
        return
    if as_label:
        fix += f"; where {some(as_label)} is a label of its own: {setting('data.meant_labels', as_label)}"
    written = f", written as {some(as_label)}" if as_label else ""
    raise DataError(
        f"{int(missing.sum())} of {missing.size} cells have no {what}",
        where=where,
        found=f"missing{written} in rows {some(np.flatnonzero(missing)[:5].tolist())}",
        allowed=f"a {what} for every cell",
        fix=fix,
    )


def means_missing(label: str) -> bool:
    """Whether a text means a missing value."""
    return label.strip().casefold() in MISSING_TEXT


def text(value: Any) -> str:
    """Return a label as text, whole numbers without a point."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return str(int(value))
    return str(value)


def natural(label: str) -> list[tuple[int, float, str]]:
    """Sort key: digits by value, the rest by letters."""
    parts = re.findall(r"\d+|\D+", label)
    return [(0, float(part), "") if part.isdigit() else (1, 0.0, part) for part in parts]


def by_name(column: pd.Series[Any], where: str, meant: Collection[str] = ()) -> Levels:
    """Return a column's labels in the order of names, numbers within names by value."""
    codes, labels, _ = as_text(column, where, meant)
    order = sorted(labels, key=natural)
    return Levels(reorder(codes, labels, order), tuple(order))


def reorder(codes: NDArray[np.intp], labels: list[str], order: list[str]) -> NDArray[np.int32]:
    """Return codes into `order` for codes into `labels`."""
    place = np.array([order.index(label) for label in labels], dtype=np.int32)
    return place[codes]


def check_count(key: str, what: str, wanted: int | None, labels: tuple[str, ...], where: str) -> None:
    """Compare the number of labels with the configured one."""
    if wanted is not None and wanted != len(labels):
        raise DataError(
            f"data.{key} is {wanted}, the screen has {len(labels)} {what}",
            where=where,
            found=labels,
            allowed=f"{wanted} {what}",
            fix=f"{setting(f'data.{key}', len(labels))}, or {setting(f'data.{key}', None)} to take it from "
            "the screen; if one is missing, check which cells it holds",
        )


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
