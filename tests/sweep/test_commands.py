"""``python -m fatebias.sweep``: status, compare and retry."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fatebias.errors import ConfigError
from fatebias.sweep.__main__ import main
from fatebias.sweep.retry import quoted, retry_command, to_retry


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


def test_what_failed_or_never_began_is_started_again(written, tmp_path):
    records = [{"status": "done"}, {"status": "failed", "why": "x"}, {"status": "running"}, None]
    assert to_retry(written.sweep(tmp_path, *records)) == [1, 2, 3]


def test_nothing_is_started_when_nothing_failed(written, tmp_path, capsys):
    written.sweep(tmp_path, {"status": "done"})
    assert main(["retry", str(tmp_path)]) == 0
    assert capsys.readouterr().out == "no run has failed\n"


@pytest.mark.parametrize(
    ("typed", "before", "after"),
    [
        (["-m", "seed=0,1"], ["-m", "seed=0,1"], []),
        (["seed=0,1", "-m"], ["seed=0,1"], ["-m"]),
        (["-m", "--config-dir", "c", "seed=0"], ["-m", "--config-dir", "c", "seed=0"], []),
        (["-m"], ["-m"], []),
    ],
)
def test_words_are_added_behind_those_typed_where_hydra_reads_them(written, tmp_path, typed, before, after):
    submission = {**written.SUBMISSION, "command": ["/checkout/run.py", *typed]}
    sweep = written.sweep(tmp_path, None)
    command = retry_command(submission, sweep, [0, 2], ["hydra.launcher.mem_gb=64"])
    assert command == [
        "/venv/bin/python",
        "/checkout/run.py",
        *before,
        f"hydra.sweep.dir='{tmp_path}'",
        "hydra.launcher.mem_gb=64",
        "hydra.launcher.only=[0,2]",
        "hydra.launcher.as_recorded=true",
        *after,
    ]


@pytest.mark.parametrize("word", ["priors=weak", "+seed=3", "hydra.sweep.dir=x"])
def test_a_retry_keeps_the_settings_of_its_runs(written, tmp_path, word, capsys):
    sweep = written.sweep(tmp_path, None)
    with pytest.raises(ConfigError, match="a retry keeps the settings of its runs"):
        retry_command(sweep.submissions[0], sweep, [0], [word])


@pytest.mark.parametrize("path", ["/a b/c", "/it's", "/a,b=(c)/[d]", "/$HOME", "/${x}", "/back\\slash", "/ü"])
def test_any_folder_reaches_hydra_as_it_is(path):
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from omegaconf import OmegaConf

    override = OverridesParser.create().parse_override(f"hydra.sweep.dir={quoted(path)}")
    assert OmegaConf.create({"dir": override.value()}).dir == path


def test_retry_runs_the_failed_run_again_and_leaves_the_other(terminal, tmp_path, capfd):
    fails = '{"priors=weak": "FitError"}'
    words = ["-m", "priors=weak,tight", "out_dir='a b'"]
    assert terminal(*words, real=False, FAKE_FAILURES=fails).returncode == 1
    root = tmp_path / "a b"
    # The fake pipeline writes no run.json; and a retry takes run.py as typed, so the fake is put there again.
    (root / "1" / "run.json").write_text('{"status": "done", "stages": {}}')
    (root / "0" / "run.json").write_text('{"status": "failed", "why": "x", "stages": {}}')
    record = json.loads((root / "sweep.json").read_text())
    record["submissions"][0]["command"][0] = str(Path(__file__).parents[1] / "fake_pipeline.py")
    (root / "sweep.json").write_text(json.dumps(record))
    before = (root / "1" / "given.json").read_bytes()
    assert main(["retry", str(root)]) == 0
    out = capfd.readouterr().out
    assert "#0 priors=weak" in out
    assert "#1" not in out
    assert json.loads((root / "0" / "given.json").read_text())["choices"]["priors"] == "weak"
    assert (root / "1" / "given.json").read_bytes() == before
    assert len(json.loads((root / "sweep.json").read_text())["submissions"]) == 2
