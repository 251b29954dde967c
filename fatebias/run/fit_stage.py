"""What the stage fit does with a screen: it becomes a posterior and tables."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fatebias.config import AUTO, Config
from fatebias.files.atomic import atomic_json, sha256_file
from fatebias.files.paths import RunPaths

if TYPE_CHECKING:
    from fatebias.data.screen import Screen

log = logging.getLogger(__name__)

HASHED_UP_TO_BYTES = 1e9


def fit_outputs(paths: RunPaths) -> list[Path]:
    """Name the files of the fit; a fit that lacks one is done again."""
    return [
        paths.gene_summary,
        paths.guide_summary,
        paths.posterior,
        paths.marginal_effects,
        paths.loss,
        paths.loss_plot,
        paths.screen_summary,
        paths.calibration,
    ]


def discover_outputs(paths: RunPaths, contrasts: Sequence[str] = ()) -> list[Path]:
    """Name the files of the discovery, of further contrasts too."""
    own = [paths.mash_out, paths.hits, paths.hits_plot, paths.calls]
    return own + [
        path
        for name in contrasts
        for path in (paths.contrast(name).gene_summary, *discover_outputs(paths.contrast(name)))
    ]


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
    import pandas as pd

    from fatebias.estimates.from_fit import gene_estimates
    from fatebias.estimates.likelihood_weight import estimate_weight
    from fatebias.estimates.marginal import write_marginal
    from fatebias.estimates.tables import write_posterior
    from fatebias.files.loss_trace import LossLog
    from fatebias.inference.checkpoint import Checkpoint
    from fatebias.inference.fit import fit_screen
    from fatebias.inference.posterior import posterior_moments
    from fatebias.pl._loss import loss_figure
    from fatebias.pl.save import save_png

    with ThreadPoolExecutor(1, thread_name_prefix="sha256") as hashing:
        hashes = {name: hashing.submit(_file_hash, path) for name, path in sources.items()}
        atomic_json(paths.screen_summary, screen.summary)
        begun = time.perf_counter()
        weight = estimate_weight(screen, config)
        atomic_json(paths.calibration, {"likelihood_weight": config.likelihood_weight, **weight.plain()})
        log.info("%s", weight.summary_line())
        config = with_weight(config, weight.weight)
        calibrating = time.perf_counter() - begun
        checkpoint = Checkpoint(paths.checkpoint, key, config.inference.checkpoint_every_s)
        with LossLog(paths.loss) as losses:
            found = fit_screen(screen, config, on_step=losses.add, checkpoint=checkpoint)
        begun = time.perf_counter()
        posterior = posterior_moments(found.draw, config.inference.num_posterior_draws, screen.guide_gene)
        given = gene_estimates(screen, config, posterior)
        write_posterior(posterior, given, screen, paths)
        write_marginal(screen, config, posterior, given, paths)
        notes = [*weight.notes, *given.notes]
        for note in notes:
            log.warning("%s", note)
        save_png(loss_figure(pd.read_csv(paths.loss)), paths.loss_plot)
        checkpoint.clear()
        seconds = {"calibration": calibrating, **found.seconds, "summary": time.perf_counter() - begun}
        return {
            "parts": {name: round(took, 3) for name, took in seconds.items()},
            "files": {
                name: {"path": str(path), "sha256": hashes[name].result()} for name, path in sources.items()
            },
            "diagnostics": found.diagnostics,
            "warnings": list(found.warnings),
            "likelihood_weight": config.likelihood_weight,
            "suggested_weight": weight.weight,
            "calibration": weight.summary_line(),
            "notes": notes,
            "se": config.export.se,
            "n_steps": len(found.trace.step),
        }


def with_weight(config: Config, weight: float) -> Config:
    """Put the weight found in the place of ``likelihood_weight=auto``; another stays."""
    if config.likelihood_weight != AUTO:
        return config
    return dataclasses.replace(config, likelihood_weight=weight)


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


def _file_hash(path: Path) -> str | None:
    """SHA-256 of a file; None for a folder (zarr) and for large files, whose X would cost its time."""
    if not path.is_file() or path.stat().st_size > HASHED_UP_TO_BYTES:
        return None
    return sha256_file(path)
