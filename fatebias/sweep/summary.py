"""A sweep as a whole, told to MLflow as one more run, in sweep_run.json: its pictures and tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from fatebias.files.atomic import atomic_json, digest
from fatebias.sweep.snapshot import Sweep
from fatebias.sweep.status import UNDER_WAY, MemberStatus, read_record
from fatebias.tracking.describe import DIFFERING_TAG, NOTE, SUMMARY_TAG, SWEEP_TAG, key_of
from fatebias.tracking.events import FAILED, FINISHED, RUNNING, SWEEP_RUN

WORDS = {
    "sweep_report.html": "hits by setting, what the prior and the weight did; download it, then open it",
    "sweep_hits.png": "the same as a picture",
    "hit_stability.csv": "the share of settings in which each gene is a hit",
    "sweep_summary.csv": "one row per run",
    "permutation_fdr.csv": "hits beside those of shuffled guides",
}
INHERITED = ("mlflow.user", "mlflow.source.type", "mlflow.source.name", "command", "code_version")


def write_summary_run(sweep: Sweep, found: Sequence[MemberStatus], files: Sequence[Path]) -> Path | None:
    """Write what MLflow is told of the sweep; None where its runs are not tracked (``tracking=off``)."""
    entries = [read_record(each.member.folder).get("tracking", {}) for each in found]
    told: dict[str, Any] | None = next((entry for entry in entries if "id" in entry), None)
    if told is None:
        return None
    keys = differing_keys(sweep)
    ends = [entry.get("end_ms") for entry in entries]
    at_work = any(each.state in UNDER_WAY for each in found) or None in ends
    failed = any(each.failed for each in found)
    tags = {name: told["tags"][name] for name in INHERITED if name in told["tags"]}
    tags |= {SUMMARY_TAG: sweep.id, DIFFERING_TAG: ", ".join(keys)}
    tags |= {"out_dir": str(sweep.root), NOTE: note(sweep, found, files)}
    entry = {
        "id": f"sweep-{sweep.id}",
        "name": f"sweep of {', '.join(keys)}" if keys else "sweep",
        "experiment": told["experiment"],
        "run_key": digest(sweep.id),
        "start_ms": _ms(
            str(sweep.submissions[0]["time"])
        ),  # before its runs, and above them where order is by time
        "end_ms": None if at_work else max(ends),
        "status": RUNNING if at_work else FAILED if failed else FINISHED,
        "host": told["host"],
        "pid": told["pid"],
        "params": {},
        "tags": tags,
        "metrics": {},
        "artifacts": [path.name for path in files],
    }
    atomic_json(sweep.root / SWEEP_RUN, {"tracking": entry})
    return sweep.root / SWEEP_RUN


def differing_keys(sweep: Sweep) -> list[str]:
    """Return the keys of the settings in which the runs of a sweep differ, as first typed."""
    words = (word for member in sweep.members for word in sweep.differing(member.number))
    return list(dict.fromkeys(map(key_of, words)))


def note(sweep: Sweep, found: Sequence[MemberStatus], files: Sequence[Path]) -> str:
    """Return the description of the sweep, in Markdown."""
    counts = Counter(each.state for each in found)
    states = ", ".join(f"{number} {state}" for state, number in counts.items())
    command = " ".join(map(str, sweep.submissions[0]["command"][1:]))
    lines = [
        f"{len(found)} runs of one sweep ({states}), which differ in {', '.join(differing_keys(sweep))}.",
        "",
        f"    {command}",
        "",
        "Under *Artifacts*:",
        *(f"- `{path.name}`: {WORDS[path.name]}" for path in files if path.name in WORDS),
        "",
        f"The runs themselves have the tag `{SWEEP_TAG}` = `{sweep.id}`.",
    ]
    return "\n".join(lines)


def _ms(time: str) -> int:
    return int(datetime.fromisoformat(time).timestamp() * 1000)
