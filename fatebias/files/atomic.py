"""Where a run's files stand, and how they appear: whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fatebias.errors import OutputError


@contextlib.contextmanager
def atomic_path(final: Path) -> Iterator[Path]:
    """Give a path beside `final` to write to; it takes the final name only when the block ends well.

    Parameters
    ----------
    final
        The name under which the whole file shall appear.

    Yields
    ------
    Path
        The temporary path, in the same folder and with the same suffix.

    Raises
    ------
    OutputError
        When the disk is full or the folder cannot be written; an older `final` stays as it was.
    """
    draft = final.with_name(f".{final.stem}.{uuid.uuid4().hex[:8]}{final.suffix}")
    try:
        yield draft
        with draft.open("rb") as handle:
            os.fsync(handle.fileno())
        os.replace(draft, final)
    except OSError as error:
        raise OutputError(
            f"{final.name} could not be written",
            where=final,
            found=error.strerror or error,
            fix="free some room or give another out_dir, then run the same command again: "
            "finished stages are kept",
        ) from error
    finally:
        with contextlib.suppress(OSError):
            draft.unlink()


def atomic_text(final: Path, text: str) -> None:
    """Write a text file whole or not at all.

    Parameters
    ----------
    final
        Where it shall stand.
    text
        Its content, written as UTF-8.
    """
    with atomic_path(final) as draft:
        draft.write_text(text, encoding="utf-8")


def atomic_json(final: Path, content: Any) -> None:
    """Write JSON whole or not at all.

    Parameters
    ----------
    final
        Where it shall stand.
    content
        What `json` can write; paths and numpy numbers are turned into text and numbers.
    """
    atomic_text(final, json.dumps(content, indent=2, ensure_ascii=False, default=_plain) + "\n")


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else str(value)


def sha256_file(path: Path) -> str:
    """Hash a file in constant memory.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    str
        Its SHA-256 in hexadecimal.
    """
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def digest(content: Any) -> str:
    """Hash settings or other plain content, independent of the order of its keys.

    Parameters
    ----------
    content
        What `json` can write.

    Returns
    -------
    str
        SHA-256 in hexadecimal.
    """
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=_plain).encode()).hexdigest()
