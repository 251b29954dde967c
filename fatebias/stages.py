"""What the two stages do: a screen becomes a posterior and its tables, the tables become ranked hits."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fatebias.artifacts import RunPaths, atomic_json, atomic_path, sha256_file
from fatebias.config import Config, DiscoveryConfig

if TYPE_CHECKING:
    from fatebias.data.screen import Screen

HASHED_UP_TO_BYTES = 1e9


def fit_outputs(paths: RunPaths) -> list[Path]:
    """Name the files of the fit; a fit that lacks one is done again."""
    return [
        paths.gene_summary,
        paths.guide_summary,
        paths.posterior,
        paths.loss,
        paths.loss_plot,
        paths.screen_summary,
    ]


def discover_outputs(paths: RunPaths) -> list[Path]:
    """Name the files of the discovery."""
    return [paths.mash_out, paths.hits, paths.hits_plot]


def fit(
    screen: Screen, config: Config, paths: RunPaths, sources: Mapping[str, Path], key: str
) -> dict[str, Any]:
    """Fit the screen and write what `fit_outputs` names.

    Parameters
    ----------
    screen
        The screen.
    config
        The run's settings.
    paths
        Where to write.
    sources
        ``data`` and ``guide_map``: the files that the screen came from; they are hashed meanwhile.
    key
        Digest of the fit's data, settings and code: an interrupted fit of the same key is gone on with.

    Returns
    -------
    dict
        What run.json is to say of it.

    Raises
    ------
    FitError, OutputError
        When no posterior was found, or a file could not be written.
    """
    from fatebias.inference.checkpoint import Checkpoint
    from fatebias.inference.fit import fit_screen
    from fatebias.loss_log import LossLog
    from fatebias.plots import plot_loss
    from fatebias.posterior import summarise, write_posterior

    with ThreadPoolExecutor(1, thread_name_prefix="sha256") as hashing:
        hashes = {name: hashing.submit(_file_hash, path) for name, path in sources.items()}
        atomic_json(paths.screen_summary, screen.summary)
        checkpoint = Checkpoint(paths.checkpoint, key, config.inference.checkpoint_every_s)
        with LossLog(paths.loss) as losses:
            found = fit_screen(screen, config, on_step=losses.add, checkpoint=checkpoint)
        begun = time.perf_counter()
        posterior = summarise(found.draw, config.inference.num_posterior_draws, screen.gene_of_guide)
        write_posterior(posterior, screen, paths)
        plot_loss(paths.loss, paths.loss_plot)
        checkpoint.clear()
        seconds = {**found.seconds, "summary": time.perf_counter() - begun}
        return {
            "parts": {name: round(took, 3) for name, took in seconds.items()},
            "files": {
                name: {"path": str(path), "sha256": hashes[name].result()} for name, path in sources.items()
            },
            "diagnostics": found.diagnostics,
            "warnings": list(found.warnings),
            "n_steps": len(found.trace.step),
        }


def describe_screen(screen: Screen) -> dict[str, Any]:
    """Say what the columns of the tables mean: fates, days, replicates and sizes.

    Parameters
    ----------
    screen
        The screen.

    Returns
    -------
    dict
        Plain content for run.json.
    """
    return {
        "fingerprint": screen.fingerprint(),
        "fates": list(screen.fates),
        "contrast": screen.contrast,
        "day_labels": list(screen.day_labels),
        "rep_labels": list(screen.rep_labels),
        "cells": screen.N,
        "genes": screen.L,
        "guides": screen.G,
    }


def discover(cfg: DiscoveryConfig, paths: RunPaths, screen: Mapping[str, Any]) -> dict[str, Any]:
    """Shrink, call, rank and draw; needs nothing but ``gene_summary_for_mash.csv``.

    Parameters
    ----------
    cfg
        Method, engine and thresholds.
    paths
        Where to read and write.
    screen
        What `describe_screen` said; empty when only the table is there.

    Returns
    -------
    dict
        What run.json is to say of it.

    Raises
    ------
    DiscoveryError, OutputError
        When the table cannot be used, the engine fails, or a file could not be written.
    """
    from fatebias.discovery import engine
    from fatebias.discovery.ranking import rank
    from fatebias.discovery.tables import read_table
    from fatebias.plots import plot_hits

    report = engine.discover(paths.gene_summary, paths.mash_out, cfg)
    thresholds = engine.thresholds(cfg)
    table = read_table(paths.mash_out, fix="run again with resume=false")  # as text: a gene may be called NA
    ranked = rank(table, *thresholds, where=paths.mash_out)
    with atomic_path(paths.hits) as draft:
        ranked.to_csv(draft, index=False)
    labels = screen.get("day_labels") or []
    plot_hits(
        ranked,
        labels if len(labels) == report.n_days else [f"d{d}" for d in range(report.n_days)],
        thresholds[0],
        screen.get("contrast"),
        (screen.get("fates") or [None])[0],
        paths.hits_plot,
    )
    return dataclasses.asdict(report)


def _file_hash(path: Path) -> str | None:
    """SHA-256 of a file; None for a folder (zarr) and for large files, whose X would cost its time."""
    if not path.is_file() or path.stat().st_size > HASHED_UP_TO_BYTES:
        return None
    return sha256_file(path)
