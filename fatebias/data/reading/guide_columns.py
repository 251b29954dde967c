"""Names of the guide columns, checked, and the guides that each column names."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from fatebias.data.reading.raw import RawScreen
from fatebias.errors import DataError, some

# Signs between the guides in one name. "|" (Cell Ranger) and " || " (CELLxGENE) separate guides where the map
# has one of them, the others where it has all.
SURE = re.compile(r"\s*\|+\s*")
BETWEEN = re.compile(r"\s*(?:\|+|[;,+])\s*")


def column_names(raw: RawScreen) -> list[str]:
    """Return the names of the guide columns; none is missing, padded or repeated."""
    where = f"{raw.guides_at}, names from {raw.guide_columns_from}"
    count = raw.guides.shape[1]
    if len(raw.guide_columns) != count:
        raise DataError(
            f"{len(raw.guide_columns)} guide names for {count} guide columns",
            where=where,
            found=some(raw.guide_columns, 5),
            allowed="one name a column",
            fix=f"write the names of the columns, in their order, to {raw.guide_columns_from}",
        )
    missing = [i for i, name in enumerate(raw.guide_columns) if _is_missing(name)]
    if missing:
        raise DataError(
            f"{len(missing)} guide columns have no name",
            where=where,
            found=f"columns {some(missing)} (counted from 0)",
            allowed="a name for every column",
            fix="name these columns, or remove them from the matrix",
        )
    columns = [str(name) for name in raw.guide_columns]
    padded = [name for name in columns if name != name.strip()]
    if padded:
        matching = sum(name.strip() in raw.guide_map.gene_of for name in padded)
        raise DataError(
            f"{len(padded)} guide names begin or end with spaces",
            where=where,
            found=some(padded),
            fix=f"strip the names: stripping would match {matching} of {len(padded)}",
        )
    twice = sorted({name for name, times in Counter(columns).items() if times > 1})
    if twice:
        raise DataError(
            "guide columns share a name",
            where=where,
            found=some(twice),
            allowed="each guide once",
            fix="sum or remove the repeated columns",
        )
    return columns


def _is_missing(name: Any) -> bool:
    return name is None or name != name or not str(name).strip() or str(name) in ("nan", "<NA>")


def split_columns(
    present: csr_matrix, columns: list[str], known: dict[str, str]
) -> tuple[csr_matrix, list[str], list[str]]:
    """Return what cells hold by guide, (N, guides), the guides' names, and a note.

    A column named ``A|B``, which text calls turned into columns give, counts for both guides.
    """
    parts = [_guides_in(name, known) for name in columns]
    several = [name for name, guides in zip(columns, parts, strict=True) if len(guides) > 1]
    if not several:
        return present, columns, []
    names = list(dict.fromkeys(guide for guides in parts for guide in guides))
    number = {guide: i for i, guide in enumerate(names)}
    column = np.repeat(np.arange(len(columns)), [len(guides) for guides in parts])
    guide = np.array([number[each] for guides in parts for each in guides])
    named = csr_matrix((np.ones(len(column)), (column, guide)), shape=(len(columns), len(names)))
    note = f"{len(several)} guide columns name several guides, each of which counts: {some(several, 3)}"
    return csr_matrix((present @ named) > 0, dtype=np.int32), names, [note]


def _guides_in(name: str, known: dict[str, str]) -> list[str]:
    """Return the guides that a column names: the name itself where the map has it."""
    if name in known:
        return [name]
    parts = list(dict.fromkeys(filter(None, SURE.split(name))))
    if len(parts) > 1 and any(part in known for part in parts):
        return parts
    parts = list(dict.fromkeys(filter(None, BETWEEN.split(name))))
    return parts if len(parts) > 1 and all(part in known for part in parts) else [name]
