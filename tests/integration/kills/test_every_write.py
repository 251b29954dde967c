"""SIGKILL at each of a run's writes, before and after the file gets its name: nothing torn, nothing lost."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pandas as pd
import pytest

from tests.conftest import LIMIT_S, ROOT

pytestmark = pytest.mark.slow

# run.py in which the n-th file that is moved to its final name kills the process.
RUN = """
import os, runpy, signal, sys
at, after, told = int(sys.argv.pop(1)), int(sys.argv.pop(1)), sys.argv.pop(1)
replace, count = os.replace, 0

def counted(*names, **options):
    global count
    count += 1
    if count == at and not after:
        os.kill(os.getpid(), signal.SIGKILL)
    replace(*names, **options)
    if count == at:
        os.kill(os.getpid(), signal.SIGKILL)

os.replace = counted
sys.argv[0] = RUN_PY
try:
    runpy.run_path(RUN_PY, run_name="__main__")
finally:
    open(told, "w").write(str(count))
"""
SETTINGS = [
    "data=simulated", "data.simulate.n_cells=300", "data.simulate.n_genes=4", "data.simulate.n_ntc_guides=6",
    "inference=laplace", "inference.num_posterior_draws=64", "discovery.engine=native", "tracking=off",
    "plots=false", "calibration.control_splits=2", "calibration.concordance=true",
    "discovery.contrasts=[all]",
]  # fmt: skip


@pytest.fixture(scope="module")
def run(warm_fits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("killed")
    script = folder / "run.py"
    script.write_text(RUN.replace("RUN_PY", repr(str(ROOT / "run.py"))))

    def at(out: Path, write: int, after: bool) -> tuple[int, int]:
        """Run until a write, 0 for all; return exit status and the number of writes."""
        told = folder / "count"
        words = [str(write), str(int(after)), str(told), *SETTINGS, f"out_dir={out}"]
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = warm_fits.run(str(script), *words, cwd=folder, env=env, timeout=LIMIT_S)
        assert write or done.returncode == 0, done.stdout + done.stderr
        return done.returncode, int(told.read_text()) if not write else 0

    whole = folder / "whole"
    _, writes = at(whole, 0, False)
    return at, whole, writes


def content(path: Path) -> str:
    """Return a table without the times of its steps; raises where it is torn."""
    return pd.read_csv(path, dtype=str).drop(columns="timestamp_ms", errors="ignore").to_csv()


def tables(out: Path) -> dict[str, str]:
    return {str(path.relative_to(out)): content(path) for path in sorted(out.rglob("[!.]*.csv"))}


def check_killed_at(run, out: Path, write: int, after: bool) -> None:
    at, whole, _ = run
    code, _ = at(out, write, after)
    assert code == -signal.SIGKILL
    assert tables(out).items() <= tables(whole).items()
    for path in out.rglob("[!.]*.json"):
        json.loads(path.read_text())
    at(out, 0, False)
    assert tables(out) == tables(whole)
    assert json.loads((out / "run.json").read_text())["status"] == "done"
    left = [path for path in out.rglob(".*") if path.name not in (".lock", ".hydra")]
    assert not left


@pytest.mark.parametrize(("share", "after"), [(0.4, False), (0.7, True)], ids=["before", "after"])
def test_a_run_killed_as_it_writes_a_file(run, tmp_path, share, after):
    check_killed_at(run, tmp_path / "out", max(1, round(share * run[2])), after)


@pytest.mark.soak
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_run_killed_at_every_file(run, tmp_path, after):
    for write in range(1, run[2] + 1):
        check_killed_at(run, tmp_path / f"out{write}", write, after)
