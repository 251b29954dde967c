"""Guides of cells as a matrix, wherever they were found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


@dataclass(frozen=True, eq=False)
class GuideMatrix:
    """What cells hold of each guide column."""

    matrix: csr_matrix  # (N, guide columns) duplicates summed
    where: str  # where it was found, for messages
    columns: tuple[Any, ...]  # names of the guide columns as found
    columns_from: str  # where these names were found
    called: bool = False  # the guides are calls, whatever their counts
    notes: tuple[str, ...] = ()
