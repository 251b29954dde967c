"""A Slurm cluster of one node on this machine: munged, slurmctld and slurmd, in a folder of their own.

The node claims sixteen cores and one GPU, whose device is /dev/null. There is no accounting, as on many small
clusters, so that ``sacct`` answers nothing.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol")
START_S = 300.0

CONF = """
ClusterName=fatebias
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ctld_port}
SlurmdPort={d_port}
AuthType=auth/munge
AuthInfo=socket={root}/munge.socket
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={root}/state
SlurmdSpoolDir={root}/spool
SlurmctldPidFile={root}/slurmctld.pid
SlurmdPidFile={root}/slurmd.pid
SlurmctldLogFile={root}/slurmctld.log
SlurmdLogFile={root}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=sched_interval=2,batch_sched_delay=0
SlurmdParameters=config_overrides
ReturnToService=2
MpiDefault=none
KillWait=3
MinJobAge=600
MessageTimeout=5
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs=16 RealMemory=64000 Gres=gpu:1 State=UNKNOWN
PartitionName=test Nodes=ALL Default=YES MaxTime=720 State=UP
"""


def why_not() -> str | None:
    """Say why no cluster can be brought up here; None when it can."""
    absent = [program for program in PROGRAMS if shutil.which(program, path=search_path()) is None]
    if absent:
        return f"Debian's slurm-wlm and munge are not installed: no {', '.join(absent)}"
    if os.geteuid() != 0:
        return "a Slurm controller and its node are brought up as root, in a container"
    return None


def search_path() -> str:
    """Find daemons too where only users' programs are on PATH."""
    return f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


@dataclasses.dataclass
class Cluster:
    """A running cluster; `environment` leads Slurm's commands to it."""

    root: Path

    @property
    def environment(self) -> dict[str, str]:
        return {"SLURM_CONF": str(self.root / "slurm.conf"), "PATH": search_path()}

    def start(self) -> None:
        for name in ("state", "spool"):
            (self.root / name).mkdir(parents=True)
        key = self.root / "munge.key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o600)
        ports = {"ctld_port": _free_port(), "d_port": _free_port()}
        conf = CONF.format(root=self.root, host=socket.gethostname().partition(".")[0], **ports)
        (self.root / "slurm.conf").write_text(conf)
        (self.root / "gres.conf").write_text("Name=gpu File=/dev/null\n")
        munge = {"key-file": key, "socket": self.root / "munge.socket", "pid-file": self.root / "munged.pid"}
        munge |= {"log-file": self.root / "munged.log", "seed-file": self.root / "munged.seed"}
        self.ask("munged", "--force", *(f"--{name}={path}" for name, path in munge.items()))
        self.ask("slurmctld", "-c")
        self.ask("slurmd", "-c")
        deadline = time.monotonic() + START_S
        while "idle" not in self.ask("sinfo", "--noheader", "--format=%T", check=False):
            if time.monotonic() > deadline:
                raise TimeoutError(f"the node is not idle after {START_S:g} s:\n{self.logs()}")
            time.sleep(0.3)

    def stop(self) -> None:
        self.ask("scancel", "--user=root", "--full", "--signal=KILL", check=False)
        self.ask("scancel", "--user=root", check=False)
        for daemon in ("slurmd", "slurmctld", "munged"):
            with contextlib.suppress(OSError, ValueError):
                _end(int((self.root / f"{daemon}.pid").read_text()))

    def ask(self, *words: str, check: bool = True) -> str:
        done = subprocess.run(
            words,
            env=os.environ | self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
            check=False,
        )
        if check and done.returncode:
            raise RuntimeError(f"{' '.join(words)} has failed: {done.stdout}\n{self.logs()}")
        return done.stdout

    @contextlib.contextmanager
    def away(self) -> Iterator[None]:
        """Let the controller answer nothing for a while, as where its machine is overloaded."""
        controller = int((self.root / "slurmctld.pid").read_text())
        os.kill(controller, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(controller, signal.SIGCONT)

    def state(self, job: str) -> str:
        shown = self.ask("scontrol", "--oneliner", "show", "job", job)
        return shown.partition("JobState=")[2].partition(" ")[0]

    def exit_code(self, job: str) -> str:
        return (
            self.ask("scontrol", "--oneliner", "show", "job", job).partition("ExitCode=")[2].partition(" ")[0]
        )

    def python_of(self, job: str) -> int:
        """Find the process that runs our code in a task of an array."""
        array, _, task = job.partition("_")
        # another cluster on this machine counts its jobs from 1, too
        own = {"SLURM_CONF": self.environment["SLURM_CONF"]}
        named = {"SLURM_ARRAY_JOB_ID": array, "SLURM_ARRAY_TASK_ID": task, **own}
        wanted = {f"{name}={value}".encode() for name, value in named.items()}
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if wanted <= set((entry / "environ").read_bytes().split(b"\0")):
                    words = (entry / "cmdline").read_bytes().split(b"\0")
                    if b"submitit.core._submit" in words and b"python" in words[0]:
                        return int(entry.name)
        raise LookupError(f"job {job} has no process")

    def logs(self) -> str:
        return "\n".join(
            f"{path.name}\n{path.read_text(errors='replace')[-2000:]}"
            for path in sorted(self.root.glob("*.log"))
        )


def _end(pid: int) -> None:
    os.kill(pid, signal.SIGTERM)
    for _ in range(50):
        time.sleep(0.1)
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
    os.kill(pid, signal.SIGKILL)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
