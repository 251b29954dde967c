"""Calls and their order: which genes are hits on any day, the surest first.

Also ``python -m fatebias.discovery.ranking --mash FILE --out FILE`` on any mash output that has ``lfsr_d*``.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fatebias import names
from fatebias.discovery.tables import count_days, day_values, read_table
from fatebias.errors import FatebiasError
from fatebias.files.atomic import atomic_path

Array = NDArray[np.float64]

LFSR_THRESHOLD = 0.05
CORRECTIONS = ("none", "bonferroni")
# What differs beyond these decimals, of a log lfsr or of |postmean/postsd|, differs by rounding.
DECIMALS = 9


@dataclass(frozen=True)
class CallRule:
    """What makes a call of a gene on a day."""

    lfsr: float = LFSR_THRESHOLD  # below this; under bonferroni below this over the number of days
    qvalue: float | None = None  # below this too (ashr); None for no such gate
    large: float | None = None  # plarge is at least this; None for no such gate
    anyday: str = "none"  # none or bonferroni: correction for the several days of a gene

    def threshold(self, n_days: int) -> float:
        """Return the lfsr that a day's own must be below."""
        return self.lfsr / n_days if self.anyday == "bonferroni" else self.lfsr

    def summary_line(self, n_days: int) -> str:
        """Return the rule as text, for the title of a picture."""
        parts = [f"lfsr < {self.threshold(n_days):g}"]
        parts += [f"q < {self.qvalue:g}"] if self.qvalue is not None else []
        parts += [f"P(large) ≥ {self.large:g}"] if self.large is not None else []
        return ", ".join(parts)


def active(table: pd.DataFrame, rule: CallRule, *, where: object = None) -> NDArray[np.bool_]:
    """Return the days on which each gene is called, (L, D); `where` is the file, for messages."""
    gates = [names.LFSR]
    gates += [names.QVALUE] if rule.qvalue is not None else []
    gates += [names.PLARGE] if rule.large is not None else []
    n_days = count_days(table, gates, where=where)
    called = _shares(table, names.LFSR, n_days, where) < rule.threshold(n_days)
    if rule.qvalue is not None:
        called &= _shares(table, names.QVALUE, n_days, where) < rule.qvalue
    if rule.large is not None:
        called &= _shares(table, names.PLARGE, n_days, where) >= rule.large
    return called


def with_calls(
    table: pd.DataFrame, rule: CallRule, *, log_lfsr: Array | None = None, where: object = None
) -> pd.DataFrame:
    """Return a copy with ``lfsr_min``, ``best_day`` and ``hit_anyday``, computed anew where they are there.

    The best day is the index of the least lfsr, among equals of the largest |postmean/postsd|, then the
    first; of a hit it is one on which it is called: under a gate the least lfsr of all may be on a day that
    is not. `log_lfsr`, (L, D), tells effects apart whose lfsr is too small for a number; without it the log
    of the table's ``lfsr_d*`` is taken.
    """
    called = active(table, rule, where=where)
    lfsr = _shares(table, names.LFSR, called.shape[1], where)
    evidence, strength = _evidence(table, log_lfsr, where)
    judged = np.where(called | ~called.any(axis=1, keepdims=True), evidence, np.inf)
    surest = judged == judged.min(axis=1, keepdims=True)
    return table.assign(
        **{
            names.LFSR_MIN: lfsr.min(axis=1),
            names.BEST_DAY: np.where(surest, strength, -1.0).argmax(axis=1),
            names.HIT_ANYDAY: called.any(axis=1),
        }
    )


def rank(
    table: pd.DataFrame, rule: CallRule, *, log_lfsr: Array | None = None, where: object = None
) -> pd.DataFrame:
    """Put hits first, then small ``lfsr_min``, then large |postmean/postsd| at the best day, then by name.

    Small is judged by `log_lfsr`, as in `with_calls`. Without ``postmean_d*`` and ``postsd_d*`` the third
    rule is left out.
    """
    called = with_calls(table, rule, log_lfsr=log_lfsr, where=where)
    evidence, strength = _evidence(called, log_lfsr, where)
    best = called[names.BEST_DAY].to_numpy()
    order = pd.DataFrame(
        {
            "miss": ~called[names.HIT_ANYDAY],
            "evidence": evidence.min(axis=1),
            "weakness": -strength[np.arange(len(called)), best],
            "gene": called[names.GENE].astype(str),
        }
    ).sort_values(["miss", "evidence", "weakness", "gene"], kind="stable")
    return called.loc[order.index].reset_index(drop=True)


def main(words: list[str] | None = None) -> int:
    """Rank a mash output from the command line; return the exit code."""
    parser = argparse.ArgumentParser(
        "python -m fatebias.discovery.ranking", description="Rank a mash output."
    )
    parser.add_argument("--mash", "--ash", required=True, type=Path, metavar="FILE", help="gene and lfsr_d*")
    parser.add_argument("--out", required=True, type=Path, metavar="FILE", help="CSV to write, hits first")
    parser.add_argument(
        "--threshold",
        type=_share,
        default=LFSR_THRESHOLD,
        metavar="X",
        help="lfsr of a hit is below it (0.05)",
    )
    parser.add_argument(
        "--qvalue-threshold", type=_share, metavar="X", help="in ashr output: its q value too (no such gate)"
    )
    parser.add_argument(
        "--prob-large-min", type=_share, metavar="X", help="its plarge must be at least this (no such gate)"
    )
    parser.add_argument(
        "--anyday-correction", choices=CORRECTIONS, default="none", help="of the lfsr, over days (none)"
    )
    asked = parser.parse_args(words)
    rule = CallRule(asked.threshold, asked.qvalue_threshold, asked.prob_large_min, asked.anyday_correction)
    try:
        table = read_table(asked.mash, fix="give the CSV that mash wrote: --mash FILE")
        ranked = rank(table, rule, where=asked.mash)
        with atomic_path(asked.out) as draft:
            ranked.to_csv(draft, index=False)
    except FatebiasError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{int(ranked[names.HIT_ANYDAY].sum())} hits among {len(ranked)} genes: {asked.out}")
    return 0


def _shares(table: pd.DataFrame, prefix: str, n_days: int, where: object) -> Array:
    def accept(values: Array) -> NDArray[np.bool_]:
        return (values >= 0) & (values <= 1)

    return day_values(table, prefix, n_days, where=where, allowed="numbers from 0 to 1", accept=accept)


def _share(word: str) -> float:
    value = float(word)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{word} is not between 0 and 1")
    return value


def _evidence(table: pd.DataFrame, log_lfsr: Array | None, where: object) -> tuple[Array, Array]:
    """Return log lfsr and |postmean/postsd| of each day, (L, D), rounded; without moments the second is 0."""
    n_days = count_days(table, [names.LFSR], where=where)
    if log_lfsr is None:
        with np.errstate(divide="ignore"):
            log_lfsr = np.log(_shares(table, names.LFSR, n_days, where))
    wanted = names.day_columns(names.POSTMEAN, n_days) + names.day_columns(names.POSTSD, n_days)
    if not set(wanted) <= set(table.columns):
        return log_lfsr.round(DECIMALS), np.zeros_like(log_lfsr)
    mean = day_values(table, names.POSTMEAN, n_days, where=where)
    sd = day_values(table, names.POSTSD, n_days, where=where)
    certain = np.where(mean == 0, 0.0, np.inf)  # an SD of 0 is an effect known exactly
    strength = np.divide(np.abs(mean), sd, out=certain, where=sd > 0)
    return log_lfsr.round(DECIMALS), strength.round(DECIMALS)


if __name__ == "__main__":
    sys.exit(main())
