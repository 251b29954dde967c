"""Slurm's answers, from its accounting and from its controller."""

from __future__ import annotations

import pytest

from fatebias.slurm_queue import cluster_name, expand, gone, job_states


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


def test_a_machine_without_slurm_knows_no_job(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert job_states(["12"]) == {}


def test_the_cluster_s_name_is_that_of_its_controller(fake_slurm):
    fake_slurm(scontrol="Configuration data\nClusterName             = sherlock\nSlurmUser = root\n")
    assert cluster_name() == "sherlock"
    fake_slurm(scontrol=None)
    assert cluster_name() is None


def test_jobs_that_have_ended_or_are_forgotten_are_gone(fake_slurm):
    fake_slurm(sacct="1|RUNNING\n2|OUT_OF_MEMORY\n3|PENDING\n4|COMPLETING\n")
    assert gone(["1", "2", "3", "4", "5"]) == {"2", "5"}
