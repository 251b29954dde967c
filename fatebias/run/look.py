"""``stages=[check]``: the screen read and judged, and what a run of it would cost. Nothing is written."""

from __future__ import annotations

import tempfile
from pathlib import Path

from fatebias.config import Config

# A whole run with the defaults on two cores, from the runs of benchmarks/README.md: within a third of each.
SECONDS, SECONDS_A_GENE, SECONDS_A_MILLION = 20.0, 0.06, 25.0
GIGABYTES, GIGABYTES_A_GENE, GIGABYTES_A_MILLION = 0.75, 0.0011, 0.4
OF_EACH_ROW, OF_EACH_GUIDE = 3, 2  # numbers in the design: day, replicate and burden; gene and guide


def look(config: Config) -> str:
    """Return the screen's summary and what a run would cost; raises DataError where it cannot be fitted."""
    from fatebias.data.collapse import collapse
    from fatebias.data.load import load_screen
    from fatebias.data.reading.summary import render_summary

    with tempfile.TemporaryDirectory() as folder:  # of a simulated screen
        screen = load_screen(config.data, config.priors, Path(folder))
    rows = collapse(screen)
    shared = screen.D + screen.R + 1 + screen.C
    size = (len(screen.fates) - 1) * (screen.L * screen.D + screen.G + shared)
    entries = rows.n_rows * (OF_EACH_ROW + screen.C) + OF_EACH_GUIDE * len(rows.guides)
    seconds, gigabytes = cost(screen.L, entries)
    return "\n".join(
        [
            render_summary(screen.summary),
            f"{'a run':<14}{screen.N:,} cells collapse into {rows.n_rows:,} rows; {size:,} unknowns: about "
            f"{_about(seconds)} and {gigabytes:.1f} GB with the default settings on two cores; "
            "experiment=calibrated takes up to half as long again, inference=nuts hours",
            "nothing was fitted or written; leave stages out to run",
        ]
    )


def cost(n_genes: int, entries: int) -> tuple[float, float]:
    """Return seconds and gigabytes of a whole run, for a design of so many numbers other than zero."""
    millions = entries / 1e6
    return (
        SECONDS + SECONDS_A_GENE * n_genes + SECONDS_A_MILLION * millions,
        GIGABYTES + GIGABYTES_A_GENE * n_genes + GIGABYTES_A_MILLION * millions,
    )


def _about(seconds: float) -> str:
    if seconds < 90:
        return f"{10 * round(seconds / 10):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
