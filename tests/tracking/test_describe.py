"""Names, parameters, tags and keys of runs."""

from __future__ import annotations

import dataclasses
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from fatebias.config import Config, InferenceConfig, PriorsConfig, TrackingConfig
from fatebias.tracking.describe import (
    InSweep,
    code_version,
    describe_run,
    parameters,
    run_key,
    run_name,
    without_password,
)

GROUPS = ("data", "inference", "priors")


@pytest.mark.parametrize(
    ("overrides", "name"),
    [
        ([], "defaults"),
        (["priors=weak", "likelihood_weight=0.5"], "lw=0.5 weak"),
        (["priors=weak"], "weak"),
        (["priors=default", "inference=laplace"], "priors=default laplace"),
        (["seed=1", "priors.s_tau=2", "data.simulate.seed=3"], "seed=1 s_tau=2 data.simulate.seed=3"),
        (["out_dir=/a/b", "tracking=off", "tracking.uri=null", "stages=[fit]", "resume=false"], "defaults"),
        (["hydra.run.dir=/x", "hydra/launcher=joblib", "launcher=slurm", "launcher.mem_gb=3"], "defaults"),
        (
            ["data=anndata", "data.adata_path=/long/way/screen.h5ad"],
            "anndata adata_path=screen.h5ad",
        ),
        (["data.fates=[EC,MES]", "+x=1", "~y"], "fates=[EC,MES] x=1 ~y"),
        (["stages_of_life=3", "outer=1"], "stages_of_life=3 outer=1"),
        (["data.weights="], "weights="),
    ],
)
def test_a_run_is_named_by_its_overrides(overrides: list[str], name: str) -> None:
    assert run_name(overrides, GROUPS) == name


def test_what_differs_in_a_sweep_comes_first_in_a_name() -> None:
    words = ["data=simulated", "data.simulate.n_cells=300", "seed=3", "priors=tight", "likelihood_weight=0.5"]
    name = run_name(words, GROUPS, ("likelihood_weight=0.5", "priors=tight"))
    assert name == "lw=0.5 tight simulated n_cells=300 seed=3"


def test_a_name_fits_mlflows_column() -> None:
    name = run_name([f"priors.s_alpha={number}" for number in range(100)])
    assert len(name) == 250
    assert name.endswith("…")


def test_parameters_are_choices_weight_seed_and_what_was_typed(composed: Callable[..., Config]) -> None:
    words = ["priors=weak", "data.fates=[EC,MES]", "+priors.s_tau=3", "out_dir=x", "stages=[fit]"]
    config = composed("priors=weak", "data.fates=[EC,MES]", "priors.s_tau=3")
    described = describe_run(
        config, words, {"priors": "weak", "tracking": "local", "hydra/launcher": "basic"}
    )
    assert parameters(dataclasses.asdict(config), described.choices, described.typed) == {
        "priors": "weak",
        "priors.s_tau": "3.0",
        "data.fates": "[EC, MES]",
        "likelihood_weight": "1.0",
        "seed": "0",
    }


def test_tags_say_where_and_how_it_ran(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "2")
    monkeypatch.delenv("SLURM_ARRAY_JOB_ID", raising=False)
    command = ["/opt/run.py", "data.adata_path=my screen.h5ad", "tracking.uri=https://me:secret@host/x"]
    sweep = InSweep("s1", ("priors=weak", "+seed=3"))
    tags = describe_run(Config(), [], {"priors": "weak"}, command=command, sweep=sweep).tags

    assert tags["slurm_job_id"] == "17"
    assert tags["restarts"] == "2"
    assert "slurm_array_job_id" not in tags
    assert tags["priors"] == "weak"
    assert tags["likelihood_weight"] == "1.0"
    assert (tags["sweep_id"], tags["sweep_settings"]) == ("s1", "priors, seed")
    assert tags["mlflow.source.name"] == "run.py"
    assert tags["command"] == "/opt/run.py 'data.adata_path=my screen.h5ad' tracking.uri=https://***@host/x"
    assert tags["code_version"] == code_version()
    assert tags["host"]
    assert tags["mlflow.user"]


def test_passwords_are_left_out() -> None:
    config = Config(tracking=TrackingConfig(backend="server", uri="http://me:secret@host:5000"))
    assert (
        parameters(dataclasses.asdict(config), {}, ["tracking.uri"])["tracking.uri"] == "http://***@host:5000"
    )
    assert without_password("http://host/a@b sqlite:////x") == "http://host/a@b sqlite:////x"
    assert without_password("'http://me:a@b@host' \"x@y\"") == "'http://***@host' \"x@y\""


def test_the_key_tells_results_apart_and_nothing_else() -> None:
    key = run_key(Config(), "data")
    manner = Config(
        out_dir="/elsewhere",
        plots=False,
        resume=False,
        stages=["fit"],
        tracking=TrackingConfig(backend="off"),
        inference=InferenceConfig(progress=False),
    )
    manner.data.adata_path = "/elsewhere/screen.h5ad"
    assert run_key(manner, "data") == key

    for other in (
        Config(seed=1),
        Config(likelihood_weight=0.5),
        Config(priors=PriorsConfig(s_alpha=5.0)),
        Config(inference=InferenceConfig(num_steps=401)),
    ):
        assert run_key(other, "data") != key
    assert run_key(Config(), "other data") != key


def test_the_code_counts_by_commit_and_by_uncommitted_change(tmp_path: Path) -> None:
    def git(*words: str) -> str:
        author = ["-c", "user.name=n", "-c", "user.email=e@x"]
        done = subprocess.run(["git", "-C", str(tmp_path), *author, *words], check=True, capture_output=True)
        return done.stdout.decode().strip()

    uncached = code_version.__wrapped__
    package = tmp_path / "fatebias"
    package.mkdir()
    (package / "config.py").write_text("a = 1\n")
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "config.yaml").write_text("as it was\n")
    git("init", "-q")
    git("commit", "-q", "--allow-empty", "-m", "analysis of my own")
    installed = uncached(package)  # lies in a repository, but is not part of it
    git("add", ".")
    git("commit", "-q", "-m", "code")
    clean = uncached(package)
    (package / "config.py").write_text("a = 2\n")
    changed = uncached(package)
    (package / "config.py").write_text("a = 3\n")
    otherwise = uncached(package)
    git("checkout", "-q", ".")
    (tmp_path / "conf" / "config.yaml").write_text("edited\n")
    settings_alone = uncached(package)

    assert installed.startswith("fatebias ")
    assert clean == settings_alone == git("rev-parse", "HEAD")
    assert changed.startswith(f"{clean}+")
    assert len({installed, clean, changed, otherwise}) == 4
