"""Tables of refits: with shuffled guides, with other cells, by replicate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fatebias.report.content import Table
from fatebias.report.text import DASH, count, plain

if TYPE_CHECKING:
    import pandas as pd

FIGURES = (
    ("hits", "hits of the screen"),
    ("hits_in_shuffles", "of a shuffle"),
    ("most_in_shuffles", "at most"),
    ("fdr", "share false"),
    ("hits_in_shuffles_held", "of a shuffle, held"),
    ("fdr_held", "share false, held"),
)
USUAL = 0.05  # lfsr below which most runs call
SHARES = ("fdr", "fdr_held")


def shuffle_table(found: pd.DataFrame | None) -> Table | None:
    """Return the rows of ``permutation_fdr.csv`` with how to read them; None where there are none."""
    if found is None or not len(found):
        return None
    apart = found["settings"].nunique() > 1
    rows = tuple(
        (
            *([str(row["settings"])] if apart else []),
            plain(row["lfsr"]),
            *(_figure(name, row[name]) for name, _ in FIGURES),
        )
        for row in found.to_dict("records")
    )
    shuffles = sorted(set(found["shuffles"]))
    times = " or ".join(map(str, shuffles))
    return Table(
        "Hits when guides are shuffled",
        (*(["settings"] if apart else []), "lfsr below", *(title for _, title in FIGURES)),
        rows,
        f"Guides were shuffled among the cells of a day and replicate, {times} "
        f"{'time' if shuffles == [1] else 'times'}: every hit of a shuffle is false. Of a shuffle: the mean; "
        "at most: of any one. Share false: those of a shuffle over those of the screen; it should be no "
        "larger than the lfsr of its row. Held: the shuffles are judged as the screen was, with the mixture "
        "fitted to it. Trust these, since by itself a shuffle calls less.",
    )


def shuffle_verdict(found: pd.DataFrame | None) -> str | None:
    """Say how many hits come out of nothing; None without shuffles, or with those of several settings."""
    rows = [] if found is None else found[found["lfsr"] == USUAL].to_dict("records")
    if len(rows) != 1:
        return None
    (row,) = rows
    hits, share = int(row["hits"]), row["fdr_held"]
    shuffles, have = count(int(row["shuffles"]), "shuffle"), "has" if row["shuffles"] == 1 else "have"
    said = f"{count(hits, 'hit')} at an lfsr below {USUAL:g}; {shuffles} of the guides {have} "
    said += f"{plain(row['hits_in_shuffles_held'])} on average"
    return f"{said}: {share:.0%} of the hits may be false." if share and share > 0 else f"{said}."


def _figure(name: str, value: float | None) -> str:
    if value is None or value != value:
        return DASH
    return f"{value:.1%}" if name in SHARES else plain(value)


def refit_table(resampled: Mapping[str, Mapping[str, Any]]) -> Table | None:
    """Return how labels scatter between refits, by bootstrap and jackknife; None without either."""
    rows = tuple(
        (
            name,
            f"{resampled[name]['units']:,} {resampled[name]['unit']}",
            f"{resampled[name]['refits']:,}",
            plain(resampled[name]["variance_ratio"], 2),
            f"{resampled[name]['called']:,}" if "called" in resampled[name] else DASH,
        )
        for name in ("bootstrap", "jackknife")
        if name in resampled
    )
    if not rows:
        return None
    return Table(
        "Refits with other cells",
        ("way", "of", "refits", "variance of labels over the model’s", "genes called"),
        rows,
        "How far estimates move when cells are drawn anew (bootstrap) or left out in turn (jackknife). A "
        "variance near 1 is what standard errors count on; well above 1 they are too small, and calls may be "
        "false; far below they are too large. Genes called: with the errors of the bootstrap in place of "
        "those of the fit.",
    )


def apart_table(resampled: Mapping[str, Mapping[str, Any]]) -> Table | None:
    """Return how far replicates agree that were fitted apart; None where they were not compared."""
    found = resampled.get("concordance")
    if not found or found.get("correlation") is None:
        return None
    clear = found.get("sign_agreement_clear")
    row = (
        f"{found['correlation']:.2f}",
        f"{found['sign_agreement']:.0%}",
        DASH if clear is None else f"{clear:.0%} of {found['n_clear']:.0f}",
        plain(found["difference_ratio"], 2),
    )
    return Table(
        "Replicates fitted apart",
        (
            "correlation",
            "same direction",
            "same direction, clear effects",
            "variance of differences over the model’s",
        ),
        (row,),
        "Each replicate was fitted by itself. Clear effects are 3 SDs and more from zero in the whole "
        "screen: nearly all should have the same direction. A variance near 1 says that replicates differ "
        "by the scatter of labels alone.",
    )
