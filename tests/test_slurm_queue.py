"""Slurm's answers, from its accounting and from its controller."""

from __future__ import annotations

from datetime import datetime

import pytest

from fatebias.slurm_queue import Job, SlurmQueue, ask_jobs, cluster_name, expand, gone, largest_array


@pytest.mark.parametrize(
    ("word", "jobs"),
    [
        ("12", ["12"]),
        ("12_3", ["12_3"]),
        ("12_[4-6]", ["12_4", "12_5", "12_6"]),
        ("12_[0,2-3,7%256]", ["12_0", "12_2", "12_3", "12_7"]),
    ],
)
def test_tasks_that_slurm_puts_into_one_word_are_written_out(word, jobs):
    assert expand(word) == jobs


def job_states(job_ids):
    return {job: each.state for job, each in ask_jobs(job_ids).jobs.items()}


def test_accounting_answers_for_all_jobs_in_one_call(fake_slurm):
    folder = fake_slurm(
        sacct="12_0|COMPLETED\n12_1|CANCELLED by 1000\n12_[2-3%4]|PENDING\n13|OUT_OF_MEMORY\n"
    )
    assert job_states(["12_0", "12_1", "12_3", "13"]) == {
        "12_0": "COMPLETED",
        "12_1": "CANCELLED",
        "12_3": "PENDING",
        "13": "OUT_OF_MEMORY",
    }
    assert (folder / "sacct.asked").read_text().count("\n") == 1
    assert not (folder / "scontrol.asked").exists()


def test_without_accounting_the_controller_is_asked(fake_slurm):
    fake_slurm(
        scontrol="JobId=14 ArrayJobId=12 ArrayTaskId=1 JobName=fatebias JobState=RUNNING Reason=None\n"
        "JobId=12 ArrayJobId=12 ArrayTaskId=2-3%256 JobName=fatebias JobState=PENDING Reason=Priority\n"
    )
    assert job_states(["12_1", "12_2", "12_3"]) == {"12_1": "RUNNING", "12_2": "PENDING", "12_3": "PENDING"}


def test_a_job_that_accounting_has_not_yet_is_asked_of_the_controller(fake_slurm):
    fake_slurm(sacct="12|COMPLETED\n", scontrol="JobId=13 JobName=x JobState=PENDING\n")
    assert job_states(["12", "13"]) == {"12": "COMPLETED", "13": "PENDING"}


def test_jobs_that_slurm_has_forgotten_are_absent(fake_slurm):
    fake_slurm()
    assert job_states(["12_0"]) == {}


def test_a_machine_without_slurm_has_no_answer(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert ask_jobs(["12"]).silent == "this machine has no scontrol"
    assert gone(["12"]) == set()


def test_a_controller_that_cannot_be_reached_has_forgotten_nothing(fake_slurm):
    lost = "slurm_load_jobs error: Unable to contact slurm controller (connect failure)"
    fake_slurm(silent=lost)
    answer = ask_jobs(["12"])
    assert (answer.jobs, answer.silent) == ({}, lost)
    assert gone(["12"]) == set()
    fake_slurm(sacct="12|COMPLETED|Unknown\n", silent=lost)
    assert job_states(["12", "13"]) == {"12": "COMPLETED"}
    assert gone(["12", "13"]) == {"12"}


def test_a_task_s_own_row_counts_before_that_of_tasks_that_wait_together(fake_slurm):
    fake_slurm(sacct="9_4|RUNNING\n9_[4-5%2]|PENDING\n")
    assert job_states(["9_4", "9_5"]) == {"9_4": "RUNNING", "9_5": "PENDING"}


def test_ends_are_read_as_times(fake_slurm):
    end = datetime(2026, 1, 2, 3, 4, 5)
    fake_slurm(
        sacct=f"1|FAILED|{end.isoformat()}\n2|RUNNING|Unknown\n",
        scontrol=f"JobId=3 JobState=COMPLETED EndTime={end.isoformat()}\n",
    )
    assert ask_jobs(["1", "2", "3"]).jobs == {
        "1": Job("FAILED", end.timestamp()),
        "2": Job("RUNNING"),
        "3": Job("COMPLETED", end.timestamp()),
    }
    fake_slurm(scontrol=f"JobId=3 JobState=RUNNING EndTime={end.isoformat()}\n")  # its limit
    assert ask_jobs(["3"]).jobs == {"3": Job("RUNNING")}


def test_accounting_is_asked_once_a_minute_and_the_controller_between(fake_slurm):
    now = [0.0]
    queue = SlurmQueue(clock=lambda: now[0])
    folder = fake_slurm(sacct="1|COMPLETED\n2|RUNNING\n", scontrol="JobId=2 JobState=FAILED\n")
    for second in (0, 5, 30, 61):
        now[0] = float(second)
        states = {job: each.state for job, each in queue.ask(["1", "2"]).jobs.items()}
        assert states == {"1": "COMPLETED", "2": "RUNNING" if second in (0, 61) else "FAILED"}
    assert (folder / "sacct.asked").read_text().count("\n") == 2


def test_the_size_of_an_array_is_the_cluster_s(fake_slurm):
    fake_slurm(scontrol="Configuration data\nMaxArraySize            = 101\n")
    assert largest_array() == 100
    fake_slurm(scontrol="Configuration data\n")
    assert largest_array() is None


def test_the_cluster_s_name_is_that_of_its_controller(fake_slurm):
    fake_slurm(scontrol="Configuration data\nClusterName             = sherlock\nSlurmUser = root\n")
    assert cluster_name() == "sherlock"
    fake_slurm(scontrol=None)
    assert cluster_name() is None


def test_jobs_that_have_ended_or_are_forgotten_are_gone(fake_slurm):
    fake_slurm(sacct="1|RUNNING\n2|OUT_OF_MEMORY\n3|PENDING\n4|COMPLETING\n")
    assert gone(["1", "2", "3", "4", "5"]) == {"2", "5"}
