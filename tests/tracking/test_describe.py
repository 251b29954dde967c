"""Names, parameters, tags and keys of runs."""

from __future__ import annotations

import dataclasses
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from fatebias.config import Config, InferenceConfig, PriorsConfig, TrackingConfig
from fatebias.tracking.describe import (
    code_version,
    describe_run,
    parameters,
    run_key,
    run_name,
    without_password,
)


@pytest.mark.parametrize(
    ("overrides", "name"),
    [
        ([], "defaults"),
        (["priors=weak", "likelihood_weight=0.5"], "priors=weak, likelihood_weight=0.5"),
        (["out_dir=/a/b", "tracking=off", "tracking.uri=null", "stages=[fit]", "resume=false"], "defaults"),
        (["hydra.run.dir=/x", "hydra/launcher=joblib", "launcher=slurm", "launcher.mem_gb=3"], "defaults"),
        (
            ["data=anndata", "data.adata_path=/long/way/screen.h5ad"],
            "data=anndata, data.adata_path=screen.h5ad",
        ),
        (["data.fates=[EC,MES]", "+x=1", "~y"], "data.fates=[EC,MES], x=1, ~y"),
        (["stages_of_life=3", "outer=1"], "stages_of_life=3, outer=1"),
        (["data.weights="], "data.weights="),
    ],
)
def test_a_run_is_named_by_its_overrides(overrides: list[str], name: str) -> None:
    assert run_name(overrides) == name


def test_a_name_fits_mlflows_column() -> None:
    name = run_name([f"priors.s_alpha={number}" for number in range(100)])
    assert len(name) == 250
    assert name.endswith("…")


def test_every_setting_and_choice_is_a_parameter_as_hydra_writes_it(composed: Callable[..., Config]) -> None:
    config = composed("priors=weak", "likelihood_weight=0.5", "data.fates=[EC,MES]")
    choices = describe_run(config, [], {"priors": "weak", "hydra/launcher": "basic"}).choices
    params = parameters(dataclasses.asdict(config), choices)

    assert params["priors"] == "weak"
    assert "hydra/launcher" not in params
    assert params["priors.s_alpha"] == str(config.priors.s_alpha)
    assert params["data.fates"] == "[EC, MES]"
    assert params["inference.batch_size"] == "null"
    assert params["resume"] == "true"
    assert params["likelihood_weight"] == "0.5"
    assert len(params) == count_leaves(dataclasses.asdict(config))  # and priors=weak, less out_dir
    assert "out_dir" not in params


def count_leaves(node: object) -> int:
    return sum(map(count_leaves, node.values())) if isinstance(node, dict) else 1


def test_tags_say_where_and_how_it_ran(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "2")
    monkeypatch.delenv("SLURM_ARRAY_JOB_ID", raising=False)
    command = ["/opt/run.py", "data.adata_path=my screen.h5ad", "tracking.uri=https://me:secret@host/x"]
    tags = describe_run(Config(), [], {"priors": "weak"}, command=command, sweep_id="s1").tags

    assert tags["slurm_job_id"] == "17"
    assert tags["restarts"] == "2"
    assert "slurm_array_job_id" not in tags
    assert tags["priors"] == "weak"
    assert tags["likelihood_weight"] == "1.0"
    assert tags["sweep_id"] == "s1"
    assert tags["mlflow.source.name"] == "run.py"
    assert tags["command"] == "/opt/run.py 'data.adata_path=my screen.h5ad' tracking.uri=https://***@host/x"
    assert tags["code_version"] == code_version()
    assert tags["host"]
    assert tags["mlflow.user"]


def test_passwords_are_left_out() -> None:
    config = Config(tracking=TrackingConfig(backend="server", uri="http://me:secret@host:5000"))
    assert parameters(dataclasses.asdict(config), {})["tracking.uri"] == "http://***@host:5000"
    assert without_password("http://host/a@b sqlite:////x") == "http://host/a@b sqlite:////x"


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
