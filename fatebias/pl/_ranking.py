"""What pictures of a ranking share: the table with its labels, and the scales of certainty and direction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from fatebias.discovery.ranking import CallRule

Array = NDArray[np.float64]

UP, DOWN, MISS = "#c44601", "#0b5fa5", "#9aa3ad"  # vermilion and blue: told apart by all eyes
FEWEST_GENES = 10  # in a picture of hits, however few there are
LEAST_LFSR = 1e-300  # smaller ones are not told apart by a double's digits
LFSR_LEVELS = (0.5, 0.05, 1e-3, 1e-6, 1e-10, 1e-30, 1e-100, 1e-300)


@dataclass(frozen=True, eq=False)
class Ranking:
    """A ranked table, L genes by D days, and how its pictures are labelled."""

    table: pd.DataFrame
    day_labels: Sequence[str]
    contrast: tuple[str | None, str | None]
    rule: CallRule
    rule_text: str

    @property
    def n_days(self) -> int:
        """D."""
        return len(self.day_labels)

    def values(self, prefix: str) -> Array:
        """Return the columns of one quantity over days, (L, D)."""
        from fatebias import names

        return self.table[names.day_columns(prefix, self.n_days)].to_numpy(dtype=float)

    def called(self) -> NDArray[np.bool_]:
        """Return the days on which each gene is called, (L, D)."""
        from fatebias.discovery.ranking import active

        return active(self.table, self.rule)

    def best_day(self) -> NDArray[np.int64]:
        """Return the number of each gene's surest day, (L,)."""
        from fatebias import names

        labels = [str(label) for label in self.day_labels]
        return np.array([names.day_number(day, labels) for day in self.table[names.BEST_DAY]], dtype=np.int64)

    def head(self, most: int) -> Ranking:
        """Return the first genes alone."""
        return Ranking(self.table.head(most), self.day_labels, self.contrast, self.rule, self.rule_text)

    def of(self, genes: Sequence[str]) -> Ranking:
        """Return the genes named, in that order; raises ValueError for one that is not in the ranking."""
        from fatebias import names

        place = {str(gene): g for g, gene in enumerate(self.table[names.GENE])}
        if unknown := [gene for gene in genes if gene not in place]:
            raise ValueError(f"the ranking has no gene {unknown[0]!r}")
        table = self.table.iloc[[place[gene] for gene in genes]]
        return Ranking(table, self.day_labels, self.contrast, self.rule, self.rule_text)

    def first_hits(self, most: int) -> Ranking:
        """Return the first hits alone, or the first ten genes where fewer are hits."""
        from fatebias import names

        return self.head(min(most, max(int(self.table[names.HIT_ANYDAY].sum()), FEWEST_GENES)))

    def effect_label(self) -> str:
        """Return what an axis of effects says, long names on lines of their own."""
        from fatebias.pl.save import LINE, two_fates

        fate, other = self.contrast
        if not fate:
            return "effect, logit"
        words = two_fates(fate, str(other))
        return ("effect, logit " if len(words) + 14 <= LINE else "effect, logit\n") + words


def ranking(
    hits: Any,
    what: str,
    *,
    day_labels: Sequence[str] | None = None,
    contrast: tuple[str | None, str | None] | None = None,
    rule: CallRule | None = None,
    rule_text: str | None = None,
) -> Ranking:
    """Return the ranking in a table, or in a result that has one; keywords win over the result's attributes.

    Raises TypeError, with the name of the picture `what`, for anything else.
    """
    from fatebias import names
    from fatebias.discovery.ranking import CallRule

    table: pd.DataFrame = getattr(hits, "ranked", getattr(hits, "table", hits))
    if not hasattr(table, "columns"):
        raise TypeError(
            f"{what} takes a ranking, not {type(hits).__name__}: "
            f"fatebias.pl.{what}(fatebias.discover(fit)), or a table such as hits_ranked.csv"
        )
    n_days = sum(str(column).startswith(names.LFSR) for column in table.columns)
    labels = day_labels or getattr(hits, "day_labels", None) or [f"d{d}" for d in range(n_days)]
    rule = rule or getattr(hits, "rule", None) or CallRule()
    text = rule_text or getattr(hits, "rule_text", None) or rule.summary_line(n_days)
    return Ranking(table, labels, contrast or getattr(hits, "contrast", None) or (None, None), rule, text)


def sureness(lfsr: ArrayLike) -> Array:
    """Spread lfsr so that 0.05, 1e-10 and 1e-100 are all told apart: log(1 - log10 lfsr)."""
    return np.log1p(-np.log10(np.clip(np.asarray(lfsr, dtype=float), LEAST_LFSR / 10, 1)))


def lfsr_ticks(ax: Axes, least: float) -> None:
    """Label a y axis of `sureness` with lfsr, the surest on top."""
    shown = [level for level in LFSR_LEVELS if level >= least] or [LFSR_LEVELS[0]]
    ax.set_yticks(sureness(shown), [f"{level:g}" for level in shown])
    ax.set_ylabel("lfsr (surer upwards)")
