"""Starting R: one command, never a shell, ended with all it started when it takes too long."""

from __future__ import annotations

import contextlib
import logging
import os
import shlex
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from fatebias.errors import DiscoveryError
from fatebias.files.stopping import signals_end_us

log = logging.getLogger(__name__)

ANNOUNCED_AFTER_S = 5.0

NO_R = (
    "install R (Debian: r-base-core; conda: mashr/mash.yaml), or set discovery.command to the words that "
    "start Rscript, such as [micromamba,run,-n,fate-mash,Rscript], or use discovery.engine=native"
)


@dataclass(frozen=True)
class Finished:
    """A command that has ended."""

    argv: tuple[str, ...]  # its words
    code: int  # exit code; minus the number of the signal that killed it
    stdout: str
    stderr: str

    @property
    def shown(self) -> str:
        """The command as one could paste it into a shell."""
        return shlex.join(self.argv)

    @property
    def killed_by(self) -> str | None:
        """Name of the signal that ended it, also where a shell passed it on as 128 + number."""
        number = -self.code if self.code < 0 else self.code - 128
        return signal.Signals(number).name if number in set(signal.Signals) else None


def run(argv: Sequence[str], timeout_s: float) -> Finished:
    """Run a command without a shell.

    After `timeout_s` seconds, or when SIGTERM or SIGHUP stops this process, it is killed with every process
    that it started.
    """
    with signals_end_us():
        try:
            process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            raise DiscoveryError(
                f"{argv[0]} cannot be started: {error.strerror}", where="discovery.command", fix=NO_R
            ) from error
        try:
            stdout, stderr = _wait(process, argv, timeout_s)
        except subprocess.TimeoutExpired as error:
            raise DiscoveryError(
                f"{argv[0]} did not end within {timeout_s:g} s",
                where=shlex.join(argv),
                fix="raise discovery.timeout_s, or use discovery.engine=native",
            ) from error
        finally:
            if process.poll() is None:  # timed out or interrupted
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
    return Finished(
        tuple(argv), process.returncode, stdout.decode(errors="replace"), stderr.decode(errors="replace")
    )


def _wait(process: subprocess.Popen[bytes], argv: Sequence[str], timeout_s: float) -> tuple[bytes, bytes]:
    """Return what a process wrote until its end; say what is waited for where that takes long."""
    if timeout_s > ANNOUNCED_AFTER_S:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.communicate(timeout=ANNOUNCED_AFTER_S)
        log.info("waiting for R, at most %g s (discovery.timeout_s): %s", timeout_s, shlex.join(argv))
        timeout_s -= ANNOUNCED_AFTER_S
    return process.communicate(timeout=timeout_s)
