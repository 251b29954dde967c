"""sweep_report.html: the runs of a sweep side by side, from their files alone."""

from __future__ import annotations

import os
import shlex
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup

from fatebias import names
from fatebias.files.atomic import atomic_text
from fatebias.files.paths import RunPaths
from fatebias.pl._sweep import MOST_GENES, reverses, strongest
from fatebias.report.charts.sweep import hits_by_setting
from fatebias.report.content import Chart, Fact, Section, Table
from fatebias.report.html import as_html
from fatebias.report.resampled import shuffle_table, shuffle_verdict
from fatebias.report.sweep_page import Cell, GeneRow, SweepPage
from fatebias.report.text import DASH, count, listed, plain
from fatebias.report.verdict import far
from fatebias.sweep.effects import prior_section, weight_section
from fatebias.sweep.settled import Setting
from fatebias.sweep.snapshot import Sweep
from fatebias.sweep.status import DONE
from fatebias.tracking.describe import key_of

if TYPE_CHECKING:
    import pandas as pd

REPORT = "sweep_report.html"
FIGURES = (
    ("calls", "calls"),
    ("expected_false", "expected false"),
    ("weight_used", "weight used"),
    ("suggested_weight", "weight suggested"),
    ("heldout_score", "held-out score"),
)


def write_sweep_report(
    sweep: Sweep, settings: Sequence[Setting], stability: pd.DataFrame, shuffles: pd.DataFrame | None = None
) -> Path:
    """Write the page of a sweep of which a run is done, and return its path."""
    final = sweep.root / REPORT
    atomic_text(final, as_html("sweep", page=page_of(sweep, settings, stability, shuffles)))
    return final


def page_of(
    sweep: Sweep, settings: Sequence[Setting], stability: pd.DataFrame, shuffles: pd.DataFrame | None = None
) -> SweepPage:
    """Return everything that the page says.

    `stability` is the table of hit_stability.csv, `shuffles` that of permutation_fdr.csv.
    """
    done = [each for each in settings if each.ranking is not None]
    hits = list(stability["gene"][stability["hit_share"] > 0])
    ranked = {each.label: each.ranking for each in done if each.ranking is not None}
    more = f" The first {MOST_GENES} of {len(hits)} genes." if len(hits) > MOST_GENES else ""
    picture = Chart(
        "Hits by setting",
        f"Columns are the settings by their numbers in the table above. {done[0].fates[0]}: orange, "
        f"{done[0].fates[1]}: blue; the stronger the colour, the smaller the lfsr. A dot marks a hit. A "
        f"cell is split where the gene is sure of both directions, on different days.{more}",
        (hits_by_setting(hits[:MOST_GENES], ranked),),
    )
    found = (prior_section(done), weight_section(done), _shuffles(shuffles))
    rows = _rows(stability, ranked)
    return SweepPage(
        title=f"{sweep.root.name}: sweep",
        verdict=shuffle_verdict(shuffles) or _verdict(stability, len(done)),
        facts=tuple(_facts(settings, stability, rows)),
        settings=_settings_table(sweep, settings),
        labels=tuple(ranked),
        fates=done[0].fates,
        picture=picture if hits else None,
        rows=tuple(rows),
        sections=tuple(section for section in found if section is not None),
        command=_command(sweep),
    )


def _shuffles(found: pd.DataFrame | None) -> Section | None:
    table = shuffle_table(found)
    if table is None:
        return None
    intro = "How many hits come out of nothing."
    return Section("calibration", "Controls and calibration", intro, tables=(table,))


def _verdict(stability: pd.DataFrame, n_settings: int) -> str:
    share = stability["hit_share"].to_numpy()
    always, sometimes = int((share == 1).sum()), int(((share > 0) & (share < 1)).sum())
    genes = count(len(stability), "gene")
    if n_settings == 1:
        return f"{always} of {genes} are hits in the one run that is done."
    if not always + sometimes:
        return f"None of {genes} is a hit under any of {n_settings} settings."
    if not sometimes:
        return f"{always} of {genes} are hits, the same under each of {n_settings} settings."
    return f"{always} of {genes} are hits under each of {n_settings} settings, {sometimes} more under some."


def _facts(settings: Sequence[Setting], stability: pd.DataFrame, rows: Sequence[GeneRow]) -> list[Fact]:
    states = Counter(each.status.state for each in settings)
    failed = sum(each.status.failed for each in settings)
    found = [
        Fact(
            "Runs", ", ".join(f"{number} {state}" for state, number in states.items()),
            "" if states == {DONE: len(settings)} else "Only those that are done count on this page.",
            bad=failed > 0,
        )
    ]  # fmt: skip
    loose = [each.label for each in settings if each.figures.get("converged") is False]
    if loose:
        found.append(
            Fact("Not converged", str(len(loose)), f"{listed(loose, 3)}: believe these least.", bad=True)
        )
    reversing = [row.gene for row in rows if any(cell and cell.hit and cell.both for cell in row.cells)]
    if reversing:
        words = f"{listed(reversing)}: sure of both directions on different days, under some setting."
        found.append(Fact("Hits that reverse", str(len(reversing)), words))
    hits = stability[(stability["hit_share"] > 0) & ~stability["gene"].isin(reversing)]
    turned = list(hits["gene"][hits["sign_agreement"] < 1])
    if len(hits):
        words = f"Every {'other ' if reversing else ''}hit has the same direction on its surest day."
        if turned:
            words = f"{listed(turned)}: the direction on the surest day depends on the setting."
        found.append(Fact("Hits that turn", str(len(turned)), words, bad=bool(turned)))
    off = [each for each in settings if _is_off(each)]
    if off:
        suggested = [float(each.figures["suggested_weight"] or 0) for each in off]
        span = dict.fromkeys((plain(min(suggested)), plain(max(suggested))))
        found.append(
            Fact(
                "Weight of soft labels", f"{len(off)} of {len(settings)} far from what the data suggest",
                f"The data suggest {' to '.join(span)}. With a weight that is too small hits are missed, "
                "with one too large calls are false: likelihood_weight=auto takes what they suggest.",
                bad=True,
            )
        )  # fmt: skip
    return found


def _is_off(setting: Setting) -> bool:
    used, suggested = setting.weight, setting.figures.get("suggested_weight")
    return used is not None and suggested is not None and far(used, float(suggested))


def _settings_table(sweep: Sweep, settings: Sequence[Setting]) -> Table:
    keys = list(dict.fromkeys(key_of(word) for each in settings for word in sweep.differing(each.number)))
    shown = [
        (name, title)
        for name, title in FIGURES
        if any(each.figures.get(name) is not None for each in settings)
    ]
    rows = []
    for each in settings:
        figures = [each.figures.get(name) for name, _ in shown]
        texts = [DASH if value is None else plain(float(value), 4) for value in figures]
        converged = each.figures.get("converged")
        rows.append(
            (
                f"#{each.number}",
                *(each.words.get(key, DASH) for key in keys),
                each.status.state if not each.status.reason else f"{each.status.state}: {each.status.reason}",
                DASH if each.hits is None else str(each.hits),
                *texts,
                DASH if converged is None else "yes" if converged else "no",
                _link(sweep, each),
            )
        )
    reading = (
        "Expected false: the sum of the lfsr over calls, by each run's own reckoning: a weight that is too "
        "large makes it too small. The held-out score is the mean log-likelihood of cells left out, in nats "
        "a cell; of runs that left out the same cells, the higher is the better."
    )
    columns = ("run", *keys, "state", "hits", *(title for _, title in shown), "converged", "report")
    return Table("Settings", columns, tuple(rows), reading)


def _link(sweep: Sweep, setting: Setting) -> str:
    report = RunPaths(setting.status.member.folder).report
    if not report.is_file():
        return DASH
    return Markup('<a href="{}">open</a>').format(Path(os.path.relpath(report, sweep.root)).as_posix())


def _rows(stability: pd.DataFrame, ranked: dict[str, pd.DataFrame]) -> list[GeneRow]:
    genes = list(stability["gene"])
    up, down, hit = strongest(genes, ranked)
    both = reverses(up, down)
    rows = []
    for g, found in enumerate(stability.to_dict("records")):
        cells = tuple(_cell(up[g, s], down[g, s], hit[g, s], both[g, s]) for s in range(len(ranked)))
        judged = int(found["settings"])
        rows.append(
            GeneRow(
                gene=str(found[names.GENE]),
                hits=round(float(found["hit_share"]) * judged),
                judged=judged,
                agreement=float(found["sign_agreement"]),
                lowest=float(found["postmean_lowest"]),
                highest=float(found["postmean_highest"]),
                cells=cells,
            )
        )
    return rows


def _cell(up: float, down: float, hit: bool, both: bool) -> Cell | None:
    return None if np.isnan(up) else Cell(float(min(up, down)), bool(up <= down), bool(hit), bool(both))


def _command(sweep: Sweep) -> str:
    """Return the command of the sweep as it was typed, the quotes put back that the shell took."""
    program, *words = map(str, sweep.submissions[0]["command"])
    name = "python run.py" if Path(program).name == "run.py" else "fatebias"
    return " ".join([name, *map(shlex.quote, words)])
