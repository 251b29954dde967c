"""Which code, versions and memory a run used."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import resource
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

RECORDED_PACKAGES = (
    "fatebias",
    "torch",
    "pyro-ppl",
    "anndata",
    "numpy",
    "scipy",
    "pandas",
    "hydra-core",
    "mlflow",
)


POINT_ELSEWHERE = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_PREFIX")


def git_state(folder: Path) -> dict[str, Any]:
    """Tell which commit of this code runs.

    Parameters
    ----------
    folder
        Where the code lies. A package installed below someone's own repository (a ``.venv`` in it, say) is
        no part of that: only a folder whose files are under version control counts.

    Returns
    -------
    dict
        ``commit`` and ``dirty``; both None outside a git checkout.
    """
    if not git(folder, "ls-files", "--", "."):
        return {"commit": None, "dirty": None}
    commit = git(folder, "rev-parse", "HEAD")
    status = git(folder, "status", "--porcelain", "--untracked-files=no")
    return {"commit": (commit or "").strip() or None, "dirty": None if status is None else bool(status)}


def git(folder: Path, *words: str) -> str | None:
    """Ask git about a folder.

    Parameters
    ----------
    folder
        Where to ask; variables that point git elsewhere (``GIT_DIR``, as a hook has it) do not count.
    *words
        What to ask.

    Returns
    -------
    str or None
        Its answer; None when there is no git or it refuses.
    """
    surroundings = {name: value for name, value in os.environ.items() if name not in POINT_ELSEWHERE}
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *words], capture_output=True, timeout=10, check=True, env=surroundings
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode("utf-8", "surrogateescape")


def peak_memory_mb() -> float:
    """Tell the largest resident size of this process so far.

    Returns
    -------
    float
        Megabytes (10^6 bytes).
    """
    with contextlib.suppress(OSError):
        # Linux: ru_maxrss would count the process that started this one, VmHWM begins with this program.
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
        if found := re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE):
            return int(found[1]) * 1024 / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / 1e6


def package_versions() -> dict[str, str]:
    """Tell the versions of Python and of what results depend on.

    Returns
    -------
    dict
        Package name to version; packages that are absent are left out.
    """
    found = {"python": platform.python_version()}
    for package in RECORDED_PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def now() -> str:
    """Give the time as run.json writes it: ISO 8601, UTC, seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")
