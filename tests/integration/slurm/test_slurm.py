"""Sweeps through a real Slurm: jobs that end well, fail, are killed, cancelled or meet their limit."""

from __future__ import annotations

import json
import os
import platform
import re
import secrets
import signal
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from fatebias.tracking.trace import thin_trace
from tests.conftest import TINY_SCREEN
from tests.tracking.stored import Stored

pytestmark = pytest.mark.slow

TINY = [
    *TINY_SCREEN,
    "inference.num_posterior_draws=200",
    "inference.progress=false",
    "inference.num_steps=5",
    "inference.stop=never",
    "discovery.engine=native",
    "plots=false",  # seconds a run
]
SMALL_JOB = [
    "launcher=slurm_cpu",
    "hydra.launcher.cpus=1",
    "hydra.launcher.mem_gb=2",
    "hydra.launcher.late_s=0",  # one machine, one file system
]
STEPS = 4000
NEVER_ENDING = "inference.num_steps=1000000000"
ENDED = ("FAILED", "TIMEOUT", "CANCELLED", "COMPLETED")
CSVS = ("gene_summary_for_mash.csv", "gene_summary_mash_out.csv", "hits_ranked.csv")


def run_json(folder: Path) -> dict:
    return json.loads((folder / "run.json").read_text())


def members(folder: Path) -> list[dict]:
    return json.loads((folder / "sweep.json").read_text())["members"]


def until(condition, what: str, seconds: float = 900) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {what}")
        time.sleep(0.3)


def last_step(folder: Path) -> int:
    try:
        return int((folder / "loss_trace.csv").read_text().splitlines()[-1].partition(",")[0])
    except (OSError, IndexError, ValueError):
        return 0


@pytest.fixture(scope="module")
def four(cluster, typed, tmp_path_factory):
    """Four jobs, submitted and waited for from a folder that is not the checkout and has no MLflow store."""
    login = tmp_path_factory.mktemp("login node")
    done = typed(*SMALL_JOB, *TINY, "seed=0,1", "likelihood_weight=0.5,1.0", "out_dir=out", cwd=login)
    assert done.returncode == 0, done.stdout + done.stderr
    return login, done


def test_every_job_of_a_sweep_writes_its_tables(cluster, four):
    login, done = four
    for member in members(login / "out"):
        folder = login / "out" / member["folder"]
        assert run_json(folder)["status"] == "done"
        assert all((folder / name).stat().st_size > 0 for name in CSVS)
        assert cluster.state(member["job_id"]) == "COMPLETED"
    assert "4 done" in done.stdout
    assert re.search(r"^3 +\d+_3 +done +seed=1 likelihood_weight=1.0 +\S.*/out/3/run.log$", done.stdout, re.M)


def test_a_job_has_the_settings_and_the_command_of_its_submission(four):
    login, _ = four
    record = run_json(login / "out" / "3")
    assert record["seed"] == 1
    assert Path(record["command"][0]).name == "run.py"
    assert "seed=0,1" in record["command"]


def test_the_waiting_client_compares_the_runs_and_brings_them_to_one_new_store(four, typed):
    login, _ = four
    summary = pd.read_csv(login / "out" / "sweep_summary.csv")
    assert list(summary["status"]) == ["done"] * 4
    assert summary["loss"].notna().all()
    assert pd.read_csv(login / "out" / "hit_stability.csv")["settings"].eq(4).all()
    assert (login / "out" / "sweep_hits.png").is_file()
    assert (login / "mlflow.db").is_file()
    again = typed("-m", "fatebias.tracking", "sync", "out", cwd=login)
    assert again.returncode == 0, again.stderr
    assert "5 runs" in again.stdout  # that of the sweep among them
    assert "5 unchanged" in again.stdout


def test_the_jobs_leave_mlflow_s_store_to_the_client(four):
    login, _ = four
    assert all("id" in run_json(login / "out" / str(number))["tracking"] for number in range(4))
    assert not list((login / "out").rglob("mlflow.db"))
    for log in (login / "out" / "slurm").glob("*_log.out"):
        assert "alembic" not in log.read_text()


@pytest.fixture(scope="module")
def mixed(cluster, typed, tmp_path_factory):
    """One job of each fate, submitted without waiting, and a single run that meets its time limit."""
    login = tmp_path_factory.mktemp("mixed")
    limit = ["hydra.launcher.timeout_min=10", "hydra.launcher.signal_delay_s=50", "hydra.launcher.wait=false"]
    late = typed(*SMALL_JOB, *limit, *TINY, NEVER_ENDING, "out_dir=late", "tracking=off", cwd=login)
    assert late.returncode == 0, late.stderr
    done = typed(
        *SMALL_JOB,
        "hydra.launcher.wait=false",
        *TINY,
        f"inference.num_steps=5,{NEVER_ENDING.partition('=')[2]}",
        "discovery.engine=native,rscript",
        "discovery.command=[no-such-R]",
        "out_dir=out",
        cwd=login,
    )
    assert done.returncode == 0, done.stderr
    out = login / "out"
    jobs = [member["job_id"] for member in members(out)]
    for number in (2, 3):  # the two that never end
        until(lambda n=number: (out / str(n) / "loss_trace.csv").is_file(), f"a fit in job {number}")
    early = typed("-m", "fatebias.sweep", "status", "out", cwd=login)
    with cluster.away():
        away = typed("-m", "fatebias.sweep", "status", "out", cwd=login)
    os.kill(cluster.python_of(jobs[2]), signal.SIGKILL)  # as the kernel does when memory is short
    cluster.ask("scancel", jobs[3])
    for job in jobs:
        until(lambda job=job: cluster.state(job) not in ("PENDING", "RUNNING", "COMPLETING"), f"end of {job}")
    return login, jobs, early, away


def test_without_waiting_the_command_returns_when_the_jobs_are_queued(mixed):
    _, _, early, _ = mixed  # two of its jobs never end: a command that waits would not have returned
    assert re.search(r"^2 +\S+ +running ", early.stdout, re.M)
    assert re.search(r"^3 +\S+ +running ", early.stdout, re.M)


def test_a_controller_that_does_not_answer_has_killed_nothing(mixed):
    *_, away = mixed
    assert re.search(r"^2 +\S+ +unknown ", away.stdout, re.M)
    assert re.search(r"^ +Slurm says nothing of its job \d+_2: .*slurm", away.stdout, re.M | re.I)
    assert "killed" not in away.stdout


def test_a_failed_run_fails_its_slurm_job_with_the_traceback_in_its_log(cluster, mixed):
    login, jobs, *_ = mixed
    assert (cluster.state(jobs[1]), cluster.exit_code(jobs[1])) == ("FAILED", "1:0")
    (member,) = [each for each in members(login / "out") if each["number"] == 1]
    log = (login / "out" / member["log"]).read_text()
    assert "Traceback (most recent call last)" in log
    assert "fatebias.errors.DiscoveryError: discovery.engine=rscript" in log
    assert "discovery.engine=rscript" in (login / "out" / "1" / "run.log").read_text()


def test_no_job_hides_another_and_each_end_is_named(cluster, mixed, typed):
    login, jobs, *_ = mixed
    assert cluster.state(jobs[0]) == "COMPLETED"
    done = typed("-m", "fatebias.sweep", "status", "out", cwd=login)
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    states = [line.split()[2] for line in lines[1:] if re.match(r"\d", line) and line.split()[0].isdigit()]
    assert states[:4] == ["done", "failed", "killed", "killed"]
    text = done.stdout
    assert "discovery.engine=rscript, but R's mashr does not answer" in text
    assert "its process died" in text
    assert "cancelled: scancel, or the scheduler" in text
    assert lines[-1] == "1 done, 1 failed, 2 killed"


def test_mlflow_has_the_end_of_each_job_although_a_killed_one_cannot_say_it(mixed, typed):
    login, *_ = mixed
    for record in (login / "out").glob("*/run.json"):  # as if other machines had written them
        record.write_text(record.read_text().replace(platform.node(), "node01"))
    assert run_json(login / "out" / "2")["tracking"]["status"] == "running"
    done = typed("-m", "fatebias.tracking", "sync", "out", cwd=login)
    assert done.returncode == 0, done.stderr
    runs = Stored(f"sqlite:///{login}/mlflow.db").runs()
    found = {run.data.tags["slurm_array_task_id"]: run.info.status for run in runs}
    assert found == {"0": "FINISHED", "1": "FAILED", "2": "KILLED", "3": "KILLED"}


def test_a_sweep_is_compared_from_what_has_finished(mixed, typed):
    login, *_ = mixed
    done = typed("-m", "fatebias.sweep", "out", cwd=login)
    assert [Path(line).name for line in done.stdout.splitlines()] == [
        "sweep_report.html",
        "sweep_summary.csv",
        "hit_stability.csv",
        "sweep_hits.png",
    ]
    assert list(pd.read_csv(login / "out" / "sweep_summary.csv")["status"]) == [
        "done",
        "failed",
        "killed",
        "killed",
    ]


def test_a_job_that_meets_its_time_limit_says_so(cluster, mixed, typed):
    login, *_ = mixed
    (member,) = members(login / "late")
    # A limit that is short from the start would end Python before it listens, where the machine is busy.
    until(lambda: last_step(login / "late" / "0") > 0, "steps of the fit")
    job = member["job_id"]
    shown = cluster.ask("scontrol", "--oneliner", "show", "job", job)
    hours, minutes = map(int, re.search(r"RunTime=(\d+):(\d+):\d+", shown).groups())
    limit = f"TimeLimit={60 * hours + minutes + 2}"
    cluster.ask("scontrol", "update", f"JobId={job}", limit, check=False)  # unless it has met its own by now
    # A slow machine may queue it once more before its time is up.
    until(lambda: cluster.state(job) in ENDED, "the time limit")
    done = typed("-m", "fatebias.sweep", "status", "late", cwd=login)
    assert done.returncode == 1
    assert re.search("timed-out|time limit", done.stdout), done.stdout


def test_retry_runs_what_failed_in_the_same_folder_and_nothing_else(cluster, mixed, typed):
    login, jobs, *_ = mixed
    before = run_json(login / "out" / "0")
    done = typed("-m", "fatebias.sweep", "retry", "out", "hydra.launcher.mem_gb=3", cwd=login)
    assert done.returncode == 0, done.stderr
    assert "3 queued" in done.stdout
    now = members(login / "out")
    assert now[0]["job_id"] == jobs[0]
    new = [member["job_id"] for member in now[1:]]
    assert not set(new) & set(jobs)
    shown = cluster.ask("scontrol", "--oneliner", "show", "job", new[0].partition("_")[0])
    cluster.ask("scancel", new[0].partition("_")[0])
    assert "MinMemoryNode=3G" in shown
    assert run_json(login / "out" / "0") == before


def test_a_gpu_that_torch_cannot_use_ends_the_job_at_once_with_the_reason(cluster, typed, tmp_path):
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    words = ["launcher=slurm", "hydra.launcher.cpus=1", "hydra.launcher.mem_gb=2", *TINY, "out_dir=out"]
    done = typed(*words, "tracking=off", cwd=tmp_path)
    assert done.returncode == 1
    assert "1 of 1 runs of the sweep failed" in done.stderr
    assert "this job has asked for a GPU, but torch sees none" in done.stderr
    assert run_json(tmp_path / "out" / "0")["status"] == "failed"
    (member,) = members(tmp_path / "out")
    assert cluster.state(member["job_id"]) == "FAILED"
    assert "gres:gpu:1" in cluster.ask("scontrol", "--oneliner", "show", "job", member["job_id"])


@pytest.fixture(scope="module")
def requeued(cluster, typed, tmp_path_factory):
    """A job that Slurm queues again twice, brought to MLflow each time; and one that it leaves alone."""
    login = tmp_path_factory.mktemp("requeued")
    words = [*SMALL_JOB, *TINY, f"inference.num_steps={STEPS}", "hydra.launcher.wait=false"]
    for out in ("whole", "requeued"):
        done = typed(*words, f"out_dir={out}", cwd=login)
        assert done.returncode == 0, done.stderr
    (member,) = members(login / "requeued")
    run, seen = login / "requeued" / "0", []
    for restarts in (1, 2):
        steps = last_step(run)
        until(lambda steps=steps: last_step(run) > steps + 200, "steps of the fit")
        cluster.ask("scontrol", "requeue", member["job_id"])
        until(lambda: cluster.state(member["job_id"]) == "PENDING", "the job to be queued again")
        status = typed("-m", "fatebias.sweep", "status", "requeued", cwd=login)
        assert " queued " in status.stdout
        assert status.returncode == 0
        imported = typed("-m", "fatebias.tracking", "sync", "requeued", cwd=login)
        assert imported.returncode == 0, imported.stderr
        stored = Stored(f"sqlite:///{login}/mlflow.db").only()
        seen.append((stored.info.status, stored.data.tags["restarts"]))
        cluster.ask("scontrol", "update", f"JobId={member['job_id']}", "StartTime=now")
        until(lambda: cluster.state(member["job_id"]) == "RUNNING", "the job to run again")
        shown = cluster.ask("scontrol", "--oneliner", "show", "job", member["job_id"])
        assert f"Restarts={restarts} " in shown
    for out in ("whole", "requeued"):
        folder = login / out / "0"
        until(lambda folder=folder: run_json(folder)["status"] == "done", f"the end of {out}")
    return login, seen


def test_a_job_that_is_requeued_twice_goes_on_to_the_same_bytes(requeued):
    login, _ = requeued
    run = login / "requeued" / "0"
    resumed = re.findall(r"resuming from step (\d+)", (run / "run.log").read_text())
    assert len(resumed) == 2
    assert 0 < int(resumed[0]) < int(resumed[1])
    for name in (*CSVS, "posterior.npz"):
        assert (run / name).read_bytes() == (login / "whole" / "0" / name).read_bytes(), name


def test_a_job_that_is_requeued_twice_is_one_run_in_mlflow_with_every_metric_once(requeued, typed):
    login, seen = requeued
    assert seen == [("KILLED", "0"), ("KILLED", "1")]
    for _ in range(2):
        done = typed("-m", "fatebias.tracking", "sync", "requeued", cwd=login)
        assert done.returncode == 0, done.stderr
    stored = Stored(f"sqlite:///{login}/mlflow.db")
    run = stored.only()
    assert (run.info.status, run.data.tags["restarts"]) == ("FINISHED", "2")
    trace = login / "requeued" / "0" / "loss_trace.csv"
    assert len(trace.read_text().splitlines()) == STEPS + 1
    points = thin_trace(trace, finished=True, planned_steps=STEPS).points
    assert stored.loss(run) == {point.step: point.value for point in points}
    finals = [name for name in run.data.metrics if name != "loss"]
    assert {"hits", "final/fit_s"} <= set(finals)
    assert {name: len(stored.points(run, name)) for name in finals} == dict.fromkeys(finals, 1)
    assert {"hits_ranked.csv", "run.json"} <= stored.artifacts(run)


def test_a_job_that_meets_its_limit_goes_on_as_often_as_it_may_and_then_says_so(cluster, typed, tmp_path):
    """Slurm's signal is sent by hand: with a limit of ten minutes or less each counts as the limit."""
    limit = ["hydra.launcher.timeout_min=10", "hydra.launcher.max_timeouts=1", "hydra.launcher.wait=false"]
    done = typed(*SMALL_JOB, *limit, *TINY, NEVER_ENDING, "out_dir=out", "tracking=off", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (member,) = members(tmp_path / "out")
    run, job = tmp_path / "out" / "0", member["job_id"]
    until(lambda: last_step(run) > 200, "steps of the fit")
    cluster.ask("scancel", "--signal=USR2", job)
    until(lambda: cluster.state(job) == "PENDING", "the job to be queued again")
    reached = last_step(run)
    cluster.ask("scontrol", "update", f"JobId={job}", "StartTime=now")
    until(lambda: last_step(run) > reached + 100, "the fit to go on")
    (resumed,) = re.findall(r"resuming from step (\d+)", (run / "run.log").read_text())
    assert 200 < int(resumed) <= reached + 1
    cluster.ask("scancel", "--signal=USR2", job)
    until(lambda: cluster.state(job) not in ("RUNNING", "COMPLETING"), "the end of the job")
    assert cluster.state(job) == "FAILED"
    status = typed("-m", "fatebias.sweep", "status", "out", cwd=tmp_path)
    assert status.returncode == 1
    assert "timed-out too many times" in status.stdout
    assert "retry with more: hydra.launcher.timeout_min=480" in status.stdout


def test_python_of_a_container_starts_the_jobs_of_a_sweep_and_of_its_retry(cluster, typed, tmp_path):
    """A script in place of apptainer, which would be called in the same way."""
    wrapper, log = tmp_path / "my images" / "run it", tmp_path / "calls"
    wrapper.parent.mkdir()
    script = [
        "#!/bin/sh",
        f'echo "$@" >> "{log}"',
        'test "$2" = "an image.sif" || exit 9',
        f'shift 2; exec "{sys.executable}" "$@"',
    ]
    wrapper.write_text("\n".join(script))
    wrapper.chmod(0o755)
    words = [
        f'hydra.launcher.python=["{wrapper}",exec,"an image.sif"]',
        'hydra.launcher.srun_args=["--label"]',
    ]
    done = typed(*SMALL_JOB, *words, *TINY, "out_dir=out", "tracking=off", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    call = f"exec an image.sif -u -m submitit.core._submit {tmp_path}/out/slurm"
    assert log.read_text().splitlines() == [call]
    started = f" --label '{wrapper}' exec 'an image.sif' -u -m "
    texts = [path.read_text() for path in (tmp_path / "out" / "slurm").glob("*.sh")]
    assert texts
    assert all(started in text for text in texts)
    (tmp_path / "out" / "0" / "hits_ranked.csv").unlink()
    done = typed("-m", "fatebias.sweep", "retry", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert run_json(tmp_path / "out" / "0")["status"] == "done"
    assert log.read_text().splitlines() == [call, call]


def test_the_password_of_a_server_is_in_no_file_of_a_job(cluster, typed, tmp_path):
    secret = secrets.token_hex(8)
    words = ["tracking=server", f"tracking.uri=http://user:{secret}@127.0.0.1:1", "stages=[fit]"]
    done = typed(*SMALL_JOB, *TINY, *words, "out_dir=out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert secret not in done.stdout + done.stderr
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"sweep.json", "run.json", "run.log"} <= {path.name for path in files}
    assert {".sh", ".pkl", ".out"} <= {path.suffix for path in files}
    assert [path for path in files if secret.encode() in path.read_bytes()] == []
    assert secret not in cluster.ask("scontrol", "show", "job", members(tmp_path / "out")[0]["job_id"])


def test_what_failed_in_slurm_is_done_again_here_in_the_same_folders(cluster, typed, tmp_path):
    python = tmp_path / "python"  # as on a node whose file system is away
    python.write_text(f'#!/bin/sh\n[ "$SLURM_ARRAY_TASK_ID" = 1 ] && exit 7\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    words = [*SMALL_JOB, f"hydra.launcher.python={python}", *TINY, "seed=0,1", "out_dir=out"]
    assert "1 of 2 runs of the sweep failed" in typed(*words, cwd=tmp_path).stderr
    out = tmp_path / "out"
    before = {path: path.read_bytes() for path in (out / "0").rglob("*") if path.is_file()}

    done = typed("-m", "fatebias.sweep", "retry", "out", "launcher=local", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert run_json(out / "1")["status"] == "done"
    assert "slurm_job_id" not in run_json(out / "1")["tracking"]["tags"]
    assert {path: path.read_bytes() for path in before} == before
    sweep = json.loads((out / "sweep.json").read_text())
    assert sweep["launcher"] == "local"
    assert [Path(each["command"][0]).name for each in sweep["submissions"]] == ["run.py", "__main__.py"]
    assert [bool(each["job_id"]) for each in sweep["members"]] == [True, False]
    status = typed("-m", "fatebias.sweep", "status", "out", cwd=tmp_path)
    assert status.returncode == 0
    assert re.search(r"^1 +- +done +seed=1 +\S.*/out/1/run.log$", status.stdout, re.M)
    assert status.stdout.endswith("\n2 done\n")
    runs = Stored(f"sqlite:///{tmp_path}/mlflow.db").runs()
    assert sorted(run.data.params["seed"] for run in runs if "seed" in run.data.params) == ["0", "1"]
    assert {run.info.status for run in runs} == {"FINISHED"}


def test_a_single_run_that_slurm_stopped_is_finished_here_in_its_own_folder(cluster, typed, tmp_path):
    words = [*SMALL_JOB, *TINY, f"inference.num_steps={STEPS}", "tracking=off", "hydra.launcher.wait=false"]
    done = typed(*words, "out_dir=one", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (member,) = members(tmp_path / "one")
    run, job = tmp_path / "one" / "0", member["job_id"]
    until(lambda: last_step(run) > 200, "steps of the fit")
    cluster.ask("scancel", job)
    until(lambda: cluster.state(job) in ENDED, "the end of the job")
    assert " killed " in typed("-m", "fatebias.sweep", "status", "one", cwd=tmp_path).stdout

    done = typed("-m", "fatebias.sweep", "retry", "one", "launcher=local", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert run_json(run)["status"] == "done"
    assert "resuming from step" in (run / "run.log").read_text()
    assert not {"run.json", "run.log", "hits_ranked.csv"} & {path.name for path in run.parent.iterdir()}
    (member,) = members(run.parent)
    assert (member["job_id"], member["folder"]) == (None, "0")
    status = typed("-m", "fatebias.sweep", "status", "one", cwd=tmp_path)
    assert (status.returncode, status.stdout.splitlines()[-1]) == (0, "1 done")


def test_what_slurm_refuses_is_said_in_its_own_words_and_nothing_is_queued(cluster, typed, tmp_path):
    done = typed(
        *SMALL_JOB, "hydra.launcher.partition=absent", *TINY, "seed=0,1", "out_dir=out", cwd=tmp_path
    )
    assert done.returncode == 1
    assert "Slurm has refused the jobs" in done.stderr
    assert "invalid partition specified: absent" in done.stderr
    assert "Traceback" not in done.stderr
    assert [run_json(tmp_path / "out" / str(number))["status"] for number in range(2)] == ["failed"] * 2
