"""What goes wrong on a command line: one message, exit code 1, no traceback, nothing left behind."""

from __future__ import annotations

from pathlib import Path

import pytest

FIT_ERROR = "the fake fit failed\n  where: fake\n  fix: take the real one\n"
WEAK_FAILS = '{"priors=weak": "FitError"}'


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["priors.s_tau=-1"],
            "priors.s_tau has a value that cannot be used\n"
            "  where: priors.s_tau\n  found: -1.0\n  allowed: a finite number above zero\n",
        ),
        (
            ["data.contrast_fate=EC"],
            "data.contrast_fate has a value that cannot be used\n"
            "  where: data.contrast_fate\n  found: EC, which is data.ref_fate too\n  allowed: MES, NEU\n",
        ),
        (
            ["+priors.s_alhpa=1"],
            "there is no setting priors.s_alhpa\n  where: command line, +priors.s_alhpa=1\n"
            "  allowed: priors.s_alpha, priors.s_rep, priors.s_gamma, priors.s_tau, priors.s_time, "
            "priors.s_guide, priors.s_covar\n"
            "  fix: did you mean priors.s_alpha?\n",
        ),
        (
            ["priors=weka"],
            "there is no option weka in the group priors\n"
            "  allowed: default, tight, weak\n  fix: did you mean priors=weak?\n",
        ),
        (
            ["seed=1.5"],
            "seed has a value of the wrong kind\n  where: command line, seed=1.5\n"
            "  found: Value '1.5' of type 'float' could not be converted to Integer\n"
            "  allowed: a whole number\n",
        ),
        (
            ["stages=fit"],
            "stages has a value of the wrong kind\n  where: command line, stages=fit\n"
            "  found: Invalid value assigned: str is not a ListConfig, list or tuple\n"
            "  allowed: a list in brackets, such as [a,b]\n",
        ),
        (
            ["data.D=four"],
            "data.D has a value of the wrong kind\n  where: command line, data.D=four\n"
            "  found: Value 'four' of type 'str' could not be converted to Integer\n"
            "  allowed: a whole number or null\n",
        ),
    ],
)
def test_a_refused_setting_is_one_message_and_leaves_nothing(terminal, tmp_path, words, message):
    done = terminal(*words)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", message)
    assert not list(tmp_path.iterdir())


def test_several_options_without_a_sweep_are_refused_with_hydra_s_advice(terminal, tmp_path):
    done = terminal("priors=weak,tight")
    assert done.returncode == 1
    assert "To sweep over it, add --multirun" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("flags", [[], ["-m"]])
def test_an_out_dir_that_cannot_be_written_is_refused_before_anything_runs(terminal, tmp_path, flags):
    (tmp_path / "file").touch()
    done = terminal(*flags, "out_dir=file/below", real=False)
    assert (done.returncode, done.stderr) == (
        1,
        "out_dir cannot be written\n  where: file/below\n  found: Not a directory\n"
        "  fix: free some room there, or give a folder that you may write to: out_dir=PATH\n",
    )
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_a_failed_run_is_one_message_on_stderr_the_same_in_the_log_and_exit_code_1(terminal, tmp_path):
    done = terminal("priors=weak", "out_dir=out", real=False, FAKE_FAILURES=WEAK_FAILS)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", FIT_ERROR)
    assert f"ERROR fatebias.app.cli: {FIT_ERROR}" in (tmp_path / "out" / "run.log").read_text()


def test_a_bug_shows_its_traceback_on_the_terminal_and_in_the_log(terminal, tmp_path):
    done = terminal("seed=1", "out_dir=out", real=False, FAKE_FAILURES='{"seed=1": "ZeroDivisionError"}')
    assert done.returncode == 1
    assert done.stderr.count("Traceback") == 1
    assert "ZeroDivisionError: a fake bug" in done.stderr
    assert "ZeroDivisionError: a fake bug" in (tmp_path / "out" / "run.log").read_text()


def test_an_interrupted_run_says_so_in_one_line(terminal):
    done = terminal("seed=1", "out_dir=out", real=False, FAKE_FAILURES='{"seed=1": "KeyboardInterrupt"}')
    assert (done.returncode, done.stderr) == (130, "interrupted; finished stages are kept\n")


@pytest.mark.parametrize(
    ("words", "real", "error"),
    [
        (["priors.s_tau=-1"], True, "fatebias.errors.ConfigError: priors.s_tau has a value"),
        (
            ["priors=weka"],
            True,
            "hydra.errors.MissingConfigException: In 'config': Could not find 'priors/weka'",
        ),
        (["priors=weak", "out_dir=out"], False, "fatebias.errors.FitError: the fake fit failed"),
        (["-m", "priors=weak,tight", "out_dir=out"], False, "fatebias.errors.SweepError: 1 of 2 runs"),
    ],
)
def test_hydra_full_error_shows_tracebacks(terminal, words, real, error):
    done = terminal(*words, real=real, HYDRA_FULL_ERROR="1", FAKE_FAILURES=WEAK_FAILS)
    assert done.returncode == 1
    assert "Traceback (most recent call last)" in done.stderr
    assert error in done.stderr


def test_a_failing_run_of_a_sweep_does_not_stop_the_others_and_is_named_at_the_end(terminal, tmp_path):
    failures = '{"priors=weak": "FitError", "priors=tight": "ZeroDivisionError"}'
    done = terminal("-m", "priors=weak,default,tight", "out_dir=out", real=False, FAKE_FAILURES=failures)
    assert done.returncode == 1
    assert done.stderr.startswith(FIT_ERROR)
    assert done.stderr.endswith(
        "2 of 3 runs of the sweep failed\n"
        f"#0 priors=weak: the fake fit failed\n  log: {tmp_path}/out/0/run.log\n"
        f"#2 priors=tight: a fake bug\n  log: {tmp_path}/out/2/run.log\n"
    )
    assert [path.parent.name for path in tmp_path.rglob("given.json")] == ["1"]


def test_a_sweep_with_a_value_that_cannot_be_used_starts_none_of_its_runs(terminal, tmp_path):
    done = terminal("-m", "likelihood_weight=1.0,-1,0", "out_dir=out", real=False)
    assert done.returncode == 1
    assert done.stderr.startswith(
        "2 of 3 runs of the sweep are refused, none was started\n"
        "#1 likelihood_weight=-1: likelihood_weight has a value that cannot be used\n"
    )
    assert "#2 likelihood_weight=0: " in done.stderr
    assert [path.name for path in Path(tmp_path, "out").iterdir()] == ["multirun.yaml"]
