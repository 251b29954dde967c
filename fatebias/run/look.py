"""``stages=[check]``: the screen read and judged, and what a fit of it would cost. Nothing is written."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np

from fatebias.config import Config

TRIAL = 600  # unknowns of the factorisation that tells how fast this machine is
TRIALS = 8
LAPLACE_ROUNDS = 12
SCALE_POINTS = 32


def look(config: Config) -> str:
    """Return the screen's summary and what a fit would cost; raises DataError where it cannot be fitted."""
    from fatebias.data.collapse import collapse
    from fatebias.data.load import load_screen
    from fatebias.data.reading.summary import render_summary

    with tempfile.TemporaryDirectory() as folder:  # of a simulated screen
        screen = load_screen(config.data, config.priors, Path(folder))
    n_rows = collapse(screen).n_rows
    shared = screen.D + screen.R + 1 + screen.C
    size = (len(screen.fates) - 1) * (screen.L * screen.D + screen.G + shared)
    seconds = (LAPLACE_ROUNDS + SCALE_POINTS) * (size / TRIAL) ** 3 * _trial_seconds()
    return "\n".join(
        [
            render_summary(screen.summary),
            f"{'a fit':<14}{screen.N:,} cells collapse into {n_rows:,} rows; {size:,} unknowns: about "
            f"{3 * 8 * size**2 / 1e9 + 0.5:.1f} GB and {_about(seconds)} for the Laplace solution; SVI "
            "and the checks take several times that",
            "nothing was fitted or written; leave stages out to run",
        ]
    )


def _trial_seconds() -> float:
    """Time one factorisation of a matrix with `TRIAL` rows, the best of several on a busy machine."""
    matrix = np.eye(TRIAL) + 1.0
    took = []
    for _ in range(TRIALS):
        begun = time.perf_counter()
        np.linalg.cholesky(matrix)
        took.append(time.perf_counter() - begun)
    return min(took)


def _about(seconds: float) -> str:
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
