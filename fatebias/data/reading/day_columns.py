"""Which column of obs may hold the day, where the one that was asked for is absent."""

from __future__ import annotations

import re
from collections.abc import Sequence

from fatebias.data.reading.confounding import BATCHES
from fatebias.data.reading.day_labels import LETTERS, PLAIN, WORDS, days_of, numbers_in, read_label
from fatebias.data.reading.elements import as_series
from fatebias.data.reading.labels import MOST_LABELS
from fatebias.data.reading.replicate import REPLICATES
from fatebias.data.reading.stores import Store
from fatebias.errors import DataError
from fatebias.pasted import choice

TIMES = {
    "day",
    "days",
    "time",
    "times",
    "timepoint",
    "timepoints",
    "stage",
    "age",
    "hpf",
    "dpf",
    "dpi",
    "hpi",
}
PARTS_OF_OTHERS = (*REPLICATES, *BATCHES, "plate", "patient", "well")
EMBRYONIC = re.compile(r"[ed]\d+(?:\.\d+)?", re.IGNORECASE)  # E8.5


def day_fix(store: Store, asked: str) -> str:
    """Return the setting that names the day: of the columns that look most like time, the likeliest."""
    likeness = {key: _likeness(store, key) for key in store.keys("obs")}
    most = max(likeness.values(), default=0)
    if most == 0:
        return "data.day_key=COLUMN, with the obs column that holds the day of each cell"
    return choice("data.day_key", [key for key, found in likeness.items() if found == most], asked)


def _likeness(store: Store, key: str) -> int:
    """Return how much a column looks like time by its name and labels; 0 where not at all."""
    words = set(re.findall(r"[a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", key).casefold()))
    named = bool(words & TIMES)
    if not named and any(part in key.casefold() for part in PARTS_OF_OTHERS):
        return 0
    labels = _labels(store, key)
    if not labels or any(numbers_in(label) != 1 for label in labels):
        return 2 if named and labels else 0
    if named:
        return 3
    in_units = words & {*WORDS, *LETTERS} and all(PLAIN.fullmatch(label) for label in labels)
    return 1 if in_units or _are_times(labels) else 0


def _are_times(labels: Sequence[str]) -> bool:
    """Whether labels that hold one number each have a unit of time, or are days of an embryo."""
    read = [read_label(label) for label in labels]
    with_units = any(each.unit for each in read) and all(each.unit or each.is_bare_zero for each in read)
    return (with_units and days_of(read)[1] is None) or all(map(EMBRYONIC.fullmatch, labels))


def _labels(store: Store, key: str) -> list[str]:
    """Return the labels of a column; none where it has more than days would, or cannot be read."""
    try:
        labels = as_series(store.value("obs", key)).dropna().unique()
    except (DataError, TypeError, ValueError):
        return []
    return [str(label) for label in labels] if len(labels) <= MOST_LABELS else []
