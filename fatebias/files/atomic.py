"""Files that appear under their name whole or not at all, and digests of files and settings."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fatebias.errors import OutputError
from fatebias.files.rights import why

# A file system without locks says one of these.
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)
DRAFT = re.compile(r"\..+\.[0-9a-f]{8}\.(csv|h5ad|html|json|npz|pdf|png|pt|svg|yaml)")
FOR_R = ".rscript-"  # folders in which R is given its files
TO_OUT_DIR = (
    "free some room or give another out_dir, then run the same command again: finished stages are kept"
)


@contextlib.contextmanager
def atomic_path(final: Path, fix: str = TO_OUT_DIR) -> Iterator[Path]:
    """Yield a path beside `final` to write to; it gets the final name only when the block ends well.

    Raises OutputError when the disk is full or the folder read-only, with `fix` as what to do; an older file
    under the final name then stays as it was.
    """
    draft = final.with_name(f".{final.stem}.{uuid.uuid4().hex[:8]}{final.suffix}")  # as in DRAFT
    try:
        yield draft
        with draft.open("rb") as handle:
            os.fsync(handle.fileno())  # else a crash may leave the final name on an empty file
        os.replace(draft, final)
    except OSError as error:
        refused = isinstance(error, PermissionError)
        raise OutputError(
            f"{final.name} could not be written",
            where=final,
            found=why(error, final),
            fix="ask for the right to write there, or copy the folder to one of your own" if refused else fix,
        ) from error
    finally:
        with contextlib.suppress(OSError):
            draft.unlink()


def atomic_text(final: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with atomic_path(final) as draft:
        draft.write_text(text, encoding="utf-8")


def atomic_json(final: Path, content: Any) -> None:
    """Write JSON whole or not at all."""
    atomic_text(final, json.dumps(content, indent=2, ensure_ascii=False, default=_plain) + "\n")


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else str(value)


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file, read in constant memory."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def digest(content: Any) -> str:
    """Return the SHA-256 of plain content, independent of the order of its keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=_plain).encode()).hexdigest()
