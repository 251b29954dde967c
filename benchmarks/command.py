"""What a user waits for: whole commands, ``OMP_NUM_THREADS=2 python -m benchmarks.command``.

Each command is a process of its own, measured by the operating system: CPU-seconds of it and of what it
starts, and its largest resident memory. Seconds by stage are those of run.json. ``--against FOLDER`` runs
each command by turns with the run.py of another checkout too and adds the ratio; ``--only NAME ...`` chooses.
``six settings`` is a sweep over one screen's file, to be compared with ``one of them``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import machine

HERE = Path(__file__).parents[1]


def sizes(n_cells: int, n_genes: int, guides_per_gene: int, moi: float) -> dict[str, float]:
    """Return settings of a simulated screen."""
    return {
        "n_cells": n_cells,
        "n_genes": n_genes,
        "guides_per_gene": guides_per_gene,
        "moi": moi,
        "n_ntc_guides": 60,
    }


def simulated(of: dict[str, float], *more: str) -> list[str]:
    """Return the words of a command on a simulated screen."""
    return ["data=simulated", *(f"data.simulate.{name}={value}" for name, value in of.items()), *more]


LARGE = sizes(100_000, 300, 4, 2.5)
WRITE_SCREEN = """
import json, sys
from pathlib import Path
from fatebias.api.settings import make_config
from fatebias.data.load import source_files
config = make_config(data={"source": "simulated", "simulate": json.loads(sys.argv[1])})
source_files(config.data, config.priors, Path(sys.argv[2]))
"""


ON_A_FILE = ["data=anndata", "data.adata_path={screen}/screen.h5ad", "data.guide_map_csv={screen}/guides.csv"]
SIX = ["priors=default,weak,tight", "likelihood_weight=0.5,1.0"]
COMMANDS = {
    "help": ["--help"],
    "check": ["stages=[check]"],
    "demo": [],
    "demo, calibrated": ["experiment=calibrated"],
    "100,000 cells, 300 genes, 1,200 guides, MOI 2.5": simulated(LARGE),
    "the same, calibrated": simulated(LARGE, "experiment=calibrated"),
    "one of them": [*ON_A_FILE, "priors=default", "likelihood_weight=0.5"],
    "six settings": ["-m", *ON_A_FILE, *SIX],
    "1,000,000 cells, 300 genes, 2,100 guides, MOI 3": simulated(sizes(1_000_000, 300, 7, 3.0)),
    "500,000 cells, 2,000 genes, 8,000 guides, MOI 3": simulated(sizes(500_000, 2_000, 4, 3.0)),
}
BY_DEFAULT = list(COMMANDS)[:6]


@dataclass(frozen=True)
class Cost:
    """What one process took."""

    cpu_s: float
    wall_s: float
    peak_mb: float
    stages: dict[str, float]  # seconds by stage of run.json

    @classmethod
    def of(cls, checkout: Path, words: list[str]) -> Cost:
        """Run a checkout's command in an empty folder."""
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "out"
            plain = words in (COMMANDS["help"], COMMANDS["check"])
            command = [sys.executable, str(checkout / "run.py"), *_on_file(words, Path(folder))]
            command += [] if plain else [f"out_dir={out}", "tracking=off"]
            begun = time.perf_counter()
            with open(Path(folder) / "log", "wb") as log:
                process = subprocess.Popen(
                    command,
                    cwd=folder,
                    stdout=log,
                    stderr=log,
                    env=os.environ | {"PYTHONPATH": str(checkout)},
                )
                _, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode:
                sys.exit(f"{' '.join(command)}\n{(Path(folder) / 'log').read_text()}")
            wall = time.perf_counter() - begun
            written = out / "run.json"  # of a single run
            record: dict[str, Any] = json.loads(written.read_text())["stages"] if written.is_file() else {}
        stages = {name: round(each["seconds"], 1) for name, each in record.items() if "seconds" in each}
        return cls(used.ru_utime + used.ru_stime, wall, used.ru_maxrss / 1e3, stages)


def _on_file(words: list[str], folder: Path) -> list[str]:
    """Return words with the path of a screen of 100,000 cells, written first where they ask for it."""
    if not any("{screen}" in word for word in words):
        return words
    # In a process of its own: what this one imports would count as memory of those that it starts.
    subprocess.run([sys.executable, "-c", WRITE_SCREEN, json.dumps(LARGE), str(folder)], check=True)
    return [word.replace("{screen}", str(folder)) for word in words]


def main() -> None:
    """Print a table, a row a command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--against", type=Path)
    parser.add_argument("--only", nargs="+", choices=COMMANDS, default=BY_DEFAULT)
    parser.add_argument("--rounds", type=int, default=1)
    asked = parser.parse_args()
    print(machine())
    for checkout in (HERE, asked.against):
        if checkout is not None:
            Cost.of(checkout.resolve(), COMMANDS["help"])  # Python keeps what it has compiled
    columns = ["command", "CPU-s", "wall s", "peak MB", "stages, s", "CPU / before"]
    print("", f"| {' | '.join(columns)} |", f"|{' --- |' * len(columns)}", sep="\n")
    for name in asked.only:
        ours, theirs = [], []
        for _ in range(asked.rounds):
            ours.append(Cost.of(HERE, COMMANDS[name]))
            if asked.against is not None:
                theirs.append(Cost.of(asked.against.resolve(), COMMANDS[name]))
        cost = sorted(ours, key=lambda each: each.cpu_s)[len(ours) // 2]
        stages = ", ".join(f"{stage} {seconds:g}" for stage, seconds in cost.stages.items())
        ratio = ""
        if theirs:
            before = float(np.median([each.cpu_s for each in theirs]))
            ratio = f"{cost.cpu_s / before:.2f} of {before:.3g}"
        print(
            f"| {name} | {cost.cpu_s:.3g} | {cost.wall_s:.3g} | {cost.peak_mb:.0f} | {stages} | {ratio} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
