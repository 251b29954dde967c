"""Replicates: labels of any type to codes, ordered by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fatebias.config import DataConfig
from fatebias.data.reading.labels import Levels, as_text, check_count, natural, reorder

if TYPE_CHECKING:
    import pandas as pd


def replicate_levels(column: pd.Series[Any], where: str, data: DataConfig) -> Levels:
    """Order replicates by name, numbers within names by value."""
    codes, labels, _ = as_text(column, where, data.meant_labels)
    order = sorted(labels, key=natural)
    check_count("R", "replicates", data.R, tuple(order), where)
    return Levels(reorder(codes, labels, order), tuple(order))
