"""``python -m fatebias.sweep``: status, compare and retry."""

from __future__ import annotations

import dataclasses
import json

import pytest
from hydra import compose as hydra_compose
from hydra import initialize_config_dir

from fatebias import compose
from fatebias.errors import ConfigError
from fatebias.sweep.__main__ import main
from fatebias.sweep.retry import launcher_of, quoted, retry, to_start
from fatebias.sweep.settings import ParallelSettings
from fatebias.sweep.status import statuses


def hydra_config(*words: str):
    compose.register()
    with initialize_config_dir(str(compose.CONF), version_base="1.3"):
        return hydra_compose("config", overrides=[*words], return_hydra_config=True)


def test_status_ends_with_1_when_a_run_has_failed(written, tmp_path, capsys):
    written.sweep(tmp_path / "good", {"status": "done"})
    written.sweep(tmp_path / "bad", {"status": "done"}, {"status": "failed", "why": "no R"})
    assert main(["status", str(tmp_path / "good")]) == 0
    assert main(["status", str(tmp_path / "bad")]) == 1
    assert "no R" in capsys.readouterr().out


def test_a_folder_alone_is_compared(written, tmp_path, capsys):
    written.sweep(tmp_path, {"status": "done"})
    assert main([str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"{tmp_path}/sweep_summary.csv\n"


@pytest.mark.parametrize("name", ["compare", "status", "retry"])
def test_a_folder_may_be_called_as_a_command_is(written, tmp_path, monkeypatch, capsys, name):
    monkeypatch.chdir(tmp_path)
    written.sweep(tmp_path / name, {"status": "done"})
    assert main([name]) == 0
    assert capsys.readouterr().out == f"{tmp_path}/{name}/sweep_summary.csv\n"
    assert main(["status", name]) == 0
    assert "1 done" in capsys.readouterr().out


def test_a_folder_without_a_sweep_is_one_message(tmp_path, capsys):
    assert main(["status", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith("there is no sweep in this folder")


def test_a_file_is_no_sweep_and_a_torn_one_says_what_to_do(tmp_path, capsys):
    file = tmp_path / "lib.csv"
    file.write_text("a\n")
    assert main(["submit", str(file)]) == 1
    assert capsys.readouterr().err.startswith(
        f"there is no sweep here: this is a file\n  where: {file}\n  fix: give the out_dir of a sweep"
    )
    (tmp_path / "sweep.json").write_text('{"id": "x", "mem')
    assert main(["status", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"sweep.json is torn, or was written by something else\n  where: {tmp_path}")
    assert "fix: type the sweep's command again with the same out_dir" in said


def test_what_failed_or_never_began_is_started_again(written, tmp_path):
    records = [{"status": "done"}, {"status": "failed", "why": "x"}, {"status": "running"}, None]
    found = statuses(written.sweep(tmp_path, *records))
    assert to_start(found) == [1, 2, 3]
    assert to_start(found, failed=False) == [3]


def test_a_run_of_which_slurm_says_nothing_is_left_alone(written, tmp_path, fake_slurm, capsys):
    fake_slurm(silent="Unable to contact slurm controller (connect failure)")
    written.sweep(tmp_path, {"status": "running"}, job_ids=True)
    assert main(["retry", str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "#0 is left alone: Slurm says nothing of its job 7_0: Unable to contact slurm controller "
        "(connect failure)",
        "no run has failed",
    ]
    assert main(["status", str(tmp_path)]) == 0
    assert "1 unknown" in capsys.readouterr().out


def test_nothing_is_started_when_nothing_failed(written, tmp_path, capsys):
    written.sweep(tmp_path, {"status": "done"})
    assert main(["retry", str(tmp_path)]) == 0
    assert capsys.readouterr().out == "no run has failed\n"


@pytest.mark.parametrize("word", ["priors=weak", "+seed=3", "hydra.sweep.dir=x"])
def test_a_retry_keeps_the_settings_of_its_runs(written, tmp_path, word):
    with pytest.raises(ConfigError, match="a retry keeps the settings of its runs"):
        retry(written.sweep(tmp_path, None), [word])


@pytest.fixture
def queued():
    return hydra_config("launcher=slurm_cpu", "hydra.launcher.partition=mine", "device=cpu")


@pytest.mark.parametrize(
    ("words", "changed"),
    [
        ([], {}),
        (["hydra.launcher.mem_gb=64"], {"mem_gb": 64.0}),
        (
            ["hydra.launcher.timeout_min=480", "+hydra.launcher.sbatch.reservation=course"],
            {"timeout_min": 480, "sbatch": {"reservation": "course"}},
        ),
    ],
)
def test_the_launcher_keeps_its_settings_but_for_those_typed(queued, words, changed):
    before = launcher_of(queued, [])
    assert (before.partition, before.gpus, before.mem_gb) == ("mine", 0, 16.0)
    assert dataclasses.asdict(launcher_of(queued, words)) == dataclasses.asdict(before) | changed


def test_another_launcher_brings_its_own_settings(queued):
    assert launcher_of(queued, ["launcher=local_parallel", "hydra.launcher.n_jobs=3"]) == ParallelSettings(
        n_jobs=3
    )
    assert launcher_of(queued, ["launcher=sherlock"]).partition == "gpu"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["hydra.launcher.mem=64"],
            "(?s)the launcher has no setting mem\n.*did you mean hydra.launcher.mem_gb",
        ),
        (["hydra.launcher.mem_gb=much"], "a setting of the launcher cannot be used\n.*mem_gb=much"),
        (["hydra.launcher.cpus=0"], "hydra.launcher.cpus has a value that cannot be used"),
        (["launcher=sherlok"], "(?s)the launcher cannot be composed\n.*launcher=sherlok.*sherlock"),
        (["launcher=local", "hydra.launcher.mem_gb=4"], "it belongs to launcher=slurm"),
    ],
)
def test_a_launcher_s_setting_that_cannot_be_used_is_refused(queued, words, message):
    with pytest.raises(ConfigError, match=message):
        launcher_of(queued, words)


@pytest.mark.parametrize("path", ["/a b/c", "/it's", "/a,b=(c)/[d]", "/$HOME", "/${x}", "/back\\slash", "/ü"])
def test_any_folder_reaches_hydra_as_it_is(path):
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from omegaconf import OmegaConf

    override = OverridesParser.create().parse_override(f"hydra.sweep.dir={quoted(path)}")
    assert OmegaConf.create({"dir": override.value()}).dir == path


@pytest.mark.slow
def test_retry_runs_the_failed_run_again_and_leaves_the_other(terminal, retried, tmp_path):
    fails = '{"priors=weak": "FitError"}'
    words = ["-m", "priors=weak,tight", "out_dir='a b'"]
    assert terminal(*words, real=False, FAKE_FAILURES=fails).returncode == 1
    root = tmp_path / "a b"
    # The fake pipeline writes no run.json.
    (root / "1" / "run.json").write_text('{"status": "done", "stages": {}}')
    (root / "0" / "run.json").write_text('{"status": "failed", "why": "x", "stages": {}}')
    before = (root / "1" / "given.json").read_bytes()
    done = retried(root)
    assert done.returncode == 0, done.stderr
    assert "#0 priors=weak" in done.stdout
    assert "#1" not in done.stdout
    assert json.loads((root / "0" / "given.json").read_text())["choices"]["priors"] == "weak"
    assert (root / "1" / "given.json").read_bytes() == before
    assert len(json.loads((root / "sweep.json").read_text())["submissions"]) == 2


def test_a_retry_that_fails_again_says_so(terminal, retried, tmp_path):
    fails = '{"priors=weak": "FitError"}'
    terminal("-m", "priors=weak", "out_dir=out", real=False, FAKE_FAILURES=fails)
    (tmp_path / "out" / "0" / "run.json").write_text('{"status": "failed", "why": "x", "stages": {}}')
    done = retried(tmp_path / "out", FAKE_FAILURES=fails)
    assert done.returncode == 1
    assert "1 of 1 runs of the sweep failed\n#0 priors=weak: the fake fit failed" in done.stderr
    assert "Traceback" not in done.stderr
