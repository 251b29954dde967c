"""``python -m fatebias.checks.pool DIR``: pool the bootstraps of a sweep over seeds.

For screens whose refits run as an array of jobs (``calibration.bootstrap_seed=0,1,2,3``): the refits that the
runs below DIR kept are pooled, and DIR gets the ``bootstrap.csv`` of them all.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fatebias.api.settings import read_config
from fatebias.checks.refit import Refits
from fatebias.checks.resample_tables import bootstrap_table
from fatebias.checks.resampling import of_bootstrap
from fatebias.data.load import load_screen
from fatebias.errors import FatebiasError, OutputError
from fatebias.estimates.day_weights import weigh_as_fitted
from fatebias.files.atomic import atomic_path
from fatebias.files.outputs import PLACES
from fatebias.files.paths import RunPaths, prepare_out_dir
from fatebias.files.record import RunRecord
from fatebias.files.tables import read_table

# Runs on different machines find the same mode up to rounding.
SAME_MODE = 1e-3


def pool(folder: Path) -> Path:
    """Pool the refits of the runs below a folder and return the path of the table.

    The runs are of one screen and one set of settings, each with a ``bootstrap_seed`` of its own; an
    OutputError says where they are not.
    """
    found = sorted(
        path.parent
        for path in folder.glob(f"**/{PLACES['bootstrap_refits']}")
        if path.parent.name != "superseded"
    )
    if not found:
        raise _refused(folder, "no run with refits", "run with calibration.bootstrap=B first")
    kept = []
    for run in found:
        with np.load(run / PLACES["bootstrap_refits"]) as arrays:
            kept.append({name: arrays[name] for name in arrays.files})
    first = kept[0]
    seeds = [int(each["seed"]) for each in kept]
    if len(set(seeds)) < len(seeds):
        raise _refused(folder, f"the seeds {seeds}", "give each run a calibration.bootstrap_seed of its own")
    for run, each in zip(found, kept, strict=True):
        same = (
            str(each["fingerprint"]) == str(first["fingerprint"])
            and str(each["unit"]) == str(first["unit"])
            and np.allclose(each["mode"], first["mode"], atol=SAME_MODE)
        )
        if not same:
            raise _refused(
                folder,
                f"other data, units or fit in {run.name} than in {found[0].name}",
                "pool runs that differ in calibration.bootstrap_seed alone",
            )
    paths = RunPaths(found[0])
    cfg = read_config(paths.config)
    fitted = RunRecord(paths).content["stages"]["fit"]
    screen = weigh_as_fitted(load_screen(cfg.data, cfg.priors, paths.root), fitted)
    together = Refits(
        *(np.concatenate([each[part] for each in kept]) for part in ("values", "steps", "converged"))
    )
    given = read_table(paths.gene_summary)
    whole = of_bootstrap(together, first["mode"], first["model"], first["prior"])
    to = prepare_out_dir(folder)
    table, _ = bootstrap_table(screen, cfg, given, whole)
    with atomic_path(to.bootstrap) as draft:
        table.to_csv(draft, index=False)
    return to.bootstrap


def _refused(folder: Path, found: str, fix: str) -> OutputError:
    return OutputError("there are no bootstraps to pool", where=folder, found=found, fix=fix)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command on the words after ``python -m fatebias.checks.pool`` and return its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m fatebias.checks.pool", description="Pool the bootstraps of a sweep over seeds."
    )
    parser.add_argument("folder", metavar="DIR", type=Path, help="out_dir of the sweep")
    try:
        print(pool(parser.parse_args(arguments).folder))
    except FatebiasError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
