"""Whether this user may write over what an earlier run left in a folder, and whose it is."""

from __future__ import annotations

import os
import pwd
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path

from fatebias.errors import OutputError, few
from fatebias.files.outputs import PLACES

# Written in place by logging, Hydra, the lock and the fit; all other files are replaced, which takes rights
# on their folder alone.
IN_PLACE = ("run.log", ".lock", PLACES["loss"], "multirun.yaml")
HYDRA = ".hydra"
FOLDERS = (HYDRA, "figures", "superseded", "contrasts", "slurm")


def check_rights(root: Path, option: str = "out_dir=") -> None:
    """Refuse a folder with files that this user cannot write over; raises OutputError that says whose."""
    barred = list(_barred(root))
    if not barred:
        return
    foreign = [path for path in barred if _uid(path) != os.geteuid()]
    others = sorted({owner(path) for path in foreign})
    named = few([str(path.relative_to(root)) for path in barred], 5)
    whole = shlex.quote(str(root))
    raise OutputError(
        "files of an earlier run in this folder cannot be written",
        where=root,
        found=f"{named} of {' and '.join(others)}" if others else f"{named}, without the right to write",
        fix=f"give a folder of your own: {option}PATH"
        + (f"; or ask {' and '.join(others)} to remove them" if others else f"; or chmod -R u+w {whole}"),
    )


def _barred(root: Path) -> Iterator[Path]:
    # In a folder such as /tmp others' files can be neither replaced nor locked, whatever their own rights.
    whole = root.stat()
    shared = whole.st_mode & stat.S_ISVTX and os.geteuid() not in (0, whole.st_uid)
    for path in sorted(root.iterdir()):
        if shared and _uid(path) != os.geteuid():
            yield path
        elif path.name in FOLDERS and path.is_dir():
            if not os.access(path, os.W_OK | os.X_OK):
                yield path
            elif path.name == HYDRA:
                yield from (each for each in sorted(path.iterdir()) if not os.access(each, os.W_OK))
        elif path.name in IN_PLACE and not os.access(path, os.W_OK):
            yield path


def owner(path: Path) -> str:
    """Return the name of the user to whom a file belongs."""
    uid = _uid(path)
    if uid is None:
        return "an unknown user"
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:  # of another machine
        return f"user {uid}"


def whose(path: Path) -> str:
    """Return in words to whom a file belongs; of one that is not there, the nearest folder above it."""
    there = next(each for each in (path, *path.absolute().parents) if _uid(each) is not None)
    return f"{there} belongs to {owner(there)}"


def why(error: OSError, path: Path) -> str:
    """Return why a file cannot be used; where this user may not, to whom it belongs, too."""
    said = str(error.strerror or error)
    return f"{said}: {whose(path)}" if isinstance(error, PermissionError) else said


def _uid(path: Path) -> int | None:
    try:
        return path.stat(follow_symlinks=False).st_uid
    except OSError:
        return None
