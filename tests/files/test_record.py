"""run.json: the status it tells, and which stages it takes for done."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fatebias.files.atomic import sha256_file
from fatebias.files.paths import RunPaths
from fatebias.files.record import RunRecord


def written(root: Path) -> dict:
    return json.loads((root / "run.json").read_text())


@pytest.fixture
def record(tmp_path: Path) -> RunRecord:
    started = RunRecord(RunPaths(tmp_path))
    started.start(command=["python", "run.py", "seed=3"], seed=3)
    return started


@pytest.fixture
def fitted(record: RunRecord) -> RunRecord:
    """Give a record with a stage `fit` done under the key `k1`."""
    with record.stage("fit", "k1", [record.paths.gene_summary]) as entry:
        record.paths.gene_summary.write_text("gene,betahat_d0,se_d0\n")
        entry["steps"] = 5
    return record


def test_a_run_begins_as_running_with_what_it_runs_on(record, tmp_path):
    found = written(tmp_path)
    assert found["status"] == "running"
    assert found["command"] == ["python", "run.py", "seed=3"]
    assert found["seed"] == 3
    assert {"python", "torch", "fatebias"} <= set(found["versions"])
    assert set(found["git"]) == {"commit", "dirty"}
    assert datetime.fromisoformat(found["started"]).tzinfo is not None
    assert found["ended"] is None


def test_a_run_that_ends_well_is_done(record, tmp_path):
    record.finish()
    found = written(tmp_path)
    assert found["status"] == "done"
    assert found["ended"] >= found["started"]
    assert found["peak_memory_mb"] > 1


def test_a_run_that_ends_well_gathers_what_its_stages_found(record, tmp_path):
    with record.stage("fit", "k1", []) as entry:
        entry["screen"] = {"fingerprint": "abc", "day_labels": ["d0", "d2"]}
        entry["warnings"] = ["the loss still falls"]
    with record.stage("discover", "k2", []) as entry:
        entry["report"] = {"engine": "native", "n_hits": 7}
    record.finish()
    found = written(tmp_path)
    assert (found["data_fingerprint"], found["day_labels"]) == ("abc", ["d0", "d2"])
    assert (found["engine"], found["n_hits"], found["converged"]) == ("native", 7, False)
    assert set(found["seconds"]) == {"fit", "discover"}


def test_a_run_that_fails_says_why(record, tmp_path):
    record.fail("the loss is not a number")
    assert (written(tmp_path)["status"], written(tmp_path)["why"]) == ("failed", "the loss is not a number")


def test_a_stage_is_timed_and_its_outputs_hashed(fitted, tmp_path):
    entry = written(tmp_path)["stages"]["fit"]
    assert entry["status"] == "done"
    assert entry["key"] == "k1"
    assert entry["steps"] == 5
    assert entry["seconds"] >= 0
    assert entry["outputs"] == {"gene_summary_for_mash.csv": sha256_file(fitted.paths.gene_summary)}


def test_a_stage_under_way_is_written_as_running(record, tmp_path):
    with record.stage("fit", "k1", []):
        assert written(tmp_path)["stages"]["fit"]["status"] == "running"


def test_a_stage_done_is_current_for_the_next_run_in_the_same_folder(fitted, tmp_path):
    again = RunRecord(RunPaths(tmp_path))
    again.start(command=["python", "run.py"], seed=3)
    assert again.is_current("fit", "k1")


@pytest.mark.parametrize(("stage", "key"), [("fit", "k2"), ("discover", "k1")])
def test_another_key_and_another_stage_are_not_current(fitted, stage, key):
    assert not fitted.is_current(stage, key)


@pytest.mark.parametrize(
    "damage", [Path.unlink, lambda path: path.write_text("gene,betahat_d0,se_d0\nedited\n")]
)
def test_an_output_that_is_gone_or_changed_makes_its_stage_not_current(fitted, damage):
    damage(fitted.paths.gene_summary)
    assert not fitted.is_current("fit", "k1")


def test_a_stage_without_outputs_is_never_current(record):
    with record.stage("fit", "k1", [record.paths.gene_summary]):
        pass  # and writes nothing
    assert not record.is_current("fit", "k1")


def test_a_stage_that_fails_is_not_current_and_keeps_its_time(record, tmp_path):
    def fail():
        with record.stage("fit", "k1", [record.paths.gene_summary]):
            record.paths.gene_summary.write_text("whole")
            raise ValueError("then it fails")

    with pytest.raises(ValueError, match="then it fails"):
        fail()
    record.fail("then it fails")
    assert not record.is_current("fit", "k1")
    entry = written(tmp_path)["stages"]["fit"]
    assert entry["status"] == "failed"
    assert "seconds" in entry


@pytest.mark.parametrize("text", ["", "{", "[]", '{"stages": 3}', '{"status": "done"}', "\x00"])
def test_a_record_that_cannot_be_read_is_started_anew(tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    record = RunRecord(RunPaths(tmp_path))
    record.start(command=[], seed=0)
    assert not record.is_current("fit", "k1")
    assert written(tmp_path)["stages"] == {}


def test_what_an_earlier_run_said_of_itself_is_not_kept(fitted, tmp_path):
    fitted.fail("earlier")
    again = RunRecord(RunPaths(tmp_path))
    again.start(command=[], seed=4)
    found = written(tmp_path)
    assert (found["status"], found["why"], found["seed"]) == ("running", None, 4)
    assert "peak_memory_mb" not in found
    assert set(found["stages"]) == {"fit"}


def test_a_rerun_that_keeps_a_stage_keeps_its_time_and_memory(fitted, tmp_path):
    fitted.content["stages"]["fit"] |= {"seconds": 100.0, "load_seconds": 5.0, "peak_memory_mb": 1e7}
    fitted.update()
    again = RunRecord(RunPaths(tmp_path))
    again.start(command=[], seed=3)
    again.finish()
    assert again.wall_seconds() == 105.0
    assert written(tmp_path)["seconds"] == {"fit": 100.0}
    assert written(tmp_path)["peak_memory_mb"] == 1e7


@pytest.mark.parametrize(("key", "status", "seconds"), [("k1", "running", 40), ("k1", "failed", 40),
                                                        ("k1", "done", 0), ("k2", "running", 0)])  # fmt: skip
def test_time_that_an_attempt_put_into_its_checkpoint_counts(record, tmp_path, key, status, seconds):
    begun = datetime(2026, 1, 1, tzinfo=UTC)
    record.content["stages"]["fit"] = {
        "status": status, "key": "k1", "started": begun.isoformat(), "seconds_before": 10.0
    }  # fmt: skip
    record.paths.checkpoint.touch()
    os.utime(record.paths.checkpoint, (begun.timestamp() + 30,) * 2)
    with record.stage("fit", key, []):
        pass
    assert round(written(tmp_path)["stages"]["fit"]["seconds"]) == seconds


def test_without_a_checkpoint_an_attempt_has_brought_nothing(record, tmp_path):
    record.content["stages"]["fit"] = {
        "status": "running",
        "key": "k1",
        "started": "2026-01-01T00:00:00+00:00",
    }
    with record.stage("fit", "k1", []):
        pass
    assert round(written(tmp_path)["stages"]["fit"]["seconds"]) == 0
