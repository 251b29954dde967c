"""Sweeps on disk without any run: what sweep.json, run.json and hits_ranked.csv would hold."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from fatebias.sweep.snapshot import Member, Sweep

SUBMISSION = {
    "time": "2026-01-01T00:00:00+00:00",
    "command": ["/checkout/run.py", "-m", "seed=0,1"],
    "cwd": "/login",
    "python": "/venv/bin/python",
    "git": {"commit": None, "dirty": None},
    "diff": None,
}


def sweep(root: Path, *records: dict | None, job_ids: bool = False, words: list[str] | None = None) -> Sweep:
    """Write a sweep with one run a record; None is a run without a run.json."""
    members = []
    for number, record in enumerate(records):
        folder = root / str(number)
        folder.mkdir(parents=True)
        if record is not None:
            (folder / "run.json").write_text(json.dumps({"stages": {}, **record}))
        log = root / "slurm" / f"7_{number}_0_log.out" if job_ids else None
        members.append(
            Member(
                number,
                ((words or [])[number] if words else f"seed={number}", "out_dir=out"),
                folder,
                f"7_{number}" if job_ids else None,
                log,
                SUBMISSION["time"],
            )
        )
    written = Sweep(root, "slurm" if job_ids else "local", tuple(members), (SUBMISSION,))
    written.write()
    return written


def hits(folder: Path, rows: list[tuple[str, float, float, float, float]], threshold: float = 0.05) -> None:
    """Write hits_ranked.csv of (gene, postmean_d0, postmean_d1, lfsr_d0, lfsr_d1)."""
    table = pd.DataFrame(rows, columns=["gene", "postmean_d0", "postmean_d1", "lfsr_d0", "lfsr_d1"])
    lfsr = table[["lfsr_d0", "lfsr_d1"]].to_numpy()
    table["lfsr_min"] = lfsr.min(axis=1)
    table["best_day"] = lfsr.argmin(axis=1)
    table["hit_anyday"] = table["lfsr_min"] < threshold
    table.to_csv(folder / "hits_ranked.csv", index=False)
