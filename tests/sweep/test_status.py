"""What became of each run: run.json first, Slurm where a process died without a word."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from filelock import FileLock
from omegaconf import OmegaConf

from fatebias.errors import OutputError
from fatebias.files.record import STOPPED
from fatebias.sweep.slurm import wait
from fatebias.sweep.snapshot import read_sweep
from fatebias.sweep.status import MemberStatus, statuses, table


def scontrol(**states: str) -> str:
    return "".join(
        f"JobId=9 ArrayJobId=7 ArrayTaskId={task[1:]} JobState={state}\n" for task, state in states.items()
    )


def test_run_json_has_the_first_word(written, tmp_path, fake_slurm):
    fake_slurm(scontrol=scontrol(t0="FAILED", t1="COMPLETED"))
    sweep = written.sweep(
        tmp_path, {"status": "done"}, {"status": "failed", "why": "no R\n  where: there"}, job_ids=True
    )
    assert [(each.state, each.reason) for each in statuses(sweep)] == [("done", ""), ("failed", "no R")]


@pytest.mark.parametrize(
    ("slurm", "said", "state", "reason"),
    [
        ("PENDING", "queued", "queued", ""),
        ("PENDING", "running", "queued", ""),  # requeued
        ("RUNNING", "queued", "running", ""),
        ("RUNNING", "running", "running", ""),
        ("COMPLETING", "running", "running", ""),
        ("TIMEOUT", "running", "killed", "met its time limit"),
        ("OUT_OF_MEMORY", "running", "killed", "ran out of memory"),
        ("NODE_FAIL", "running", "killed", "its node failed"),
        ("CANCELLED", "queued", "killed", "cancelled: scancel, or the scheduler, before the run began"),
        ("COMPLETED", "running", "killed", "ended without a word"),
        ("REVOKED", "running", "killed", "Slurm says REVOKED"),
    ],
)
def test_slurm_has_the_word_where_a_run_could_not_end_its_own(
    written, tmp_path, fake_slurm, slurm, said, state, reason
):
    fake_slurm(scontrol=scontrol(t0=slurm))
    (found,) = statuses(written.sweep(tmp_path, {"status": said}, job_ids=True))
    assert (found.state, found.reason) == (state, reason)
    assert found.failed == (state == "killed")


@pytest.mark.parametrize(
    ("slurm", "state", "reason"),
    [
        ("PENDING", "queued", ""),  # preempted, and to go on
        ("RUNNING", "running", ""),  # it has begun again, or is still leaving
        ("CANCELLED", "killed", "cancelled: scancel, or the scheduler"),
        ("FAILED", "failed", STOPPED),
    ],
)
def test_a_run_that_was_stopped_by_a_signal_may_go_on(written, tmp_path, fake_slurm, slurm, state, reason):
    fake_slurm(scontrol=scontrol(t0=slurm))
    (found,) = statuses(written.sweep(tmp_path, {"status": "failed", "why": STOPPED}, job_ids=True))
    assert (found.state, found.reason) == (state, reason)


def test_a_queued_job_says_what_it_waits_for(written, tmp_path, fake_slurm):
    fake_slurm(scontrol=scontrol(t0="PENDING", t1="PENDING"), squeue="7_0|PartitionTimeLimit\n7_1|None\n")
    sweep = written.sweep(tmp_path, {"status": "queued"}, {"status": "queued"}, job_ids=True)
    assert [each.reason for each in statuses(sweep)] == ["waits for: PartitionTimeLimit", ""]


def test_a_job_that_slurm_has_forgotten_did_not_survive(written, tmp_path, fake_slurm):
    fake_slurm()
    (found,) = statuses(written.sweep(tmp_path, {"status": "running"}, job_ids=True))
    assert (found.state, found.reason) == ("killed", "Slurm no longer knows its job 7_0")


@pytest.mark.parametrize(("late_s", "state"), [(3600, "running"), (0, "killed")])
def test_files_of_a_job_that_has_just_ended_may_come_late(written, tmp_path, fake_slurm, late_s, state):
    end = datetime.now() - timedelta(seconds=20)
    fake_slurm(scontrol=f"JobId=9 ArrayJobId=7 ArrayTaskId=0 JobState=COMPLETED EndTime={end.isoformat()}\n")
    sweep = written.sweep(tmp_path, {"status": "running"}, job_ids=True)
    settings = {"hydra": {"launcher": {"late_s": late_s}, "sweep": {"subdir": "0"}, "runtime": {}}}
    hydra = sweep.members[0].folder / ".hydra"
    hydra.mkdir()
    OmegaConf.save(OmegaConf.create(settings), hydra / "hydra.yaml")
    OmegaConf.save(OmegaConf.create({"seed": 0}), hydra / "config.yaml")
    (found,) = statuses(sweep)
    assert found.state == state
    assert ("on their way" in found.reason) == (state == "running")


def test_a_wait_outlasts_a_slurm_that_does_not_answer(written, tmp_path, capsys):
    sweep = written.sweep(tmp_path, None)
    (member,) = sweep.members
    looks = [("running", ""), *[("unknown", "no answer")] * 3, ("running", ""), ("done", "")]

    def look(_):
        return [MemberStatus(member, *looks.pop(0))]

    (found,) = wait(sweep, {0}, look=look, rest=lambda _: None)
    assert found.state == "done"
    said = [line.partition(" ")[2] for line in capsys.readouterr().out.splitlines()]
    assert said == ["no answer; still waiting", "Slurm answers again"]


def test_a_wait_queues_what_slurm_had_no_room_for_as_jobs_end(written, tmp_path):
    sweep = written.sweep(tmp_path, *[None] * 4)
    states = ["running", "running", "not started", "not started"]
    asked = []

    def more(room):
        asked.append(room)
        waiting = [number for number, state in enumerate(states) if state == "not started"]
        for number in waiting[:room]:
            states[number] = "running"
        return sweep

    def rest(_):
        states[states.index("running")] = "done"

    found = wait(
        sweep, {0, 1, 2, 3}, more=more, rest=rest,
        look=lambda _: [MemberStatus(m, s) for m, s in zip(sweep.members, states, strict=True)],
    )  # fmt: skip
    assert [each.state for each in found] == ["done"] * 4
    assert asked == [1, 1]


def test_a_run_that_has_lost_a_file_is_no_longer_done(written, tmp_path):
    outputs = {"hits_ranked.csv": "a digest"}
    done = {"status": "done", "stages": {"discover": {"status": "done", "outputs": outputs}}}
    sweep = written.sweep(tmp_path, done, None)
    (found, other) = statuses(sweep)
    assert (found.state, found.reason) == ("incomplete", "hits_ranked.csv is gone; retry does it again")
    assert found.failed
    for member in sweep.members:
        (member.folder / "hits_ranked.csv").touch()
    (found, other) = statuses(sweep)
    assert found.state == "done"
    assert (other.state, other.failed) == ("incomplete", True)
    assert other.reason.startswith("run.json cannot be read, its results are there")
    (tmp_path / "1" / "run.json").write_text("{torn")
    assert statuses(sweep)[1].state == "incomplete"


def test_a_local_run_is_running_while_its_lock_is_held(written, tmp_path):
    sweep = written.sweep(tmp_path, {"status": "running"}, None)
    with FileLock(tmp_path / "0" / ".lock"):
        assert [each.state for each in statuses(sweep)] == ["running", "not started"]
    assert [each.state for each in statuses(sweep)] == ["killed", "not started"]


def test_a_record_that_cannot_be_read_is_none(written, tmp_path):
    sweep = written.sweep(tmp_path, {"status": "done"})
    (tmp_path / "0" / "run.json").write_text("{torn")
    assert [each.state for each in statuses(sweep)] == ["not started"]


def test_the_table_says_why_and_what_to_do(written, tmp_path):
    sweep = written.sweep(tmp_path, None, None, job_ids=True)
    found = [
        MemberStatus(sweep.members[0], "done"),
        MemberStatus(sweep.members[1], "killed", "ran out of memory"),
    ]
    assert table(sweep, found).splitlines() == [
        "run  job  state   overrides  log",
        "0    7_0  done    seed=0     -",
        "1    7_1  killed  seed=1     -",
        "     ran out of memory; retry with more: hydra.launcher.mem_gb=64",
        "1 done, 1 killed",
    ]


def test_a_killed_job_is_followed_up_in_slurm_s_log_a_failed_one_in_its_own(written, tmp_path):
    sweep = written.sweep(tmp_path, None, job_ids=True)
    (tmp_path / "0" / "run.log").touch()
    (member,) = sweep.members
    assert MemberStatus(member, "killed").log == member.log
    assert MemberStatus(member, "failed").log == tmp_path / "0" / "run.log"
    (tmp_path / "0" / "run.log").unlink()
    assert MemberStatus(member, "failed").log == member.log


def test_a_wait_ends_when_no_job_is_under_way_and_asks_ever_more_rarely(written, tmp_path):
    sweep = written.sweep(tmp_path, None, None)
    first, second = sweep.members
    looks = [["queued", "running"], ["running", "failed"], ["running", "failed"], ["done", "failed"]]
    rests: list[float] = []

    def look(_):
        states = looks.pop(0)
        return [MemberStatus(first, states[0]), MemberStatus(second, states[1])]

    found = wait(sweep, {0, 1}, look=look, rest=rests.append)
    assert [each.state for each in found] == ["done", "failed"]
    assert rests == sorted(rests)
    assert len(rests) == 3


def test_a_wait_is_for_its_own_runs_alone(written, tmp_path):
    sweep = written.sweep(tmp_path, None, None)
    states = [MemberStatus(sweep.members[0], "done"), MemberStatus(sweep.members[1], "running")]
    assert wait(sweep, {0}, look=lambda _: states, rest=pytest.fail) == states[:1]


def test_a_sweep_is_read_as_it_was_written(written, tmp_path):
    sweep = written.sweep(tmp_path / "a b", {"status": "done"}, None, job_ids=True)
    assert read_sweep(tmp_path / "a b") == sweep


def test_a_folder_without_a_sweep_is_refused(tmp_path):
    with pytest.raises(OutputError, match=r"(?s)no sweep in this folder.*the folder above 0, 1, 2"):
        read_sweep(tmp_path)


@pytest.mark.parametrize("text", ["{torn", "[]", '{"members": [{}]}'])
def test_a_record_of_a_sweep_that_cannot_be_read_is_refused(tmp_path, text):
    (tmp_path / "sweep.json").write_text(text)
    with pytest.raises(OutputError, match="sweep.json is torn"):
        read_sweep(tmp_path)


def test_a_dead_run_of_another_user_is_killed_and_one_that_may_not_be_read_unknown(
    written, open_folder, nobody
):
    sweep = written.sweep(open_folder, *[{"status": "running"}] * 2)
    for member in sweep.members:
        (member.folder / ".lock").touch(0o644)
    open_folder.chmod(0o755)
    (open_folder / "1").chmod(0o700)
    with nobody():
        found = statuses(sweep)
        text = table(sweep, found)
    assert [each.state for each in found] == ["killed", "unknown"]
    assert f"     run.json cannot be read: Permission denied; {open_folder}/1 belongs to root\n" in text
