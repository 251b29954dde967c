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
    """Return commit and dirty flag of the code in a folder, None for both outside a checkout.

    A package installed below someone's own repository (a ``.venv`` in it) is no part of that repository, so
    only a folder whose files are under version control counts.
    """
    if not git(folder, "ls-files", "--", "."):
        return {"commit": None, "dirty": None}
    commit = git(folder, "rev-parse", "HEAD")
    status = git(folder, "status", "--porcelain", "--untracked-files=no")
    return {"commit": (commit or "").strip() or None, "dirty": None if status is None else bool(status)}


def git(folder: Path, *words: str) -> str | None:
    """Return git's answer about a folder; None when there is no git or it refuses."""
    # a git hook sets GIT_DIR and others, which would point at another repository
    surroundings = {name: value for name, value in os.environ.items() if name not in POINT_ELSEWHERE}
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *words], capture_output=True, timeout=10, check=True, env=surroundings
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode("utf-8", "surrogateescape")


def peak_memory_mb() -> float:
    """Return the largest resident size of this process so far, in megabytes (10^6 bytes)."""
    with contextlib.suppress(OSError):
        # Linux: ru_maxrss would count the process that started this one, VmHWM begins with this program.
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
        if found := re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE):
            return int(found[1]) * 1024 / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / 1e6


def package_versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that results depend on."""
    found = {"python": platform.python_version()}
    for package in RECORDED_PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def now() -> str:
    """Return the time as run.json writes it: ISO 8601, UTC, seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")
