"""Faults that sweeps and fits survive: ``python -m benchmarks.faults jobs`` and ``... faults kills``.

``jobs`` sends JOBS tiny fits through a real Slurm of one node, brought up for it, in one sweep; ``kills``
ends fits by SIGKILL at random moments and resumes each, until KILLS were killed, and compares the tables of
every fit that finished with those of one that nobody killed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

from benchmarks.measure import spread

ROOT = Path(__file__).resolve().parents[1]
CSVS = ("gene_summary_for_mash.csv", "guide_summary.csv", "gene_summary_mash_out.csv", "hits_ranked.csv")
ONE_THREAD = {"OMP_NUM_THREADS": "1"}  # several threads wait for each other on a busy machine
SMALL = [
    "data=simulated",
    "data.simulate.n_genes=12",
    "data.simulate.n_cells=1500",
    "inference.num_posterior_draws=200",
    "inference.progress=false",
    "discovery.engine=native",
]


def typed(
    *words: str, cwd: Path, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Type a command of this project and see it end well."""
    command = [sys.executable, *(words if words[0] == "-m" else (str(ROOT / "run.py"), *words))]
    return subprocess.run(
        command,
        cwd=cwd,
        env=os.environ | ONE_THREAD | (environment or {}),
        capture_output=True,
        text=True,
        check=True,
    )


def jobs(number: int, folder: Path) -> None:
    """Run a sweep through Slurm and count what came of it."""
    from tests.integration.slurm.cluster import Cluster, why_not

    if reason := why_not():
        sys.exit(reason)
    cluster = Cluster(folder / "slurm")
    try:
        cluster.root.mkdir()
        cluster.start()
        begun = time.perf_counter()
        sizes = ["launcher=slurm_cpu", "hydra.launcher.cpus=4", "hydra.launcher.mem_gb=2"]
        sweep = [*sizes, *SMALL, "inference.num_steps=100", f"seed=range(0,{number})", "out_dir=out"]
        typed(*sweep, "hydra.launcher.wait=false", cwd=folder, environment=cluster.environment)
        print(f"queued after {time.perf_counter() - begun:.1f} s", flush=True)
        _wait(folder, cluster.environment, number)
        print(f"all ended after {time.perf_counter() - begun:.1f} s", flush=True)
        members = json.loads((folder / "out" / "sweep.json").read_text())["members"]
        while "R" in cluster.ask("squeue", "--noheader", "--format=%t"):  # its last words said, not yet gone
            time.sleep(1)
        print("Slurm says", dict(Counter(cluster.state(member["job_id"]) for member in members)))
    finally:
        cluster.stop()
    whole = [
        number
        for number in range(number)
        if all((folder / "out" / str(number) / n).stat().st_size for n in CSVS)
    ]
    print(f"{len(whole)} runs with all their tables")
    for command in (["-m", "fatebias.sweep", "out"], ["-m", "fatebias.tracking", "sync", "out"]):
        began = time.perf_counter()
        typed(*command, cwd=folder)
        print(f"{' '.join(command)}: {time.perf_counter() - began:.1f} s", flush=True)
    with closing(sqlite3.connect(folder / "mlflow.db")) as database:
        ask = "SELECT count(DISTINCT run_uuid), count(*) FROM metrics WHERE key = 'loss'"
        print("MLflow: runs {}, points of their losses {}".format(*database.execute(ask).fetchone()))


def _wait(folder: Path, environment: dict[str, str], number: int) -> None:
    """Ask for the sweep's status until every run is done; a failed one ends the benchmark."""
    asked = []
    while True:
        began = time.perf_counter()
        told = typed("-m", "fatebias.sweep", "status", "out", cwd=folder, environment=environment).stdout
        asked.append(time.perf_counter() - began)
        if told.splitlines()[-1] == f"{number} done":
            print(f"status: {spread(asked)} s, asked {len(asked)} times")
            return
        time.sleep(10)


def kills(number: int, folder: Path, seed: int, *, tracking: str = "local") -> Counter[str]:
    """Kill `number` fits, each at a random moment of a fit's life, and resume them."""
    words = [*SMALL, "inference.num_steps=2000", "inference.checkpoint_every_s=0.2", f"tracking={tracking}"]
    begun = time.perf_counter()
    typed(*words, "out_dir=whole", cwd=folder)
    life = time.perf_counter() - begun
    print(f"a fit that nobody kills takes {life:.1f} s", flush=True)
    chance, at, ended, outcome = random.Random(seed), Counter[str](), 0, Counter[str]()
    while True:
        name, left = f"killed{ended}", number - sum(at.values())
        process = subprocess.Popen(
            [sys.executable, ROOT / "run.py", *words, f"out_dir={name}"],
            cwd=folder, env=os.environ | ONE_THREAD, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, start_new_session=True,
        )  # fmt: skip
        try:
            told, _ = process.communicate(timeout=chance.uniform(0, life) if left > 0 else None)
        except subprocess.TimeoutExpired:
            at[_moment(folder / name)] += 1
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            continue
        if process.returncode:
            sys.exit(told)
        ended += 1
        outcome["same bytes" if _bytes(folder / name) == _bytes(folder / "whole") else "OTHER BYTES"] += 1
        outcome["went on from a checkpoint"] += len(re.findall("resuming from step", _log(folder / name)))
        if left <= 0:
            break
    print(f"{sum(at.values())} killed: {dict(at)}; {ended} fits came to their end: {dict(outcome)}")
    if tracking == "local":
        print(typed("-m", "fatebias.tracking", "sync", ".", cwd=folder).stdout.partition("\n")[0])
    return outcome


def _moment(run: Path) -> str:
    """Say what a run is at, by its files."""
    if not (run / "run.json").exists():
        return "before it began"
    stages = json.loads((run / "run.json").read_text())["stages"]
    if "fit" not in stages:
        return "while reading"
    if stages["fit"]["status"] == "done":
        return "after the fit"
    return "while fitting" if (run / "checkpoint.pt").exists() else "before a checkpoint"


def _log(run: Path) -> str:
    return (run / "run.log").read_text()


def _bytes(run: Path) -> list[bytes]:
    return [(run / name).read_bytes() for name in CSVS]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("what", choices=("jobs", "kills"))
    parser.add_argument("--number", type=int, help="jobs of the sweep (64); fits to kill (20)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="faults-", ignore_cleanup_errors=True) as folder:
        if wanted.what == "jobs":
            jobs(wanted.number or 64, Path(folder))
        else:
            kills(wanted.number or 20, Path(folder), wanted.seed)


if __name__ == "__main__":
    main()
