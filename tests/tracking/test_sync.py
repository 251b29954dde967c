"""Runs imported into a real SQLite store."""

from __future__ import annotations

import dataclasses
import errno
import fcntl
import json
import logging
import os
import platform
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from fatebias.config import TrackingConfig
from fatebias.errors import OutputError
from fatebias.tracking import store as store_module
from fatebias.tracking.__main__ import main
from fatebias.tracking.describe import parameters
from fatebias.tracking.sync import SyncReport, find_runs, sync, sync_run
from tests.tracking.folders import FIGURES, FILES, T0, begin, finished_run, started, write_loss
from tests.tracking.stored import Stored

LOCAL = TrackingConfig()


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database that the importer has made; copied, since MLflow takes two seconds to make one."""
    folder = tmp_path_factory.mktemp("empty")
    finished_run(folder / "run", experiment="another")
    assert not sync_run(folder / "run", LOCAL, folder).failed
    return folder / "mlflow.db"


@pytest.fixture
def base(tmp_path: Path, empty_store: Path) -> Path:
    """A folder with a database, where commands are typed."""
    (tmp_path / "mlflow.db").write_bytes(empty_store.read_bytes())
    return tmp_path


@pytest.fixture
def stored(base: Path) -> Stored:
    return Stored(f"sqlite:///{base}/mlflow.db")


def import_run(root: Path, base: Path) -> str:
    """Import one run and return what was done."""
    report = sync_run(root, LOCAL, base)
    assert not report.failed, report.text()
    return report.runs[-1].action


def entry(root: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((root / "run.json").read_text())["tracking"]
    return found


def test_a_run_is_in_mlflow_with_all_that_its_folder_tells(base: Path, stored: Stored) -> None:
    written = finished_run(base / "run")
    assert import_run(base / "run", base) == "created"

    run = stored.only()
    assert run.info.run_name == "priors=weak"
    assert run.info.status == "FINISHED"
    assert run.info.user_id == "someone"
    assert run.data.params == parameters(dataclasses.asdict(written.config), {"priors": "weak"})
    assert (run.data.params["priors"], run.data.params["likelihood_weight"]) == ("weak", "1.0")
    assert run.data.tags["host"] == "here"
    assert run.data.tags["run_key"] == entry(base / "run")["run_key"]
    assert {name: value for name, value in run.data.metrics.items() if name != "loss"} == FIGURES
    assert stored.loss(run) == {step: 100 / (step + 1) for step in range(50)}
    assert stored.points(run, "loss")[1] == (1, 50.0, T0 + 7)
    assert stored.artifacts(run) == FILES
    copy = base / "mlartifacts" / run.info.run_id / "artifacts" / "hits_ranked.csv"
    assert copy.read_bytes() == (base / "run" / "hits_ranked.csv").read_bytes()


def test_times_are_those_of_the_run_not_of_the_import(base: Path, stored: Stored) -> None:
    finished_run(base / "run")
    noted = entry(base / "run")
    import_run(base / "run", base)
    run = stored.only()
    assert (run.info.start_time, run.info.end_time) == (noted["start_ms"], noted["end_ms"])
    assert stored.points(run, "hits") == [(0, 4.0, noted["end_ms"])]
    assert stored.points(run, "n_nonfinite") == [(0, 0.0, T0 + 7 * 49)]


def test_a_second_import_changes_nothing(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_ENABLE_ASYNC_LOGGING", "true")  # as a user may have it; nothing comes late
    finished_run(base / "run")
    import_run(base / "run", base)
    before = (base / "mlflow.db").read_bytes()
    assert import_run(base / "run", base) == "unchanged"
    assert (base / "mlflow.db").read_bytes() == before


def test_an_import_broken_off_before_its_end_is_completed(
    base: Path, stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished_run(base / "run", steps=1500)
    for step in ("_write_words", "_write_points", "_write_files", "_write_status"):
        whole = getattr(store_module.Store, step)

        def broken(*words: object, whole: Callable[..., None] = whole) -> None:
            whole(*words)
            raise OSError("the plug was pulled")

        with monkeypatch.context() as patched:
            patched.setattr(store_module.Store, step, broken)
            assert sync_run(base / "run", LOCAL, base).failed
    assert import_run(base / "run", base) == "updated"
    run = stored.only()
    assert len(stored.loss(run)) == 1500
    assert len(stored.points(run, "hits")) == 1
    assert run.info.status == "FINISHED"


def test_the_same_fit_done_again_adds_nothing(base: Path, stored: Stored) -> None:
    finished_run(base / "run")
    import_run(base / "run", base)
    finished_run(base / "run")
    write_loss(base / "run", 50, t0=T0 + 1_000_000)
    import_run(base / "run", base)
    run = stored.only()
    assert len(stored.loss(run)) == 50
    assert {name: len(stored.points(run, name)) for name in FIGURES} == dict.fromkeys(FIGURES, 1)


def test_another_setting_in_the_same_folder_is_another_run(base: Path, stored: Stored) -> None:
    finished_run(base / "run", name="a")
    import_run(base / "run", base)
    finished_run(base / "run", key="other", name="b", choices={"priors": "tight"})
    import_run(base / "run", base)
    first, second = stored.runs()
    assert (first.data.params["priors"], second.data.params["priors"]) == ("weak", "tight")
    assert len(stored.loss(first)) == len(stored.loss(second)) == 50


def test_files_wait_until_the_run_has_ended(base: Path, stored: Stored) -> None:
    run = begin(base / "run")
    with run.record.stage("discover", "discover", [base / "run" / "early.csv"]):
        (base / "run" / "early.csv").write_text("gene\n")
    import_run(base / "run", base)
    early = stored.artifacts(stored.only())
    run.finish("killed")
    import_run(base / "run", base)
    assert early == set()
    assert stored.artifacts(stored.only()) == {"config.yaml", "run.json", "early.csv"}


@pytest.mark.parametrize(("status", "shown"), [("failed", "FAILED"), ("killed", "KILLED")])
def test_a_run_that_ended_badly_says_so_and_may_be_resumed(
    base: Path, stored: Stored, status: str, shown: str
) -> None:
    run = begin(base / "run")
    write_loss(base / "run", 20)
    run.finish(status, why="because")
    import_run(base / "run", base)
    ended = stored.only()
    begin(base / "run")
    import_run(base / "run", base)
    resumed = stored.only()
    finished_run(base / "run")
    import_run(base / "run", base)
    done = stored.only()

    assert (ended.info.status, ended.data.tags["failure"]) == (shown, "because")
    assert (resumed.info.status, resumed.data.tags["failure"]) == ("RUNNING", "")
    assert done.info.status == "FINISHED"
    assert ended.info.run_id == resumed.info.run_id == done.info.run_id
    assert len(stored.loss(ended)) == 50
    assert {name: len(stored.points(done, name)) for name in FIGURES} == dict.fromkeys(FIGURES, 1)


def test_imports_during_a_long_fit_leave_no_more_than_one_at_its_end(base: Path, stored: Stored) -> None:
    steps = 5000
    begin(base / "run", steps=steps)
    for reached in (0, 700, 2600, 4100):
        write_loss(base / "run", reached)
        import_run(base / "run", base)
    running = stored.only()
    partly = stored.loss(running)
    finished_run(base / "run", steps=steps)
    import_run(base / "run", base)
    whole = stored.loss(stored.only())

    assert running.info.status == "RUNNING"
    assert stored.artifacts(stored.only()) == FILES
    assert 1000 < len(partly) < len(whole) <= 2000
    assert set(partly) <= set(whole)
    assert {0, steps - 1} <= set(whole)


def test_numbers_that_are_not_finite_are_counted(base: Path, stored: Stored) -> None:
    run = begin(base / "run", steps=3)
    (base / "run" / "loss_trace.csv").write_text("step,loss,timestamp_ms\n0,1.0,5\n1,nan,6\n2,inf,7\n")
    report = {"engine": "native", "method": "mash", "n_hits": 0, "loglik": float("-inf")}
    with run.record.stage("discover", "discover", []) as found:
        found["report"] = report
    run.finish()
    import_run(base / "run", base)
    metrics = stored.only().data.metrics
    assert {"loss": 1.0, "hits": 0.0, "n_nonfinite": 2.0}.items() <= metrics.items()
    assert "final/mash_loglik" not in metrics


def test_values_too_long_and_too_many_for_one_request(base: Path, stored: Stored) -> None:
    choices = {f"p{number}": str(number) for number in range(250)} | {"long": "x" * 7000}
    tags = {"long": "y" * 9000} | {f"t{n}": n for n in range(150)}
    written = finished_run(base / "run", choices=choices, tags=tags)
    import_run(base / "run", base)
    run = stored.only()
    assert set(run.data.params) == set(parameters(dataclasses.asdict(written.config), choices))
    assert run.data.params["long"] == "x" * 5999 + "…"
    assert run.data.tags["long"] == "y" * 4999 + "…"
    assert run.data.tags["t149"] == "149"
    assert import_run(base / "run", base) == "unchanged"


def test_a_changed_artifact_is_copied_again(base: Path, stored: Stored) -> None:
    finished_run(base / "run")
    import_run(base / "run", base)
    (base / "run" / "hits_ranked.csv").write_text("gene,hit_anyday\nJAK9,True\n")  # of the same length
    assert import_run(base / "run", base) == "updated"
    copy = base / "mlartifacts" / stored.only().info.run_id / "artifacts" / "hits_ranked.csv"
    assert "JAK9" in copy.read_text()


def test_an_artifact_that_is_gone_is_passed_over(base: Path, stored: Stored) -> None:
    finished_run(base / "run")
    (base / "run" / "plots" / "loss.txt").unlink()
    import_run(base / "run", base)
    assert stored.artifacts(stored.only()) == FILES - {"plots/loss.txt"}


def test_what_the_user_deletes_in_mlflow_stays_deleted(base: Path, stored: Stored) -> None:
    finished_run(base / "run")
    import_run(base / "run", base)
    stored.client.delete_run(stored.only().info.run_id)
    finished_run(base / "run")
    assert import_run(base / "run", base) == "deleted in MLflow"
    assert stored.runs() == []


def test_a_deleted_experiment_is_said(base: Path, stored: Stored) -> None:
    finished_run(base / "run")
    import_run(base / "run", base)
    stored.client.delete_experiment(stored.only().info.experiment_id)
    why = sync_run(base / "run", LOCAL, base).failed[0].why
    assert why is not None
    assert why.startswith("the MLflow experiment is deleted")
    assert "tracking.experiment=NAME" in why


def test_every_run_below_a_folder_is_found(tmp_path: Path) -> None:
    copies = f"mlruns/1/{'0123456789abcdef' * 2}/artifacts"  # of a server that keeps them elsewhere
    for name in ("a/0", "a/1", "b", ".hidden/c", "mlartifacts/d", copies):
        begin(tmp_path / name)
    started(tmp_path / "e")
    finished_run(tmp_path / "f", backend="off")
    assert find_runs(tmp_path) == [tmp_path / name for name in ("a/0", "a/1", "b")]
    assert find_runs(tmp_path / "b") == [tmp_path / "b"]


def test_a_folder_that_is_absent_is_said(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"no such folder\n  where: .*/absent\n  fix: give the out_dir"):
        sync([tmp_path / "absent"], LOCAL, tmp_path)


def test_a_report_says_what_was_done_with_each_run(base: Path) -> None:
    finished_run(base / "runs" / "a", name="a")
    begin(base / "runs" / "b", name="b")
    broken = begin(base / "runs" / "c", name="c", steps=1)
    (base / "runs" / "c" / "loss_trace.csv").write_text("step,elbo\n0,1.0\n")
    broken.finish()
    report = sync([base / "runs", base / "runs" / "a"], LOCAL, base)

    assert [(each.root.name, each.status, each.action) for each in report.runs] == [
        ("a", "finished", "created"),
        ("b", "running", "created"),
        ("c", "", "not written"),
    ]
    assert report.text().startswith(
        f"2 runs in sqlite:///{base}/mlflow.db (1 finished, 1 running; 2 created)\n"
        f"to compare them: fatebias ui\n1 run not written ({base}/runs/c): the loss trace has other columns\n"
    )
    assert SyncReport(report.place).text().startswith("no run found: those with tracking=off")


def test_a_run_that_may_not_be_read_does_not_stop_the_others(base: Path, monkeypatch) -> None:
    """As of another user, whose run.json only that user may read."""
    finished_run(base / "a", name="a")
    finished_run(base / "b", name="b")
    closed = base / "a" / "run.json"
    read_text = Path.read_text

    def refused(path: Path, *words: str, **options: str) -> str:
        if path == closed:
            raise PermissionError(13, "Permission denied", str(path))
        return read_text(path, *words, **options)

    monkeypatch.setattr(Path, "read_text", refused)
    report = sync([base], LOCAL, base)
    assert [(each.root.name, each.action) for each in report.runs] == [("a", "not written"), ("b", "created")]
    assert report.runs[0].why is not None
    assert f"{closed} cannot be read: Permission denied; {closed} belongs to" in report.runs[0].why


def test_folders_with_unusual_names(tmp_path: Path) -> None:
    odd = tmp_path / "naïve Läufe #1; $(rm)"
    finished_run(odd / "run 'a'")
    import_run(odd / "run 'a'", odd)
    stored = Stored(f"sqlite:///{odd}/mlflow.db")
    assert stored.artifacts(stored.only()) == FILES
    assert {path.name for path in odd.iterdir()} == {"mlartifacts", "mlflow.db", "mlflow.db.lock", "run 'a'"}


def test_mlflow_says_nothing_and_leaves_nothing_set(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    finished_run(tmp_path / "run")
    for name in store_module.ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "77")  # the user's own
    environment = dict(os.environ)
    levels = {name: logging.getLogger(name).level for name in store_module.NOISY_LOGGERS}
    import_run(tmp_path / "run", tmp_path)  # makes the database, too
    assert capfd.readouterr() == ("", "")
    assert dict(os.environ) == environment
    assert {name: logging.getLogger(name).level for name in levels} == levels


def test_a_setup_that_was_broken_off_spoils_nothing(tmp_path: Path) -> None:
    finished_run(tmp_path / "run")
    (tmp_path / "mlflow.db.new-12345678").write_bytes(b"half a database")
    import_run(tmp_path / "run", tmp_path)
    assert len(Stored(f"sqlite:///{tmp_path}/mlflow.db").runs()) == 1
    assert not list(tmp_path.glob("mlflow.db.new-*"))


def test_a_database_that_is_none_costs_a_warning_not_the_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    finished_run(tmp_path / "run")
    (tmp_path / "mlflow.db").write_text("no database at all, but of some length" * 100)
    report = sync_run(tmp_path / "run", LOCAL, tmp_path)
    (record,) = caplog.records
    assert len(report.failed) == 1
    assert "file is not a database" in record.getMessage()
    assert f"python -m fatebias.tracking sync {tmp_path}/run --uri sqlite:///{tmp_path}/mlflow.db" in (
        record.getMessage()
    )
    assert "results are on disk and nothing is lost" in record.getMessage()
    assert capfd.readouterr().out == ""


def test_a_database_of_another_mlflow_is_left_alone_and_its_remedy_is_said(
    base: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with sqlite3.connect(base / "mlflow.db") as database:
        database.execute("UPDATE alembic_version SET version_num = '2d6e25af4d3e'")
    database.close()
    finished_run(base / "run")
    assert sync_run(base / "run", LOCAL, base).failed
    (record,) = caplog.records
    assert "mlflow db upgrade" in record.getMessage()


def test_an_address_that_cannot_be_used_costs_a_warning_not_the_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    finished_run(tmp_path / "run")
    assert sync_run(tmp_path / "run", TrackingConfig(uri="postgresql://x"), tmp_path).failed
    (record,) = caplog.records
    assert "tracking=local keeps runs in a SQLite file" in record.getMessage()
    assert record.getMessage().endswith(f"import it later: python -m fatebias.tracking sync {tmp_path}/run")


def test_a_failure_is_reported_without_the_password_of_the_address(
    base: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise OSError("API request to https://me:secret@host/api failed")

    monkeypatch.setattr(store_module.Store, "record", refuse)
    finished_run(base / "run")
    assert sync_run(base / "run", LOCAL, base).failed
    assert "https://***@host/api failed" in caplog.text
    assert "secret" not in caplog.text


def test_the_command(base: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(base)
    finished_run(base / "runs" / "a")
    assert main(["sync", "runs"]) == 0
    assert capsys.readouterr().out == (
        f"1 run in sqlite:///{base}/mlflow.db (1 finished; 1 created)\nto compare them: fatebias ui\n"
    )
    assert main(["sync", "runs", "--uri", "http://127.0.0.1:9"]) == 1
    assert "1 run not written" in capsys.readouterr().err
    assert main(["sync", "absent"]) == 1
    assert "there is no such folder" in capsys.readouterr().err
    assert main(["sync", "runs", "--uri", "postgresql://x"]) == 1
    assert "keeps runs in a SQLite file" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([])


def test_of_jobs_on_other_machines_slurm_says_which_are_dead(base: Path, stored: Stored, fake_slurm) -> None:
    runs = []
    for number, cluster in enumerate(["here", "here", "here", "elsewhere"]):
        tags = {"slurm_cluster_name": cluster, "slurm_job_id": 100 + number, "slurm_array_job_id": 7}
        root = base / str(number)
        runs.append(begin(root, name=str(number), tags=tags | {"slurm_array_task_id": number}))
        (root / "run.json").write_text((root / "run.json").read_text().replace(platform.node(), "node01"))
        write_loss(root, 5)

    def statuses() -> list[str]:
        for number in range(4):
            import_run(base / str(number), base)
        return [run.info.status for run in stored.runs()]

    fake_slurm()  # no Slurm answers, as on a laptop
    assert statuses() == ["RUNNING"] * 4
    known = "JobId=100 ArrayJobId=7 ArrayTaskId=0 JobState=RUNNING\n"
    known += "JobId=101 ArrayJobId=7 ArrayTaskId=1 JobState=FAILED\n"
    fake_slurm(scontrol="ClusterName = here\n" + known)
    assert statuses() == ["RUNNING", "KILLED", "KILLED", "RUNNING"]
    runs[0].finish()
    assert statuses()[0] == "FINISHED"


def test_a_store_on_a_file_system_without_locks_is_told_in_words(base, monkeypatch):
    """A fake: flock as it answers there; SQLite's own locks would fail, too."""

    def refused(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    finished_run(base / "run")
    monkeypatch.setattr(fcntl, "flock", refused)
    report = sync_run(base / "run", LOCAL, base)
    assert "a file system without locks, which SQLite needs" in str(report.failed[0].why)
    assert "tracking.uri=sqlite:////PATH/mlflow.db" in str(report.failed[0].why)
