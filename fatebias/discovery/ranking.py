"""Calls and their order: which genes are hits on any day, the surest first.

Also ``python -m fatebias.discovery.ranking --mash FILE --out FILE`` on any mash output that has ``lfsr_d*``.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fatebias import names
from fatebias.artifacts import atomic_path
from fatebias.discovery.tables import count_days, numbers, read_table
from fatebias.errors import FatebiasError

Array = NDArray[np.float64]

LFSR_THRESHOLD = 0.05


def with_calls(
    table: pd.DataFrame, threshold: float, qvalue_threshold: float | None = None, *, where: object = None
) -> pd.DataFrame:
    """Add ``lfsr_min``, ``best_day`` (its index, the first of equals) and ``hit_anyday``.

    Parameters
    ----------
    table
        ``gene`` and ``lfsr_d*``; ``qvalue_d*`` where `qvalue_threshold` is given. Such columns that are there
        already are computed anew.
    threshold
        A day is a hit where its lfsr is below this.
    qvalue_threshold
        Its q value must be below this too; None for no such gate.
    where
        The file, for messages.

    Returns
    -------
    DataFrame
        A copy, rows as they were.

    Raises
    ------
    DiscoveryError
        When columns are absent, or an lfsr or q value is not within [0, 1].
    """
    n_days = count_days(table, [names.LFSR], where=where)
    lfsr = _shares(table, names.LFSR, n_days, where)
    called = lfsr < threshold
    if qvalue_threshold is not None:
        count_days(table, [names.LFSR, names.QVALUE], where=where)
        called &= _shares(table, names.QVALUE, n_days, where) < qvalue_threshold
    return table.assign(
        **{
            names.LFSR_MIN: lfsr.min(axis=1),
            names.BEST_DAY: lfsr.argmin(axis=1),
            names.HIT_ANYDAY: called.any(axis=1),
        }
    )


def rank(
    table: pd.DataFrame, threshold: float, qvalue_threshold: float | None = None, *, where: object = None
) -> pd.DataFrame:
    """Put hits first, then small ``lfsr_min``, then large |postmean/postsd| at the best day, then by name.

    Parameters
    ----------
    table
        Any mash output with ``gene`` and ``lfsr_d*``. Without ``postmean_d*`` and ``postsd_d*`` the third
        rule is left out.
    threshold, qvalue_threshold, where
        As in `with_calls`.

    Returns
    -------
    DataFrame
        All columns of `table` and those of `with_calls`, rows in order, index 0 to L-1.

    Raises
    ------
    DiscoveryError
        As `with_calls`, and when a posterior mean or SD is not a finite number.
    """
    called = with_calls(table, threshold, qvalue_threshold, where=where)
    order = pd.DataFrame(
        {
            "miss": ~called[names.HIT_ANYDAY],
            "lfsr": called[names.LFSR_MIN],
            "weakness": -_strength(called, where),
            "gene": called[names.GENE].astype(str),
        }
    ).sort_values(["miss", "lfsr", "weakness", "gene"], kind="stable")
    return called.loc[order.index].reset_index(drop=True)


def main(words: list[str] | None = None) -> int:
    """Rank a mash output from the command line.

    Parameters
    ----------
    words
        Arguments; None for those of the process.

    Returns
    -------
    int
        Exit code, 0 or 1.
    """
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
    asked = parser.parse_args(words)
    try:
        table = read_table(asked.mash, fix="give the CSV that mash wrote: --mash FILE")
        ranked = rank(table, asked.threshold, asked.qvalue_threshold, where=asked.mash)
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

    return numbers(table, prefix, n_days, where=where, allowed="numbers from 0 to 1", accept=accept)


def _share(word: str) -> float:
    value = float(word)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{word} is not between 0 and 1")
    return value


def _strength(called: pd.DataFrame, where: object) -> Array:
    """Give |postmean/postsd| at each gene's best day; zeros where the table has no posterior."""
    n_days = count_days(called, [names.LFSR], where=where)
    wanted = names.day_columns(names.POSTMEAN, n_days) + names.day_columns(names.POSTSD, n_days)
    if not set(wanted) <= set(called.columns):
        return np.zeros(len(called))
    best = called[names.BEST_DAY].to_numpy()[:, None]
    mean, sd = (
        np.take_along_axis(numbers(called, prefix, n_days, where=where), best, axis=1)[:, 0]
        for prefix in (names.POSTMEAN, names.POSTSD)
    )
    certain = np.where(mean == 0, 0.0, np.inf)  # an SD of 0 is an effect known exactly
    return np.divide(np.abs(mean), sd, out=certain, where=sd > 0)


if __name__ == "__main__":
    sys.exit(main())
