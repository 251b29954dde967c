"""The days of a screen: their labels, and on which of them a gene has cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fatebias import names
from fatebias.data.screen import Screen


@dataclass(frozen=True)
class Days:
    """Labels of D days, and the cells of L genes on them.

    Attributes
    ----------
    labels
        As the screen has them, in the order of time.
    cells
        Cells with a guide of the gene, (L, D); None where that is not known.
    least
        A gene is not called on a day with fewer cells.
    """

    labels: tuple[str, ...]
    cells: NDArray[np.int64] | None = None
    least: int = 1

    @property
    def unseen(self) -> NDArray[np.bool_] | None:
        """Days with too few cells, (L, D); None where there are none, or that is not known."""
        if self.cells is None or (self.cells >= self.least).all():
            return None
        return self.cells < self.least

    def at(self, genes: Sequence[int]) -> Days:
        """Return those of some genes."""
        return self if self.cells is None else replace(self, cells=self.cells[genes])

    def named(self, wanted: NDArray[np.bool_]) -> list[str]:
        """Return the labels of the days wanted, (L, D), one text a gene."""
        return [";".join(self.labels[d] for d in np.flatnonzero(each)) for each in wanted]

    def labelled(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return a table with labels in place of the numbers of its columns ``best_day`` and ``peak_day``."""
        labels = np.array(self.labels, dtype=object)
        numbered = [name for name in (names.BEST_DAY, names.PEAK_DAY) if name in table]
        return table.assign(**{name: labels[table[name].to_numpy(dtype=int)] for name in numbered})

    def note(self, genes: Sequence[str], most: int = 5) -> str | None:
        """Return which genes lack cells on which days; None where none does."""
        if self.unseen is None:
            return None
        lacking = np.flatnonzero(self.unseen.any(axis=1))
        told = [
            f"{genes[g]} on {', '.join(self.labels[d] for d in np.flatnonzero(self.unseen[g]))}"
            for g in lacking[:most]
        ]
        more = f" and {len(lacking) - most} more genes" if len(lacking) > most else ""
        few = "no cells" if self.least == 1 else f"fewer than {self.least} cells"
        return (
            f"{few}: {'; '.join(told)}{more}; their postmean there is what other days say, and they are not "
            "called there (lfsr 1, no_data in gene_calls.csv)"
        )


def gene_days(screen: Screen, least: int) -> Days:
    """Return the days of a screen with the cells of each gene."""
    return Days(screen.day_labels, screen.gene_cells(), least)


def plain_days(n_days: int) -> Days:
    """Return days that are known by their number alone."""
    return Days(tuple(f"d{d}" for d in range(n_days)))
