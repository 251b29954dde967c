"""Discovery end to end: the embedded engine for real, the R engine with a fake Rscript (fake_rscript.py)."""

import dataclasses
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fatebias import names
from fatebias.config import DiscoveryConfig
from fatebias.discovery.core import discover_summary
from fatebias.discovery.engine import call_rule, choose_engine
from fatebias.discovery.input import summary_of
from fatebias.discovery.ranking import CallRule
from fatebias.discovery.rscript import rscript_has, script_path
from fatebias.errors import DiscoveryError, OutputError
from fatebias.mash.effect_likelihood import EffectLikelihood, Rows
from fatebias.mash.joint import JointPosterior, Prior
from tests.discovery.csv_files import discover

FAKE = [sys.executable, str(Path(__file__).with_name("fake_rscript.py"))]

# Names that a shell, R's front end (itself a shell script) or a careless CSV reader would take apart.
HOSTILE = [
    "two words",
    "quo'te\"d",
    "semi;colon",
    "new\nline",
    "ünïcode-文",
    "$HOME `id`",
    "*",
    "a\\b",
    "--help",
]


@pytest.fixture
def in_csv(write_summary, screen):
    _, bhat, shat = screen(40, 3)
    return write_summary(bhat, shat)


def fake(mode, **settings):
    return DiscoveryConfig(engine="rscript", command=[*FAKE, mode], **settings)


def left_over(folder):
    return sorted(p.name for p in folder.iterdir() if p.name.startswith(".") or p.suffix == ".csv")


def test_embedded_engine_writes_the_table_and_tells_what_it_did(in_csv, tmp_path):
    out = tmp_path / "gene_summary_mash_out.csv"
    report, _ = discover(in_csv, out, DiscoveryConfig(engine="native"))
    table = pd.read_csv(out)
    days = ["d0", "d1", "d2"]
    assert list(table) == (
        ["gene"]
        + [
            f"{prefix}_{d}"
            for prefix in ("betahat", "se", "postmean", "postsd", "lfsr", "plarge")
            for d in days
        ]
        + ["lfsr_min", "best_day", "hit_anyday"]
    )
    given = pd.read_csv(in_csv, dtype=str)
    pd.testing.assert_frame_equal(pd.read_csv(out, dtype=str)[list(given)], given)
    assert report.engine == "native"
    assert (report.n_genes, report.n_days, report.n_hits) == (40, 3, table["hit_anyday"].sum())
    lfsr = table[names.day_columns(names.LFSR, 3)].to_numpy()
    assert report.n_calls == (lfsr < 0.05).sum() > 0
    assert report.expected_false == pytest.approx(lfsr[lfsr < 0.05].sum())
    assert report.notes[0] == "discovery by the embedded engine, as discovery.engine=native asks"
    assert sum(report.pi.values()) == pytest.approx(1)
    assert np.shape(report.V) == (3, 3)
    assert json.loads(json.dumps(dataclasses.asdict(report))) == dataclasses.asdict(report)
    assert left_over(tmp_path) == ["gene_summary_for_mash.csv", "gene_summary_mash_out.csv"]


def test_a_full_disk_leaves_the_earlier_table(in_csv, tmp_path, monkeypatch):
    def half_written(self, path, **_):
        Path(path).write_text("gene,")
        raise OSError(28, "No space left on device")

    out = tmp_path / "out.csv"
    out.write_text("of an earlier run")
    monkeypatch.setattr(pd.DataFrame, "to_csv", half_written)
    with pytest.raises(OutputError, match=r"out.csv could not be written[\s\S]*No space left on device"):
        discover(in_csv, out, DiscoveryConfig(engine="native"))
    assert out.read_text() == "of an earlier run"
    assert left_over(tmp_path) == ["gene_summary_for_mash.csv", "out.csv"]


def test_same_bytes_again(in_csv, tmp_path):
    for name in ("one.csv", "two.csv"):
        discover(in_csv, tmp_path / name, DiscoveryConfig(engine="native", covariances="datadriven"))
    assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "two.csv").read_bytes()


def test_ashr_has_q_values_and_its_own_thresholds(in_csv, tmp_path):
    out = tmp_path / "out.csv"
    strict = DiscoveryConfig(
        engine="native", method="ashr", mash_lfsr_thresh=0.9, lfsr_thresh=0.2, qvalue_thresh=0.01
    )
    assert call_rule(strict) == CallRule(lfsr=0.2, qvalue=0.01)
    report, _ = discover(in_csv, out, strict)
    table = pd.read_csv(out)
    passes = (table.filter(like="lfsr_d").to_numpy() < 0.2) & (
        table.filter(like="qvalue_d").to_numpy() < 0.01
    )
    np.testing.assert_array_equal(table["hit_anyday"], passes.any(axis=1))
    assert report.V is None
    assert (
        0 < report.n_hits < discover(in_csv, out, dataclasses.replace(strict, qvalue_thresh=None))[0].n_hits
    )


@pytest.mark.parametrize("shape", ["one for all", "each gene its own"])
def test_error_correlation_given_from_outside(shape, in_csv, tmp_path):
    v = np.full((3, 3), 0.9) + 0.1 * np.eye(3)
    given = v if shape == "one for all" else np.repeat(v[None], 40, axis=0)
    report, _ = discover(in_csv, tmp_path / "out.csv", DiscoveryConfig(engine="native"), given)
    plain, _ = discover(in_csv, tmp_path / "plain.csv", DiscoveryConfig(engine="native"))
    assert report.loglik != pytest.approx(plain.loglik)
    assert report.V == (v.tolist() if shape == "one for all" else None)


def test_order_of_genes_does_not_matter(tmp_path, write_summary, screen):
    """Each gene keeps its own error correlation, in the data-driven patterns too."""
    _, bhat, shat = screen(40, 3)
    rng = np.random.default_rng(0)
    v = np.stack([np.corrcoef(rng.normal(size=(3, 12))) for _ in range(40)])
    shuffled = rng.permutation(40)
    settings = DiscoveryConfig(engine="native", covariances="datadriven")
    discover(write_summary(bhat, shat), tmp_path / "one.csv", settings, v)
    names = [f"g{i}" for i in shuffled]
    discover(
        write_summary(bhat[shuffled], shat[shuffled], names), tmp_path / "two.csv", settings, v[shuffled]
    )
    one, two = (
        pd.read_csv(tmp_path / name, index_col="gene").sort_index() for name in ("one.csv", "two.csv")
    )
    pd.testing.assert_frame_equal(one, two, rtol=1e-6, atol=1e-6)


def test_data_driven_falls_back_aloud_where_nothing_is_strong(tmp_path, write_summary):
    path = write_summary(np.full((20, 2), 0.01), np.ones((20, 2)))
    report, _ = discover(
        path, tmp_path / "out.csv", DiscoveryConfig(engine="native", covariances="datadriven")
    )
    assert (
        "canonical covariances only: 0 strong genes on 2 day(s), too few for data-driven ones" in report.notes
    )


def test_uniform_prior_and_null_weight_reach_the_fit(in_csv, tmp_path):
    def null(**settings):
        report, _ = discover(in_csv, tmp_path / "out.csv", DiscoveryConfig(engine="native", **settings))
        return report.pi.get("null", 0.0)

    assert null(prior="uniform") < null() < null(nullweight=100.0)
    assert null(nullweight=1.0) == pytest.approx(null(prior="uniform"))


# ---- choosing --------------------------------------------------------------------------------


def test_auto_takes_r_where_it_answers(in_csv, tmp_path):
    report, _ = discover(in_csv, tmp_path / "out.csv", DiscoveryConfig(command=[*FAKE, "good"]))
    assert report.engine == "rscript"
    assert report.notes == ["discovery by R's mashr 0.0.7", "a fake note"]
    assert report.versions == {"R": "fake"}


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ([*FAKE, "no package"], "R package mashr is not installed"),
        ([*FAKE, "broken package"], "R could not load mashr: libgsl.so.27: cannot open shared object file"),
        (["no-such-rscript"], "no-such-rscript cannot be started: No such file or directory"),
        (["/"], "/ cannot be started: Permission denied"),
        ([sys.executable, "-c", "pass"], "R could not load mashr: exit code 0"),
    ],
    ids=["no package", "broken package", "no Rscript", "no program", "not R"],
)
def test_auto_falls_back_and_rscript_refuses_with_the_same_reason(command, why, in_csv, tmp_path, caplog):
    with caplog.at_level("INFO"):
        report, _ = discover(in_csv, tmp_path / "out.csv", DiscoveryConfig(command=command))
    assert report.engine == "native"
    assert report.notes[0] == f"discovery by the embedded engine: {why}"
    assert report.notes[0] in caplog.messages
    with pytest.raises(
        DiscoveryError, match=r"discovery.engine=rscript, but R's mashr does not answer"
    ) as caught:
        discover(in_csv, tmp_path / "refused.csv", DiscoveryConfig(engine="rscript", command=command))
    assert why in str(caught.value)
    assert "discovery.engine=native" in str(caught.value)
    assert not (tmp_path / "refused.csv").exists()


def test_learnt_covariances_are_those_of_the_embedded_engine(in_csv):
    engine, why = choose_engine(DiscoveryConfig(command=[*FAKE, "good"], covariances="learnt"), n_genes=40)
    assert engine == "native"
    assert "which alone has discovery.covariances=learnt" in why[0]
    with pytest.raises(
        DiscoveryError, match=r"does not learn covariances[\s\S]*fix: discovery.engine=native"
    ):
        choose_engine(DiscoveryConfig(engine="rscript", covariances="learnt"), n_genes=40)
    settings = DiscoveryConfig(engine="native", covariances="learnt")
    report, _ = discover(in_csv, in_csv.parent / "out.csv", settings)
    assert report.engine == "native"


def test_a_single_gene_goes_to_the_embedded_engine(in_csv):
    engine, why = choose_engine(DiscoveryConfig(command=[*FAKE, "good"]), n_genes=1)
    assert engine == "native"
    assert why == ["discovery by the embedded engine: R's mashr takes two genes or more"]


def test_r_is_asked_once_a_process(tmp_path):
    counter = tmp_path / "asked"
    command = [sys.executable, "-c", f"open({str(counter)!r}, 'a').write('x'); print('version:1')"]
    assert rscript_has(command, "mashr") == rscript_has(command, "mashr")
    assert counter.read_text() == "x"


# ---- the R engine, with a fake Rscript -------------------------------------------------------


def test_table_and_report_of_the_r_engine(in_csv, tmp_path):
    out = tmp_path / "out.csv"
    report, _ = discover(in_csv, out, fake("good"))
    table = pd.read_csv(out)
    np.testing.assert_allclose(table["postmean_d1"], table["betahat_d1"] / 2)
    assert (report.loglik, report.pi, report.V) == (-1.5, {"null": 1.0}, np.eye(3).tolist())
    # The lfsr are those of the mixture that R fitted, not R's own, which may be rounded to 0.
    prior = Prior.of(np.array([0.5, 0.5]), np.stack([np.zeros((3, 3)), 4 * np.eye(3)]))
    bhat, se = (table.filter(like=prefix).to_numpy() for prefix in ("betahat_d", "se_d"))
    expected = JointPosterior(bhat, se, np.eye(3), (prior,)).log_lfsr
    np.testing.assert_allclose(table.filter(like="lfsr_d"), np.exp(expected))
    assert report.n_hits == (expected < np.log(0.05)).any(axis=1).sum()
    assert left_over(tmp_path) == ["gene_summary_for_mash.csv", "out.csv"]


def test_r_is_given_the_moments_of_several_normals_and_says_so(screen, tmp_path):
    _, bhat, shat = screen(40, 3)
    covariance = shat[:, :, None] ** 2 * np.eye(3)
    pieces = EffectLikelihood(
        np.stack([bhat - shat, bhat + shat], axis=1).reshape(80, 3),
        np.repeat(covariance, 2, axis=0),
        *(np.zeros(80),) * 2,
        Rows.of([2] * 40),
    )
    genes = [f"g{i}" for i in range(40)]
    given = summary_of(genes, bhat, np.sqrt(2) * shat)
    plain, told = (
        discover_summary(given, fake("good"), likelihood=each, folder=tmp_path) for each in (None, pieces)
    )
    pd.testing.assert_frame_equal(told.table, plain.table)
    assert any("R's mashr takes one normal a gene" in note for note in told.report.notes)
    assert not any("one normal" in note for note in plain.report.notes)


def test_ashr_of_the_r_engine_reads_q_values(in_csv, tmp_path):
    discover(in_csv, tmp_path / "out.csv", fake("good", method="ashr"))
    assert "qvalue_d2" in pd.read_csv(tmp_path / "out.csv")


def test_ashr_takes_no_correlation_to_r(in_csv, tmp_path):
    discover(in_csv, tmp_path / "out.csv", fake("good", method="ashr", null_correlation="fit"))
    assert "--null-correlation=identity" in json.loads((tmp_path / "fake_words.json").read_text())


def test_words_given_to_r(in_csv, tmp_path):
    settings = {
        "prior": "uniform",
        "nullweight": 3.0,
        "covariances": "datadriven",
        "rank_one": "mend",
        "null_correlation": "identity",
    }
    discover(in_csv, tmp_path / "out.csv", fake("good", seed=0, **settings), np.eye(3))
    script, given_in, given_out, *options = json.loads((tmp_path / "fake_words.json").read_text())
    assert script == str(script_path())
    assert Path(given_in).parent == Path(given_out).parent
    assert Path(given_out).parent.parent == tmp_path
    assert options[:7] == [
        "--method=mashr", "--prior=uniform", "--nullweight=3.0", "--covariances=datadriven",
        "--rank-one=mend", "--null-correlation=identity", "--seed=0",
    ]  # fmt: skip
    assert options[7] == "--V"


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_paths_and_genes_arrive_as_they_are(name, tmp_path, write_summary, monkeypatch):
    folder = tmp_path / name
    folder.mkdir()
    in_csv = write_summary(np.ones((3, 2)), np.ones((3, 2)), ["NA", name, 'a,"b"']).rename(
        folder / f"{name}.csv"
    )
    out = folder / "out.csv"
    discover(in_csv, out, fake("good"))
    assert json.loads((folder / "fake_words.json").read_text())[1].startswith(f"{folder}/.rscript-")
    assert pd.read_csv(out, na_filter=False)["gene"].tolist() == ["NA", name, 'a,"b"']
    monkeypatch.chdir(folder)
    discover(Path(in_csv.name), Path("relative.csv"), fake("good"))
    assert (folder / "relative.csv").read_bytes() == out.read_bytes()
    assert json.loads((folder / "fake_words.json").read_text())[1].startswith(f"{folder}/.rscript-")


@pytest.mark.parametrize(
    ("mode", "message"),
    [
        (
            "fails",
            r"R ended with exit code 5[\s\S]*first line of R's stderr\nrun_mashr.R: mashr failed: the reason",
        ),
        ("killed", r"R was killed by SIGKILL[\s\S]*running out of memory"),
        ("killed in a shell", "R was killed by SIGTERM"),
        ("writes nothing", r"its output cannot be trusted[\s\S]*no such file"),
        ("cut short", r"its output cannot be trusted[\s\S]*(genes are not those|cannot be used)"),
        ("half the rows", r"its genes are not those of the input[\s\S]*20 rows"),
        ("other genes", r"its genes are not those of the input[\s\S]*'somebody' in place of 'g0'"),
        ("no lfsr", "columns are missing: 'lfsr_d0'"),
        ("NaN", r"'g1 postmean_d0=nan'"),
        ("lfsr above 1", r"its output cannot be trusted[\s\S]*'g0 lfsr_d0=1.5'"),
        (
            "sure means, unsure signs",
            r"contradict their own[\s\S]*g0 postmean_d0=5 postsd_d0=0.1 lfsr_d0=0.4",
        ),
        ("null loglik", r"cannot be trusted[\s\S]*values that cannot be used[\s\S]*a number as loglik"),
        ("empty weights", r"cannot be trusted[\s\S]*values that cannot be used"),
        ("no report", r"R printed no report[\s\S]*found: [\s\S]*nothing to tell"),
    ],
)
def test_r_that_misbehaves_leaves_no_file(mode, message, in_csv, tmp_path):
    out = tmp_path / "out.csv"
    out.write_text("of an earlier run")
    with pytest.raises(DiscoveryError, match=message):
        discover(in_csv, out, fake(mode))
    assert out.read_text() == "of an earlier run"
    assert left_over(tmp_path) == ["gene_summary_for_mash.csv", "out.csv"]


def test_time_out_ends_r_and_what_it_started(in_csv, tmp_path):
    with pytest.raises(DiscoveryError, match=r"did not end within 2 s[\s\S]*raise discovery.timeout_s"):
        discover(in_csv, tmp_path / "out.csv", fake("hangs", timeout_s=2.0))
    child = int((tmp_path / "fake_child.pid").read_text())
    for _ in range(100):
        if not _runs(child):
            break
        time.sleep(0.05)
    assert not _runs(child)


def test_a_version_is_read_from_a_chatty_wrapper():
    assert rscript_has(fake("chatty wrapper").command, "mashr").version == "0.0.7"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_during_discovery_ends_r_with_what_it_started(number, in_csv, tmp_path, monkeypatch, caplog):
    """It raises SystemExit, at which the pipeline writes run.json."""
    monkeypatch.setattr("fatebias.discovery.r_process.ANNOUNCED_AFTER_S", 0.2)
    child, told = tmp_path / "fake_child.pid", "waiting for R, at most 30 s (discovery.timeout_s)"

    def stop():
        while not child.is_file() or not any(told in message for message in caplog.messages):
            time.sleep(0.05)
        os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    caplog.set_level("INFO")
    threading.Thread(target=stop, daemon=True).start()
    with pytest.raises(SystemExit, match=str(128 + number)):
        discover(in_csv, tmp_path / "out.csv", fake("hangs", timeout_s=30.0))
    assert signal.getsignal(number) is before
    assert not list(tmp_path.glob(".rscript-*"))
    pid = int(child.read_text())
    for _ in range(100):
        if not _runs(pid):
            break
        time.sleep(0.05)
    assert not _runs(pid)


def _runs(pid):
    """Tell whether a process runs; one that has ended and only waits to be collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return os.path.exists(f"/proc/{pid}")


def test_auto_leaves_an_error_correlation_for_each_gene_to_the_embedded_engine():
    command = [*FAKE, "good"]
    engine, why = choose_engine(DiscoveryConfig(command=command, null_correlation="per_gene"), n_genes=40)
    assert engine == "native"
    assert "R's mashr takes minutes" in why[0]
    asked = DiscoveryConfig(command=command, null_correlation="per_gene", engine="rscript")
    assert choose_engine(asked, n_genes=40)[0] == "rscript"
    assert choose_engine(DiscoveryConfig(command=command), n_genes=40)[0] == "rscript"
