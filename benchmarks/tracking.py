"""How long it takes to bring a sweep's runs into MLflow: ``python -m benchmarks.tracking``.

Writes the folders of RUNS runs of STEPS steps as a cluster's jobs leave them, then runs
``python -m fatebias.tracking sync`` twice, each time as a process of its own (so the import of mlflow and the
making of the database count), and counts what is in the database.
"""

from __future__ import annotations

import argparse
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

from fatebias.api.results import config_yaml
from fatebias.config import Config, PriorsConfig
from fatebias.files.paths import prepare_out_dir
from fatebias.files.record import RunRecord
from fatebias.tracking.describe import InSweep, describe_run
from fatebias.tracking.tracker import Tracker

T0 = 1_700_000_000_000  # ms


def write_run(root: Path, number: int, steps: int) -> None:
    """Leave a run as a job does: every config value, the loss, final metrics, artifacts of usual size."""
    config = Config(seed=number, priors=PriorsConfig(s_tau=1.0 + number))
    paths = prepare_out_dir(root)
    record = RunRecord(paths)
    described = describe_run(
        config, [f"seed={number}"], {"priors": "default"}, sweep=InSweep("benchmark", ())
    )
    tracker = Tracker(config, record, described)
    record.start(command=["benchmark"], seed=number)
    paths.config.write_text(config_yaml(config))
    tracker.begin("none")
    with record.stage("fit", "fit", [paths.loss]):
        rows = "".join(f"{step},{1e5 / (step + 1)!r},{T0 + 60 * step}\n" for step in range(steps))
        paths.loss.write_text(f"step,loss,timestamp_ms\n{rows}")
    with record.stage("discover", "discover", [paths.hits]) as found:
        paths.hits.write_text("gene,lfsr_min\n" + "JAK2,0.001\n" * 300)
        found["report"] = {"engine": "native", "method": "mash", "n_hits": number, "loglik": 0.0}
    tracker.close("finished")
    record.finish()


def timed_sync(folder: Path) -> str:
    """Run the command; return its seconds, those of the processor, and what it did, in one line."""
    begun, used = time.perf_counter(), _children_s()
    command = [sys.executable, "-m", "fatebias.tracking", "sync", "."]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    seconds, processor = time.perf_counter() - begun, _children_s() - used
    outcome = done.stdout.partition("\n")[0].partition(" (")[2].rstrip(")")
    return f"{seconds:6.1f} s (processor {processor:.1f} s)  {outcome}"


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Print the figures of the README."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--steps", type=int, default=2000)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        begun = time.perf_counter()
        for number in range(wanted.runs):
            write_run(folder / str(number), number, wanted.steps)
        written = time.perf_counter() - begun
        first, second = timed_sync(folder), timed_sync(folder)
        with closing(sqlite3.connect(folder / "mlflow.db")) as database:
            (points,) = database.execute("SELECT count(*) FROM metrics WHERE key = 'loss'").fetchone()
            (params,) = database.execute("SELECT count(*) FROM params").fetchone()
    print(f"{wanted.runs} runs of {wanted.steps} steps")
    print(f"files written by the runs {written:6.1f} s ({1e3 * written / wanted.runs:.0f} ms a run)")
    print(f"first import              {first}")
    print(f"second import             {second}")
    print(f"in the database           {points} points of the loss, {params} parameters")


if __name__ == "__main__":
    main()
