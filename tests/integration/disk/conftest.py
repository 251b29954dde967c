"""A disk so small that it can be filled: a tmpfs, which only root may mount."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


class Disk:
    """A file system of its own, mounted on a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.ballast = root / ".ballast"

    def free(self) -> int:
        """Give the bytes that are left."""
        return os.statvfs(self.root).f_bavail * os.statvfs(self.root).f_frsize

    def fill(self, leaving: int = 0) -> None:
        """Fill it up to some bytes."""
        with self.ballast.open("ab", buffering=0) as file, contextlib.suppress(OSError):
            while (more := self.free() - leaving) > 0:
                file.write(b"\0" * min(more, 1 << 20))

    def make_room(self) -> None:
        self.ballast.unlink(missing_ok=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """Give a disk of 8 MB; skipped where none may be mounted, which in CI is a failure."""
    root = tmp_path / "disk"
    root.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=8m", "none", str(root)]
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        reason = done.stderr.strip() if done.returncode else None
    except OSError as error:
        reason = str(error)
    if reason is not None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(f"no tmpfs: {reason}")
    try:
        yield Disk(root)
    finally:
        subprocess.run(["umount", "--lazy", str(root)], check=True)
