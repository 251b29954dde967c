"""The runs of a sweep side by side: one row a run; and one row a gene, which settings it is a hit under."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from fatebias import names
from fatebias.errors import FatebiasError
from fatebias.files.atomic import atomic_path
from fatebias.files.outputs import PLACES
from fatebias.files.paths import RunPaths
from fatebias.report.page import write_report
from fatebias.sweep.permutation import permutation_tables
from fatebias.sweep.report import write_sweep_report
from fatebias.sweep.search import score_of
from fatebias.sweep.settled import settings_of
from fatebias.sweep.snapshot import Sweep
from fatebias.sweep.status import DONE, MemberStatus, read_record, statuses
from fatebias.sweep.summary import write_summary_run

log = logging.getLogger(__name__)

SUMMARY_CSV = "sweep_summary.csv"
STABILITY_CSV = "hit_stability.csv"
PICTURE = "sweep_hits.png"
PERMUTATION_CSV = PLACES["permutation"]


def compare(sweep: Sweep) -> list[Path]:
    """Write the tables and the picture of a sweep, from whatever has finished, and return their paths.

    ``sweep_summary.csv`` always; ``sweep_report.html``, ``hit_stability.csv`` and ``sweep_hits.png`` when a
    run is done;
    ``permutation_fdr.csv`` when a screen has runs with its guides shuffled: the run of the screen itself gets
    its rows too, and a new report that shows them.
    """
    found = statuses(sweep)
    written = [_write(summary_table(found), sweep.root / SUMMARY_CSV)]
    settings = settings_of(sweep, found)
    ranked = {each.number: each.ranking for each in settings if each.ranking is not None}
    if ranked:
        from fatebias import pl
        from fatebias.pl.save import save_png

        stability = hit_stability(ranked)
        labels = next((each.day_labels for each in settings if each.day_labels), ())
        written.append(_write(_labelled(stability, labels), sweep.root / STABILITY_CSV))
        picture = sweep.root / PICTURE
        by_label = {sweep.label(number): table for number, table in ranked.items()}
        save_png(pl.sweep(stability, by_label), picture)
        written.append(picture)
        shuffles = permutation_tables(found, ranked)
        together = pd.concat(shuffles.values(), ignore_index=True) if shuffles else None
        if together is not None:
            written.append(_write(together, sweep.root / PERMUTATION_CSV))
            _tell_screens(shuffles)
        written.insert(0, write_sweep_report(sweep, settings, stability, together))
    write_summary_run(sweep, found, written)
    return written


def summary_table(found: Sequence[MemberStatus]) -> pd.DataFrame:
    """Return one row a run: its overrides, status, hits, loss, score, seconds; empty where a run has none."""
    rows = []
    for each in found:
        words = (word.lstrip("+").partition("=") for word in each.member.settings)
        row: dict[str, object] = {"run": each.member.number}
        row |= {key: value for key, _, value in words}
        record = read_record(each.member.folder) if each.state == DONE else {}
        fit = record.get("stages", {}).get("fit", {})
        seconds = [value for value in record.get("seconds", {}).values() if value is not None]
        row |= {
            "status": each.state,
            "hits": record.get("n_hits"),
            "loss": fit.get("diagnostics", {}).get("loss_final"),
            "heldout_score": score_of(record),
            "seconds": round(sum(seconds), 3) if seconds else None,
            "reason": each.reason or None,
            "job_id": each.member.job_id,
            "folder": str(each.member.folder),
        }
        rows.append(row)
    table = pd.DataFrame(rows)
    if table["heldout_score"].isna().all():
        table = table.drop(columns="heldout_score")
    last = ["status", "hits", "loss", "heldout_score", "seconds", "reason", "job_id", "folder"]
    last = [name for name in last if name in table]
    table = table[[*(name for name in table if name not in last), *last]]
    return table.astype({"hits": "Int64", "loss": float, "seconds": float})


def hit_stability(ranked: Mapping[int, pd.DataFrame]) -> pd.DataFrame:
    """Return one row a gene: in what share of its runs it is a hit, how far they agree. Sure genes first.

    ``best_day`` is a day's number, here and in `ranked`.
    """
    table = pd.concat([_at_best_day(ranking) for ranking in ranked.values()], ignore_index=True)
    rows = []
    for gene, runs in table.groupby("gene", sort=True):
        days = runs["best_day"].value_counts().sort_index()
        signs = np.sign(runs["postmean"][runs["postmean"] != 0])  # no effect at all has no direction
        rows.append(
            {
                "gene": gene,
                "settings": len(runs),
                "hit_share": runs["hit"].mean(),
                "postmean_lowest": runs["postmean"].min(),
                "postmean_highest": runs["postmean"].max(),
                "lfsr_min_lowest": runs["lfsr_min"].min(),
                "lfsr_min_highest": runs["lfsr_min"].max(),
                "sign_agreement": signs.value_counts().max() / len(signs) if len(signs) else 1.0,
                "best_day": days.idxmax(),
                "best_day_agreement": days.max() / len(runs),
            }
        )
    return (
        pd.DataFrame(rows)
        .sort_values(["hit_share", "lfsr_min_highest", "gene"], ascending=[False, True, True])
        .reset_index(drop=True)
    )


def _labelled(stability: pd.DataFrame, labels: Sequence[str]) -> pd.DataFrame:
    if not labels:
        return stability
    return stability.assign(**{names.BEST_DAY: [labels[int(d)] for d in stability[names.BEST_DAY]]})


def _at_best_day(ranking: pd.DataFrame) -> pd.DataFrame:
    n_days = sum(str(name).removeprefix(names.LFSR).isdigit() for name in ranking)
    means = ranking[names.day_columns(names.POSTMEAN, n_days)].to_numpy(dtype=float)
    best = ranking[names.BEST_DAY].to_numpy(dtype=int)
    return pd.DataFrame(
        {
            "gene": ranking[names.GENE],
            "hit": ranking[names.HIT_ANYDAY].astype(bool),
            "postmean": means[np.arange(len(ranking)), best],
            "lfsr_min": ranking[names.LFSR_MIN].astype(float),
            "best_day": best,
        }
    )


def _tell_screens(shuffles: Mapping[Path, pd.DataFrame]) -> None:
    """Put the hits of its shuffles into the folder and the report of each screen."""
    for folder, table in shuffles.items():
        _write(table, RunPaths(folder).permutation)
        try:
            write_report(folder)
        except FatebiasError as error:
            log.warning("the report of %s lacks the hits of its shuffles: %s", folder, error)


def _write(table: pd.DataFrame, final: Path) -> Path:
    with atomic_path(final) as draft:
        table.to_csv(draft, index=False, float_format="%.6g")
    return final
