"""Reading back the tables that a run wrote, to the very bits."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fatebias import names

if TYPE_CHECKING:
    import pandas as pd

DAYS = (names.BEST_DAY, names.PEAK_DAY, names.ACTIVE_DAYS, names.FLIP_DAYS, names.NO_DATA)
TEXT = (names.GENE, names.GUIDE, *DAYS)
TRUTH = {"True": True, "False": False}


def read_table(path: Path) -> pd.DataFrame:
    """Read a table of a run: names and days as text (a gene may be called NA), numbers, true and false."""
    import pandas as pd

    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    return table.assign(**{str(c): _values(table[c]) for c in table if c not in TEXT})


def _values(cells: pd.Series) -> pd.Series:
    import pandas as pd

    if len(cells) and cells.isin(list(TRUTH)).all():
        return cells.map(TRUTH).astype(bool)
    try:
        # from text to number by Python's float, which reads back the very bits that were written
        numbers = pd.to_numeric(cells.map(lambda cell: float(cell) if cell else float("nan")))
    except ValueError:
        return cells
    return numbers.astype("int64") if cells.str.fullmatch(r"-?\d+").all() else numbers
