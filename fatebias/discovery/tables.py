"""Reading CSV tables as text, and numbers out of them with errors that name gene, column and value.

Text, because gene names such as ``NA``, ``1e5`` and ``007`` and an estimate's digits must leave as they came.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fatebias import names
from fatebias.errors import DiscoveryError, some

Array = NDArray[np.float64]


def read_table(path: Path, *, fix: str) -> pd.DataFrame:
    """Read a CSV of one row or more with all cells as text; `fix` is for the message if it cannot be read."""
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, na_filter=False)
    except FileNotFoundError as error:
        raise DiscoveryError("no such file", where=path, fix=fix) from error
    except (OSError, ValueError) as error:  # pandas' parser and decoding errors are ValueErrors
        raise DiscoveryError(
            f"{path.name} cannot be read as CSV", where=path, found=error, fix=fix
        ) from error
    if table.empty:
        raise DiscoveryError(f"{path.name} has no rows", where=path, found=list(table), fix=fix)
    return table


def count_days(table: pd.DataFrame, prefixes: list[str], *, where: object) -> int:
    """Count the days of a table with a column ``gene`` and ``PREFIX0`` to ``PREFIX{D-1}``.

    The first prefix says how many days there are; all must have every day.
    """
    numbered = re.compile(re.escape(prefixes[0]) + r"\d+")
    n_days = max(1, sum(numbered.fullmatch(str(column)) is not None for column in table.columns))
    wanted = [names.GENE] + [c for prefix in prefixes for c in names.day_columns(prefix, n_days)]
    absent = [column for column in wanted if column not in table.columns]
    if absent:
        raise DiscoveryError(
            f"columns are missing: {some(absent)}",
            where=where,
            found=[str(column) for column in table.columns],
            allowed=f"{names.GENE} and, for each day, {', '.join(f'{p}0, {p}1, ...' for p in prefixes)}",
        )
    return n_days


def day_values(
    table: pd.DataFrame,
    prefix: str,
    n_days: int,
    *,
    where: object,
    allowed: str = "finite numbers",
    accept: Callable[[Array], NDArray[np.bool_]] = np.isfinite,
    fix: str | None = None,
) -> Array:
    """Read one quantity over days, (L, D), from text or numbers.

    `accept` must refuse NaN, which text that is no number becomes; an error names gene, column and value.
    """
    columns = names.day_columns(prefix, n_days)
    values = np.column_stack([[_number(cell) for cell in table[column]] for column in columns])
    bad = np.argwhere(~accept(values))
    if len(bad):
        cells = [f"{table[names.GENE].iloc[i]} {columns[d]}={table[columns[d]].iloc[i]}" for i, d in bad]
        what = f"{len(bad)} value(s) of {prefix}* cannot be used"
        raise DiscoveryError(what, where=where, found=some(cells), allowed=allowed, fix=fix)
    return values


def _number(cell: object) -> float:
    try:
        return float(cell)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return float("nan")
