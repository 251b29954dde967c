"""One table from file to file, as the discovery stage does without a saved fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fatebias.config import DiscoveryConfig
from fatebias.discovery.core import discover_summary
from fatebias.discovery.input import read_summary
from fatebias.discovery.outcome import DiscoveryReport
from fatebias.files.paths import prepare_out_dir
from fatebias.mash.joint import JointPosterior
from fatebias.run.discover_stage import write_mash_out


def discover(
    in_csv: Path, out_csv: Path, cfg: DiscoveryConfig, v: NDArray[np.float64] | None = None
) -> tuple[DiscoveryReport, JointPosterior]:
    """Read `in_csv`, shrink, call and write `out_csv`."""
    summary = read_summary(in_csv)
    prepare_out_dir(out_csv.parent)
    found = discover_summary(summary, cfg, v=v, folder=out_csv.parent)
    write_mash_out(found, summary.table, out_csv)
    return found.report, found.joint
