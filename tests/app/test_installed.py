"""The wheel, installed into a folder of its own, from an empty folder: the command ``fatebias``."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parents[2]
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
TINY = [
    "data=simulated",
    "data.simulate.n_cells=300",
    "data.simulate.n_genes=6",
    "data.simulate.n_ntc_guides=2",
    "data.simulate.n_days=2",
    "inference=laplace",
    "inference.num_posterior_draws=20",
    "stages=[fit,discover]",
    "discovery.engine=native",
    "plots=false",  # seconds a run
    "tracking=off",
]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def wheel(tmp_path_factory) -> Path:
    """Build the wheel; with hatchling at hand nothing is downloaded."""
    folder = tmp_path_factory.mktemp("wheel")
    here = ["--no-build-isolation"] if importlib.util.find_spec("hatchling") else []
    subprocess.run(
        [*PIP, "wheel", "-q", "--no-deps", *here, "-w", str(folder), str(ROOT)], check=True, timeout=600
    )
    (built,) = folder.glob("fatebias-*.whl")
    return built


@pytest.fixture(scope="session")
def fatebias(wheel, tmp_path_factory) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Install the wheel beside what is there already, and type its command."""
    home = tmp_path_factory.mktemp("installed")
    install = [*PIP, "install", "-q", "--no-deps", "--no-index", "--no-compile", "--target", str(home)]
    subprocess.run([*install, str(wheel)], check=True, timeout=600)

    def typed(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(home / "bin" / "fatebias"), *words],
            cwd=cwd,
            env=os.environ | {"PYTHONPATH": str(home), "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )

    return typed


def test_conf_travels_in_the_wheel_without_the_settings_of_this_machine(wheel):
    files = (path.relative_to(ROOT) for path in (ROOT / "conf").rglob("*.yaml"))
    shipped = {f"fatebias/{path}" for path in files if path.parts[1] != "local"}
    assert {name for name in zipfile.ZipFile(wheel).namelist() if "/conf/" in name} == shipped


def test_help_names_the_command_as_it_is_typed(fatebias, tmp_path):
    done = fatebias("--help", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "  fatebias data=anndata data.adata_path=screen.h5ad" in done.stdout
    assert "run.py" not in done.stdout
    assert not list(tmp_path.iterdir())


def test_the_settings_are_those_of_run_py_from_the_conf_of_the_wheel(fatebias, terminal, tmp_path):
    words = ["--cfg", "job", "experiment=calibrated", "data.Kmax=3"]
    done = fatebias(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == terminal(*words).stdout
    sources = fatebias("--info", "searchpath", cwd=tmp_path).stdout
    assert "installed0/fatebias/conf" in sources
    assert str(ROOT) not in sources


def test_a_run_from_an_empty_folder_writes_its_files_there(fatebias, tmp_path):
    done = fatebias(*TINY, "out_dir=out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "out" / "run.json").read_text())["status"] == "done"
    assert (tmp_path / "out" / "hits_ranked.csv").stat().st_size > 0
    assert (tmp_path / "out" / "run.log").stat().st_size > 0
    page = tmp_path / "out" / "report.html"
    page.unlink()  # the template travels in the wheel
    assert fatebias("report", "out", cwd=tmp_path).stdout == "out/report.html\n"
    assert page.stat().st_size > 0


def test_an_experiment_of_one_s_own_is_swept_in_several_processes(fatebias, tmp_path):
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    (tmp_path / "mine" / "experiment" / "own.yaml").write_text(
        "# @package _global_\nstages: [discover]\ndiscovery: {engine: native}\n"
    )
    for number in ("0", "1"):
        (tmp_path / "out" / number).mkdir(parents=True)
        table = pd.DataFrame({"gene": ["A", "B", "C"], "betahat_d0": [2.0, 0.1, 0.0], "se_d0": 0.2})
        table.to_csv(tmp_path / "out" / number / "gene_summary_for_mash.csv", index=False)
    words = ["--config-dir", "mine", "experiment=own", "tracking=off", "seed=0,1", "out_dir=out"]
    done = fatebias("-m", *words, "launcher=local_parallel", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "2 done" in done.stdout
    for number in ("0", "1"):
        ranked = pd.read_csv(tmp_path / "out" / number / "hits_ranked.csv")
        assert list(ranked.loc[ranked["hit_anyday"], "gene"]) == ["A"]


def test_a_misspelt_setting_is_one_message(fatebias, tmp_path):
    done = fatebias("prior.s_tau=1", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("there is no setting prior.s_tau\n")
    assert "did you mean priors.s_tau?" in done.stderr
    assert not list(tmp_path.iterdir())
