"""One run at a time in a folder: by a lock of its file system, else by a note of who works there."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import logging
import os
import shlex
import socket
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from fatebias.errors import OutputError
from fatebias.files.atomic import NO_LOCKS
from fatebias.files.provenance import now
from fatebias.files.rights import owner, why
from fatebias.slurm_queue import gone, own_job

log = logging.getLogger(__name__)

READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)


@contextlib.contextmanager
def one_run(path: Path) -> Iterator[None]:
    """Hold the lock of a run's folder; raises OutputError where another run holds it."""
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(_lock(path))
        except Timeout:
            raise _occupied(path.parent, "wait for it, or give another out_dir") from None
        except PermissionError as error:
            raise OutputError(
                "the lock of this folder cannot be taken",
                where=path,
                found=why(error, path),
                fix=f"give another out_dir; or, if no run works there, let {owner(path)} type: "
                f"rm {shlex.quote(str(path))}",
            ) from error
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            held.enter_context(_noted(path))
        yield


def is_at_work(path: Path) -> bool:
    """Say whether a run holds the lock, as far as can be seen from this machine."""
    if not os.path.exists(path):  # Path.exists raises where a folder above is closed
        return False
    try:
        with _lock(path):
            return False
    except Timeout:
        return True
    except OSError as error:
        if error.errno in READ_ONLY:
            return _is_locked(path)
        if error.errno not in NO_LOCKS:
            return True
    return _is_noted(path)


def _is_locked(path: Path) -> bool:
    """Say whether a lock that this user may only read is held; True where it may not be read either."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return True
    try:
        # a shared one, for which NFS wants no right to write
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in NO_LOCKS or _is_noted(path)
    finally:
        os.close(handle)
    return False


def _is_noted(path: Path) -> bool:
    holder = _read(_note(path))
    return holder is not None and _why_gone(holder) is None


def _lock(path: Path) -> FileLock:
    return FileLock(path, blocking=False, fallback_to_soft=False)


def _note(path: Path) -> Path:
    return path.with_name(f"{path.name}-note")


@contextlib.contextmanager
def _noted(path: Path) -> Iterator[None]:
    """Write who works in the folder, and take the note away at the end; refuse where another run has one."""
    note = _note(path)
    own = {"host": socket.gethostname(), "pid": os.getpid(), "born": _born(os.getpid()), "job": own_job(),
           "since": now()}  # fmt: skip
    while not _written(note, own):
        holder = _read(note)
        if holder is None:  # gone meanwhile
            continue
        why = _why_gone(holder)
        if why is None:
            raise _occupied(
                path.parent,
                f"wait for it, or give another out_dir; if it is gone: rm {note}",
                f"{_told(holder)}, by its note: this file system has no locks",
            )
        aside = note.with_name(f"{note.name}-{uuid.uuid4().hex[:8]}")
        with contextlib.suppress(FileNotFoundError):  # of two runs that see it, one renames it
            note.rename(aside)
            aside.unlink()
            log.warning("%s: taken over from %s: %s", path.parent, _told(holder), why)
    log.info("%s has no locks: %s says that this run works there", path.parent, note.name)
    try:
        yield
    finally:
        if _read(note) == own:
            note.unlink(missing_ok=True)


def _written(note: Path, own: Mapping[str, Any]) -> bool:
    """Write the note; False where there is one."""
    try:
        with note.open("x", encoding="utf-8") as file:
            file.write(json.dumps(own))
    except FileExistsError:
        return False
    return True


def _read(note: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(note.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        found = {}
    return found if isinstance(found, dict) else {}


def _why_gone(holder: Mapping[str, Any]) -> str | None:
    """Return why the run of a note no longer works; None where it may."""
    job = holder.get("job")
    if job is not None and job == own_job():
        return "it was an earlier start of this same job"
    if holder.get("host") == socket.gethostname() and isinstance(holder.get("pid"), int):
        return None if _born(holder["pid"]) == holder.get("born") != "" else "its process has ended"
    if isinstance(job, str) and job in gone([job]):
        return f"Slurm says that job {job} has ended"
    return None


def _born(pid: int) -> str:
    """Return when a process began, in the kernel's words, which a later one of the same number has not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
        return stat.rpartition(")")[2].split()[19]
    except OSError:
        pass
    try:  # no /proc
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except OSError:
        pass
    return "unknown"


def _told(holder: Mapping[str, Any]) -> str:
    job = "" if holder.get("job") is None else f", Slurm job {holder['job']}"
    return (
        f"process {holder.get('pid', 'unknown')} on {holder.get('host', 'an unknown machine')}{job}, "
        f"since {holder.get('since', 'unknown')}"
    )


def _occupied(root: Path, fix: str, found: str | None = None) -> OutputError:
    return OutputError("another run is working in this folder", where=root, found=found, fix=fix)
