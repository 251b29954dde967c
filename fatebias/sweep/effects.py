"""What the priors and the likelihood weight of a sweep did, gene by gene and on the whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from fatebias import names
from fatebias.report.charts.sweep import against, by_weight
from fatebias.report.content import Chart, Section, Table
from fatebias.report.text import DASH, lfsr, listed, plain, signed
from fatebias.sweep.settled import DEFAULT, PRIORS, Setting
from fatebias.tracking.describe import WEIGHT

if TYPE_CHECKING:
    import pandas as pd

GAINED, LOST, TURNED = "gained", "lost", "turned"


def prior_section(done: Sequence[Setting]) -> Section | None:
    """Return each prior beside the default one, other settings equal; None without such pairs."""
    pairs = list(_pairs(done))
    if not pairs:
        return None
    charts, summary, genes = [], [], []
    for base, other in pairs:
        table = _beside(base, other)
        changed = dict(zip(table[names.GENE], table["what"], strict=True))
        changed = {gene: what for gene, what in changed.items() if what}
        charts.append(
            against(
                f"{other.label} against {base.label.partition(' ')[0]}",
                list(table[names.GENE]), list(table["base"]), list(table["other"]), changed,
            )
        )  # fmt: skip
        summary.append(_in_short(base, other, table))
        genes += _changed_rows(base, other, table)
    return Section(
        "priors",
        "Priors",
        "What a prior other than the default one changes, all other settings equal. Where little changes, "
        "the data decide and not the prior.",
        charts=(
            Chart(
                "Effects under two priors",
                "Each point is a gene: its effect on the day that is surest under the default prior, in logits. "
                "Orange: a call came, blue: one went or its direction turned. On the line nothing changed.",
                tuple(charts),
            ),
        ),
        tables=(
            Table(
                "In short",
                (
                    "setting",
                    "default",
                    "hits",
                    "under the default",
                    GAINED,
                    LOST,
                    "median change of hits, logit",
                ),
                tuple(summary),
            ),
            Table(
                "Gene by gene: calls that came, went or turned",
                ("gene", "setting", "what", "default, logit", "here, logit", "default, lfsr", "here, lfsr"),
                tuple(genes),
                "" if genes else "None: the priors make the same calls.",
            ),
        ),
    )


def weight_section(done: Sequence[Setting]) -> Section | None:
    """Return what runs of different weights have in common else; None without two weights."""
    groups: dict[tuple[tuple[str, str], ...], list[Setting]] = {}
    for each in done:
        if each.weight is not None:
            groups.setdefault(each.beside(WEIGHT), []).append(each)
    groups = {key: found for key, found in groups.items() if len({each.weight for each in found}) > 1}
    if not groups:
        return None
    differing = {pair for key in groups for pair in key} - set.intersection(*map(set[tuple[str, str]], groups))
    charts, rows = [], []
    for key, found in groups.items():
        title = " ".join(f"{name}={value}" for name, value in key if (name, value) in differing) or "hits"
        found.sort(key=lambda each: each.weight or 0.0)
        charts.append(
            by_weight(
                title, "hits", [(each.weight or 0.0, float(each.hits or 0), each.label) for each in found]
            )
        )
        rows += [_of_weight(title, each) for each in found]
    return Section(
        "weight",
        "Likelihood weight",
        "The weight is how many independent observations one cell's soft label counts for. A larger one makes "
        "every error smaller and so more calls; whether they hold is for the controls and the held-out score to "
        "say. The loss grows with it, so that losses of different weights do not tell which fits better.",
        charts=(Chart("Hits by weight", "One panel for each of the other settings.", tuple(charts)),),
        tables=(
            Table(
                "By weight",
                (
                    "settings",
                    "weight",
                    "hits",
                    "calls",
                    "expected false",
                    "median SD, logit",
                    "median effect, logit",
                ),
                tuple(rows),
                "SD: of the posterior after sharing between days. Effect: its size. Both over genes, on each "
                "gene's surest day.",
            ),
        ),
    )


def _pairs(done: Sequence[Setting]) -> Iterator[tuple[Setting, Setting]]:
    """Yield each run of another prior after the run of the default prior with the same other settings."""
    bases = {each.beside(PRIORS): each for each in done if each.priors == DEFAULT}
    for each in done:
        base = bases.get(each.beside(PRIORS))
        if base is not None and each.priors != DEFAULT:
            yield base, each


def _beside(base: Setting, other: Setting) -> pd.DataFrame:
    """Return both runs' effects and lfsr on the day that is surest in `base`, and what became of the call."""
    import pandas as pd

    assert base.ranking is not None
    assert other.ranking is not None
    both = base.ranking.merge(other.ranking, on=names.GENE, suffixes=("_base", "_other"))
    days = both[f"{names.BEST_DAY}_base"].to_numpy(dtype=int)
    found: dict[str, object] = {names.GENE: both[names.GENE]}
    for side in ("base", "other"):
        for column, prefix in ((side, names.POSTMEAN), (f"{side}_lfsr", names.LFSR)):
            found[column] = [float(both[f"{prefix}{day}_{side}"].iloc[row]) for row, day in enumerate(days)]
        found[f"{side}_hit"] = both[f"{names.HIT_ANYDAY}_{side}"].astype(bool)
    table = pd.DataFrame(found)
    turned = table["base_hit"] & table["other_hit"] & (table["base"] * table["other"] < 0)
    table["what"] = np.select(
        [turned, table["other_hit"] & ~table["base_hit"], table["base_hit"] & ~table["other_hit"]],
        [TURNED, GAINED, LOST],
        "",
    )
    return table


def _in_short(base: Setting, other: Setting, table: pd.DataFrame) -> tuple[str, ...]:
    either = table[table["base_hit"] | table["other_hit"]]
    change = (either["other"].abs() - either["base"].abs()).median()
    named = {what: list(table[names.GENE][table["what"] == what]) for what in (GAINED, LOST)}
    return (
        other.label,
        base.label.partition(" ")[0],
        str(other.hits),
        str(base.hits),
        *(listed(genes) or DASH for genes in named.values()),
        signed(float(change)),
    )


def _changed_rows(base: Setting, other: Setting, table: pd.DataFrame) -> list[tuple[str, ...]]:
    found = table[table["what"] != ""].sort_values(["what", names.GENE])
    return [
        (
            str(row[names.GENE]), other.label, str(row["what"]), signed(row["base"]), signed(row["other"]),
            lfsr(row["base_lfsr"]), lfsr(row["other_lfsr"]),
        )
        for row in found.to_dict("records")
    ]  # fmt: skip


def _of_weight(title: str, setting: Setting) -> tuple[str, ...]:
    assert setting.ranking is not None
    days = setting.ranking[names.BEST_DAY].to_numpy(dtype=int)

    def median(prefix: str) -> str:
        values = [abs(float(setting.ranking[f"{prefix}{day}"].iloc[row])) for row, day in enumerate(days)]  # type: ignore[index]
        return plain(float(np.median(values)))

    figures = [setting.figures.get(name) for name in ("calls", "expected_false")]
    return (
        title,
        plain(setting.weight),
        str(setting.hits),
        *(DASH if value is None else plain(float(value)) for value in figures),
        median(names.POSTSD) if f"{names.POSTSD}0" in setting.ranking else DASH,
        median(names.POSTMEAN),
    )
