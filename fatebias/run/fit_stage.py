"""The stage fit: a screen becomes a posterior and tables in the run's folder."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fatebias.api.fitting import fit_with
from fatebias.api.results import write_fit
from fatebias.config import Config
from fatebias.files.atomic import atomic_json, sha256_file
from fatebias.files.loss_trace import LossLog
from fatebias.files.paths import RunPaths

if TYPE_CHECKING:
    from fatebias.data.screen import Screen

HASHED_UP_TO_BYTES = 1e9


def fit(
    screen: Screen, config: Config, paths: RunPaths, sources: Mapping[str, Path], key: str
) -> dict[str, Any]:
    """Fit the screen, write the files of the stage, and return what run.json keeps of it.

    `sources` are the files that the screen came from, hashed meanwhile. An interrupted fit with the same
    `key` (a digest of data, settings and code) continues from its checkpoint.
    """
    from fatebias.inference.checkpoint import Checkpoint

    with ThreadPoolExecutor(1, thread_name_prefix="sha256") as hashing:
        hashes = {name: hashing.submit(_file_hash, path) for name, path in sources.items()}
        atomic_json(paths.screen_summary, screen.summary)
        checkpoint = Checkpoint(paths.checkpoint, key, config.inference.checkpoint_every_s)
        with LossLog(paths.loss) as losses:
            result = fit_with(screen, config, on_step=losses.add, checkpoint=checkpoint)
        write_fit(result, paths)
        checkpoint.clear()
        files = {n: {"path": str(path), "sha256": hashes[n].result()} for n, path in sources.items()}
    return {"files": files, **result.entry()}


def _file_hash(path: Path) -> str | None:
    """SHA-256 of a file; None for a folder (zarr) and for large files, whose X would cost its time."""
    if not path.is_file() or path.stat().st_size > HASHED_UP_TO_BYTES:
        return None
    return sha256_file(path)
