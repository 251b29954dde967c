"""run_mashr.R under plain R: its arguments, its checks, and its answer when the packages are missing."""

import subprocess
from pathlib import Path

import pytest

from fatebias.config import DiscoveryConfig
from fatebias.discovery.rscript import rscript_has, script_path
from fatebias.errors import DiscoveryError
from tests.discovery.csv_files import discover

DATA = Path(__file__).parents[2] / "golden" / "mash"
TINY = DATA / "tiny12_in.csv"
HEAD = "gene,betahat_d0,se_d0\n"


def test_help(bare_r):
    done = bare_r("--help")
    assert done.returncode == 0
    assert done.stdout.startswith("Usage: Rscript run_mashr.R IN OUT [options]")
    for option in (
        "method",
        "prior",
        "nullweight",
        "covariances",
        "rank-one",
        "null-correlation",
        "V",
        "threshold",
        "seed",
    ):
        assert f"--{option} " in done.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "expected IN and OUT, found 0 file names"),
        (("one",), "expected IN and OUT, found 1 file names"),
        (("one", "two", "three"), "found 3 file names"),
        (("in", "out", "--pior", "uniform"), "unknown option --pior; there are --method --prior"),
        (("in", "out", "--prior"), "option --prior needs a value"),
        (("in", "out", "--prior=flat"), "--prior is flat; allowed: nullbiased, uniform"),
        (("in", "out", "--method", "ash"), "--method is ash; allowed: mashr, ashr"),
        (("in", "out", "--nullweight", "0"), "--nullweight is 0; allowed: a number from 1 to Inf"),
        (("in", "out", "--nullweight=ten"), "--nullweight is ten"),
        (("in", "out", "--threshold=5"), "--threshold is 5; allowed: a number from 0 to 1"),
        (("in", "out", "--seed=-1"), "--seed is -1"),
    ],
)
def test_usage_errors_end_with_2(words, message, bare_r):
    done = bare_r(*words)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no such file"),
        ("", "is not a CSV"),
        (HEAD, "has no rows"),
        ("gene,betahat_d0\na,1\n", "lacks the column(s) se_d0; it has gene, betahat_d0"),
        ("betahat_d0,se_d0\n1,1\n", "lacks the column(s) gene"),
        ("gene,betahat_d0,betahat_d2,se_d0,se_d2\na,1,1,1,1\n", "lacks the column(s) betahat_d1, se_d1"),
        (HEAD + "a,1,1\nb,1,1\na,2,1\n", "has more than one row for a"),
        (HEAD + "a,1,1\nb,1,0\n", "1 value(s) are not finite and above zero: b se_d0=0"),
        (HEAD + "a,1,Inf\n", "a se_d0=Inf"),
        (HEAD + "a,NA,1\n", "1 value(s) are not finite: a betahat_d0=NA"),
        (HEAD + "a,one,1\n", "a betahat_d0=one"),
        (
            HEAD + "".join(f"g{i},1,0\n" for i in range(12)),
            "12 value(s) are not finite and above zero: g0 se_d0=0,",
        ),
    ],
)
def test_input_errors_end_with_3(text, message, bare_r, tmp_path):
    path = tmp_path / "in.csv"
    if text is not None:
        path.write_text(text)
    done = bare_r(path, tmp_path / "out.csv")
    assert done.returncode == 3
    assert message in done.stderr
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize("method", ["mashr", "ashr"])
def test_missing_package_ends_with_4_and_says_how_to_get_it(method, bare_r, tmp_path):
    done = bare_r(TINY, tmp_path / "out.csv", "--method", method)
    if done.returncode == 0:
        pytest.skip(f"R package {method} is among R's own packages")
    assert done.returncode == 4
    assert f"the R package {method} is missing or broken" in done.stderr
    assert "conda env create -f mashr/mash.yaml" in done.stderr
    assert "discovery.engine=native" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_missing_package_seen_from_python(bare_r, rscript, tmp_path, monkeypatch):
    for name in ("R_LIBS", "R_LIBS_USER", "R_LIBS_SITE"):
        monkeypatch.setenv(name, str(tmp_path))
    # A path of its own keeps this answer apart from those of other tests, which are kept for the process.
    command = [str(tmp_path / "Rscript")]
    Path(command[0]).symlink_to(rscript)
    answer = rscript_has(command, "mashr")
    if answer.version is not None:
        pytest.skip("R package mashr is among R's own packages")
    assert answer.why_not == "R package mashr is not installed"
    report, _ = discover(TINY, tmp_path / "out.csv", DiscoveryConfig(command=command))
    assert report.notes[0] == "discovery by the embedded engine: R package mashr is not installed"
    with pytest.raises(
        DiscoveryError, match="R's mashr does not answer[\\s\\S]*R package mashr is not installed"
    ):
        discover(TINY, tmp_path / "out.csv", DiscoveryConfig(engine="rscript", command=command))


@pytest.mark.parametrize(
    "name", ["two words", "quo'te\"d", "semi;colon", "new\nline", "ünïcode-文", "$HOME `id`", "*"]
)
def test_hostile_paths_reach_the_input_check(name, bare_r, tmp_path):
    folder = tmp_path / name
    folder.mkdir()
    (folder / "in.csv").write_text(HEAD + 'a,1,1\n"b,""c""",1,0\n')
    done = bare_r(folder / "in.csv", folder / "out.csv")
    assert done.returncode == 3
    assert 'b,"c" se_d0=0' in done.stderr


def test_r_parses_the_script_without_running_it(rscript):
    words = [rscript, "-e", "invisible(parse(commandArgs(TRUE)))", str(script_path())]
    assert subprocess.run(words, check=False).returncode == 0


def test_conda_environment_is_the_seed_texts():
    assert (script_path().parents[1] / "mashr" / "mash.yaml").read_text() == (
        "name: fate-mash\nchannels:\n  - conda-forge\ndependencies:\n"
        "  - r-base>=4.3\n  - r-data.table\n  - r-ashr\n  - r-mashr\n"
    )
