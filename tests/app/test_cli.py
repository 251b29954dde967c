"""The command line as typed: help, where a run goes, what the pipeline is given, sweeps."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fatebias import compose
from tests.report.folders import write_run

RUN_PY = Path(__file__).parents[2] / "run.py"
HEAVY = "torch pyro mlflow anndata pandas numpy scipy matplotlib submitit".split()


def given(folder: Path) -> dict:
    return json.loads((folder / "given.json").read_text())


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["--cfg", "job"],
        ["--info", "defaults"],
        ["priors.s_alhpa=1"],
        ["priors.s_tau=-1"],
        ["priors=weka"],
    ],
)
def test_help_config_and_refusals_import_nothing_heavy(tmp_path, words):
    code = (
        "import runpy, sys\n"
        f"sys.argv = {[str(RUN_PY), *words]!r}\n"
        "try:\n    runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "except SystemExit:\n    pass\n"
        f"print(sorted(set({HEAVY!r}) & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
    assert not list(tmp_path.iterdir())


def test_help_names_every_group_every_option_what_it_is_and_three_examples(terminal):
    done = terminal("--help")
    assert done.returncode == 0
    assert done.stderr == ""
    for group, options in compose.group_options([compose.CONF]).items():
        for option, comment in options.items():
            assert f" {group}={option} " in done.stdout
            assert comment in done.stdout
    assert "schema" not in done.stdout
    assert sum(line.startswith("  python run.py") for line in done.stdout.splitlines()) == 3


@pytest.mark.parametrize("words", [["--help"], ["--cfg", "job"]])
def test_a_reader_that_has_left_is_no_error(tmp_path, words):
    """As under ``| head -1``, where the first line is read and the rest is not."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, str(RUN_PY), *words], cwd=tmp_path, stdout=writer, stderr=subprocess.PIPE, text=True
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, "")


def test_help_marks_what_the_command_has_chosen(terminal):
    marked = [
        line.split()[1] for line in terminal("--help", "priors=weak").stdout.splitlines() if line[:1] == "*"
    ]
    assert "priors=weak" in marked
    assert "priors=default" not in marked


@pytest.mark.slow
def test_the_examples_of_the_help_compose(terminal, tmp_path):
    for name in ("screen.h5ad", "guides.csv"):
        (tmp_path / name).touch()
    lines = [
        line.strip() for line in terminal("--help").stdout.splitlines() if line.startswith("  python run.py")
    ]
    for line in lines:
        words = line.partition("   ")[0].split()[2:]
        done = terminal(*words, "hydra.run.dir=single", "hydra.sweep.dir=sweep", real=False)
        assert done.returncode == 0, (line, done.stderr)


def test_a_bare_command_writes_under_outputs_by_date_and_time(terminal, tmp_path):
    done = terminal(real=False)
    assert done.returncode == 0, done.stderr
    (record,) = tmp_path.rglob("given.json")
    assert record.relative_to(tmp_path).parts[0] == "outputs"
    assert given(record.parent)["config"]["out_dir"] == str(record.parent)


@pytest.mark.parametrize(
    "word", ["out_dir=a/b", "out_dir='with space, comma & ünïcode'", "out_dir=$HERE/absolute"]
)
def test_out_dir_is_where_the_run_goes_and_absolute_for_the_pipeline(terminal, tmp_path, word):
    done = terminal(word.replace("$HERE", str(tmp_path)), real=False)
    assert done.returncode == 0, done.stderr
    (record,) = tmp_path.rglob("given.json")
    name = word.partition("=")[2].strip("'").removeprefix("$HERE/")
    assert record.parent == tmp_path / name
    assert given(record.parent)["config"]["out_dir"] == str(tmp_path / name)


def test_out_dir_may_name_the_home_folder_and_other_settings(terminal, tmp_path):
    done = terminal(
        "out_dir='~/runs/${priors.s_tau}'", "priors=weak", real=False, HOME=str(tmp_path / "home")
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "home" / "runs" / "8.0" / "given.json").is_file()


def test_the_pipeline_is_given_absolute_paths_the_words_typed_and_the_options_chosen(terminal, tmp_path):
    words = [
        "data=anndata",
        "data.adata_path=in/screen.h5ad",
        "data.guide_map_csv='~/guides.csv'",
        "priors=weak",
    ]
    home = tmp_path / "home"
    for path in (
        tmp_path / "in" / "screen.h5ad",
        home / "guides.csv",
    ):  # which the fake does not read
        path.parent.mkdir()
        path.touch()
    done = terminal(*words, "out_dir=out", real=False, HOME=str(home))
    assert done.returncode == 0, done.stderr
    seen = given(tmp_path / "out")
    assert seen["config"]["data"]["adata_path"] == str(tmp_path / "in" / "screen.h5ad")
    assert seen["config"]["data"]["guide_map_csv"] == str(home / "guides.csv")
    assert seen["overrides"] == [*words, "out_dir=out"]
    assert seen["choices"] == {
        "data": "anndata",
        "priors": "weak",
        "model": "default",
        "inference": "svi",
        "export": "posterior",
        "calibration": "default",
        "discovery": "mashr",
        "tracking": "local",
        "launcher": "local",
    }


def test_a_sweep_writes_one_numbered_folder_a_run(terminal, tmp_path):
    done = terminal("-m", "priors=default,weak,tight", "likelihood_weight=0.5,1.0", "out_dir=out", real=False)
    assert done.returncode == 0, done.stderr
    runs = [given(tmp_path / "out" / str(number)) for number in range(6)]
    assert [(run["choices"]["priors"], run["config"]["likelihood_weight"]) for run in runs] == [
        (priors, weight) for priors in ("default", "weak", "tight") for weight in (0.5, 1.0)
    ]
    assert [run["config"]["out_dir"] for run in runs] == [str(tmp_path / "out" / str(n)) for n in range(6)]


def test_options_may_follow_settings(terminal, tmp_path):
    done = terminal("priors=weak", "-m", "seed=0,1", "out_dir=both", real=False)
    assert done.returncode == 0, done.stderr
    assert [given(tmp_path / "both" / member)["config"]["seed"] for member in "01"] == [0, 1]


def test_options_that_exclude_each_other_are_one_message(terminal):
    done = terminal("--multirun", "--cfg", "job", real=False)
    assert done.returncode == 1
    assert done.stderr.startswith("options that do not go together\n  found: Only one of --run")


def test_several_experiments_compose_the_later_over_the_earlier(terminal):
    done = terminal("experiment=[calibrated,permutation]", "--cfg", "hydra", "-p", "hydra.sweeper.params")
    assert done.returncode == 0, done.stderr
    assert "range(0,21)" in done.stdout
    done = terminal("experiment=[calibrated,permutation]", "--cfg", "job", "-p", "export.guides")
    assert done.stdout.strip() == "mixture"


def test_a_sweep_without_out_dir_writes_under_multirun(terminal, tmp_path):
    done = terminal("-m", "seed=0,1", real=False)
    assert done.returncode == 0, done.stderr
    found = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("given.json"))
    assert [(path.parts[0], path.parent.name) for path in found] == [("multirun", "0"), ("multirun", "1")]


def test_what_a_run_tells_stands_on_stdout_and_dated_in_its_log(terminal, tmp_path):
    done = terminal("out_dir=out", real=False)
    assert (done.stdout, done.stderr) == ("a note of the fake\na warning of the fake\n", "")
    log = (tmp_path / "out" / "run.log").read_text().splitlines()
    assert [line.split(maxsplit=2)[2] for line in log] == [
        "INFO fatebias: a note of the fake",
        "WARNING fatebias: a warning of the fake",
    ]


def test_report_writes_the_page_of_a_finished_run(terminal, tmp_path):
    folder = write_run(tmp_path / "results")
    done = terminal("report", "results")
    assert (done.returncode, done.stdout, done.stderr) == (0, "results/report.html\n", "")
    assert (folder / "report.html").is_file()
    refused = terminal("report", "nowhere")
    assert refused.returncode == 1
    assert refused.stderr.startswith("there is no finished discovery to report\n  where: nowhere\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["results"]
