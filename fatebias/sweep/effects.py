"""What the priors and the likelihood weight of a sweep did, gene by gene and on the whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from fatebias import names
from fatebias.report.charts.sweep import GAINED, against, hits_by_weight
from fatebias.report.content import Chart, Section, Table
from fatebias.report.text import DASH, lfsr, listed, plain, signed
from fatebias.sweep.settled import DEFAULT, PRIORS, Setting
from fatebias.tracking.describe import WEIGHT

if TYPE_CHECKING:
    import pandas as pd
    from markupsafe import Markup

LOST, TURNED = "lost", "turned"
MOST_ROWS = 200


def prior_section(done: Sequence[Setting]) -> Section | None:
    """Return each prior beside the default one, other settings equal; None without such pairs."""
    pairs = [(base, other, _beside(base, other)) for base, other in _pairs(done)]
    if not pairs:
        return None
    limit = 1.05 * max(
        0.1, *(float(np.abs(table[["base", "other"]].to_numpy()).max(initial=0)) for *_, table in pairs)
    )
    rows = sorted((each for pair in pairs for each in _gene_rows(*pair)), key=lambda each: -each[0])
    more = f" The {MOST_ROWS} largest differences of {len(rows):,}." if len(rows) > MOST_ROWS else ""
    return Section(
        "priors",
        "Priors",
        "What a prior other than the default one changes, all other settings equal. Where little changes, "
        "the data decide and not the prior.",
        charts=(
            Chart(
                "Effects under two priors",
                "Each point is a gene: its effect in logits, on the day that is surest under the default "
                "prior. Orange: a call came, blue: one went or its direction turned. On the line nothing "
                "changed. The same scale in all panels.",
                tuple(_chart(*pair, limit) for pair in pairs),
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
                    TURNED,
                    "median change of size",
                ),
                tuple(_in_short(*pair) for pair in pairs),
                "Change of size: of the effects of genes that are hits under either prior, in logits; above "
                "zero they are larger than under the default.",
            ),
            Table(
                "Gene by gene",
                ("gene", "setting", "call", "default", "here", "difference", "lfsr, default", "lfsr, here"),
                tuple(row for _, row in rows[:MOST_ROWS]),
                "Genes that are hits under either prior, the largest difference first. Effects in logits on "
                f"the day that is surest under the default prior.{more}",
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
    pairs = [pair for key in groups for pair in key]
    differing = {pair for pair in pairs if pairs.count(pair) < len(groups)}
    most = max(each.hits or 0 for found in groups.values() for each in found)
    charts, rows = [], []
    for key, found in groups.items():
        title = " ".join(f"{name}={value}" for name, value in key if (name, value) in differing) or "hits"
        found.sort(key=lambda each: each.weight or 0.0)
        points = [(each.weight or 0.0, each.hits or 0, each.label) for each in found]
        charts.append(hits_by_weight(title, points, most=most))
        rows += [_of_weight(title, each) for each in found]
    return Section(
        "weight",
        "Likelihood weight",
        "The weight is how many independent observations one cell's soft label counts for. A larger one "
        "makes every error smaller and so more calls; whether they hold is for the controls and the held-out "
        "score to say. The loss grows with it, so that losses of different weights do not tell which fits "
        "better.",
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
    named = {what: list(table[names.GENE][table["what"] == what]) for what in (GAINED, LOST, TURNED)}
    return (
        other.label,
        base.label.partition(" ")[0],
        str(other.hits),
        str(base.hits),
        *(listed(genes) or DASH for genes in named.values()),
        signed(float(change)),
    )


def _gene_rows(base: Setting, other: Setting, table: pd.DataFrame) -> Iterator[tuple[float, tuple[str, ...]]]:
    """Yield the size of the difference and the row of each gene that is a hit under either prior."""
    for row in table[table["base_hit"] | table["other_hit"]].to_dict("records"):
        difference = float(row["other"] - row["base"])
        effects = (signed(row["base"]), signed(row["other"]), signed(difference))
        yield (
            abs(difference),
            (
                str(row[names.GENE]),
                other.label,
                str(row["what"]) or "both",
                *effects,
                lfsr(row["base_lfsr"]),
                lfsr(row["other_lfsr"]),
            ),
        )


def _chart(base: Setting, other: Setting, table: pd.DataFrame, limit: float) -> Markup:
    calls = zip(table[names.GENE], table["what"], strict=True)
    title = f"#{other.number} {other.priors} against #{base.number}"
    changed = {gene: what for gene, what in calls if what}
    return against(
        title, list(table[names.GENE]), list(table["base"]), list(table["other"]), changed, limit=limit
    )


def _of_weight(title: str, setting: Setting) -> tuple[str, ...]:
    ranking = setting.ranking
    assert ranking is not None
    days = ranking[names.BEST_DAY].to_numpy(dtype=int)

    def median(prefix: str) -> str:
        values = [abs(float(ranking[f"{prefix}{day}"].iloc[row])) for row, day in enumerate(days)]
        return plain(float(np.median(values)))

    figures = [setting.figures.get(name) for name in ("calls", "expected_false")]
    return (
        title,
        plain(setting.weight),
        str(setting.hits),
        *(DASH if value is None else plain(float(value)) for value in figures),
        median(names.POSTSD) if f"{names.POSTSD}0" in ranking else DASH,
        median(names.POSTMEAN),
    )
