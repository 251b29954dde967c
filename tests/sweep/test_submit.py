"""Arrays that Slurm refuses, by a fake in place of sbatch: those before are known, the rest waits."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from fatebias.sweep import jobs, slurm
from fatebias.sweep.settings import SlurmSettings
from fatebias.sweep.snapshot import read_sweep
from fatebias.sweep.status import statuses

FULL = "sbatch: error: QOSMaxSubmitJobPerUserLimit"


@pytest.fixture
def sbatch(monkeypatch, fake_slurm):
    """A fake of submitit's executor with room for some jobs; returns the sizes of the arrays asked for."""
    fake_slurm(scontrol="MaxArraySize = 5\n")

    def install(room: int, refusal: str = FULL) -> list[int]:
        from submitit.core.utils import FailedJobError

        asked: list[int] = []
        left = [room]

        class Executor:
            def __init__(self, *_args, **_kwargs):
                pass

            def update_parameters(self, **_parameters):
                pass

            def submit_array(self, calls):
                asked.append(len(calls))
                if len(calls) > left[0]:
                    raise FailedJobError(refusal)
                left[0] -= len(calls)
                number = len(asked)
                return [
                    SimpleNamespace(job_id=f"{number}_{i}", paths=SimpleNamespace(stdout=call.folder / "log"))
                    for i, call in enumerate(calls)
                ]

        monkeypatch.setattr("submitit.SlurmExecutor", Executor)
        return asked

    return install


def not_waiting(gpus=0):
    return SlurmSettings(gpus=gpus, wait=False)


def test_each_array_is_on_disk_and_the_rest_waits_with_the_reason(written, tmp_path, sbatch, caplog):
    asked = sbatch(room=6)
    sweep = written.sweep(tmp_path, *[None] * 11)
    assert jobs.start(sweep, range(11), not_waiting()) is None
    assert asked == [4, 4, 2, 2, 1]  # arrays of the cluster's size, then halves, until nothing is taken
    ids = [member.job_id for member in read_sweep(tmp_path).members]
    assert ids[:6] == ["1_0", "1_1", "1_2", "1_3", "3_0", "3_1"]
    assert ids[6:] == [None] * 5
    assert json.loads((tmp_path / "5" / "run.json").read_text())["status"] == "queued"
    left = statuses(read_sweep(tmp_path))[6:]
    assert {each.state for each in left} == {"not started"}
    assert {each.reason for each in left} == {f"Slurm took no more jobs: {FULL}"}
    assert "6 of 11 were queued before" in caplog.text
    assert f"python -m fatebias.sweep submit {tmp_path}" in caplog.text


def test_what_is_refused_for_another_reason_is_one_error_and_nothing_is_queued(written, tmp_path, sbatch):
    asked = sbatch(0, "sbatch: error: invalid partition specified: absent")
    sweep = written.sweep(tmp_path, None, None)
    with pytest.raises(slurm.OutputError, match=r"(?s)refused the jobs.*invalid partition.*--cfg hydra"):
        jobs.start(sweep, [0, 1], not_waiting())
    assert asked == [2]
    assert [each.state for each in statuses(read_sweep(tmp_path))] == ["failed", "failed"]
