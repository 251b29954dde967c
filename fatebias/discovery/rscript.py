"""The R engine: mash or ash by run_mashr.R through Rscript, and the question whether a package answers."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fatebias import names
from fatebias.config import DiscoveryConfig
from fatebias.discovery.input import GeneSummary
from fatebias.discovery.r_output import read_result
from fatebias.discovery.r_process import Finished, run
from fatebias.discovery.result import EngineResult
from fatebias.errors import DiscoveryError, explain
from fatebias.files.outputs import PLACES

Array = NDArray[np.float64]

SCRIPT = "run_mashr.R"
PROBE_TIMEOUT_S = 120.0
# What run_mashr.R's exit codes ask of the user; the script's own message is in its stderr.
FIXES = {
    2: "this fatebias and its run_mashr.R do not belong together: reinstall fatebias",
    3: "mend the input as R's message says",
    4: "create the environment with `conda env create -f mashr/mash.yaml` and set discovery.command="
    "[conda,run,-n,fate-mash,Rscript], or use discovery.engine=native",
    5: "see R's message; discovery.engine=native does the same without R",
    6: "give an out_dir that R may write to",
}


@dataclass(frozen=True)
class Answer:
    """Whether a command starts an R that has a package."""

    version: str | None  # None where the package does not answer
    why_not: str = ""  # empty where it does


def script_path() -> Path:
    """Find run_mashr.R beside this module (installed) or in the checkout's mashr folder."""
    here = Path(__file__)
    places = [here.with_name(SCRIPT), here.parents[2] / "mashr" / SCRIPT]
    for place in places:
        if place.is_file():
            return place
    raise DiscoveryError(f"{SCRIPT} is missing", where=places, fix="reinstall fatebias")


def rscript_has(command: Sequence[str], package: str) -> Answer:
    """Ask R, once a process, for a package's version; an R that does not start is a reason, not an error."""
    return _ask(tuple(command), package)


@functools.cache
def _ask(command: tuple[str, ...], package: str) -> Answer:
    # No blanks: R's front end is a shell script that takes the expression apart at them.
    question = f"loadNamespace('{package}');cat('version:',as.character(packageVersion('{package}')),sep='')"
    try:
        done = run([*command, "-e", question], PROBE_TIMEOUT_S)
    except DiscoveryError as error:
        return Answer(None, str(error).splitlines()[0])
    if done.code == 0 and (said := re.findall(r"version:(\d+(?:[.-]\d+)*)", done.stdout)):
        return Answer(said[-1])
    if "no package called" in done.stderr:
        return Answer(None, f"R package {package} is not installed")
    last = (done.stderr.strip() or f"exit code {done.code}").splitlines()[-1]
    return Answer(None, f"R could not load {package}: {last}")


def run_rscript(
    summary: GeneSummary, cfg: DiscoveryConfig, folder: Path, v: Array | None = None
) -> EngineResult:
    """Write what R needs into an empty folder, run run_mashr.R and read what it wrote."""
    in_csv = folder.absolute() / PLACES["gene_summary"]
    summary.table.to_csv(in_csv, index=False)
    out_csv = folder.absolute() / "out.csv"
    argv = [*cfg.command, str(script_path()), str(in_csv), str(out_csv), *_options(cfg, v is None)]
    if v is not None:
        v_csv = folder.absolute() / "v.csv"
        _write_correlation(v_csv, summary, v)
        argv += ["--V", str(v_csv)]
    done = run(argv, cfg.timeout_s)
    if done.code != 0:
        raise DiscoveryError(_failure(done))
    try:
        return read_result(out_csv, done.stdout, summary, cfg.method, v)
    except DiscoveryError as error:
        raise DiscoveryError(
            "R said it was done, but its output cannot be trusted",
            where=done.shown,
            found=f"{error}\n{_stderr(done)}",
            fix="run the command by hand to see what R does, or use discovery.engine=native",
        ) from error


def _options(cfg: DiscoveryConfig, estimate: bool) -> list[str]:
    options = {
        "method": cfg.method,
        "prior": cfg.prior,
        "nullweight": repr(float(cfg.nullweight)),
        "covariances": cfg.covariances,
        "rank-one": cfg.rank_one,
        # what the fit gives comes as --V, and ashr knows no correlation between days
        "null-correlation": cfg.null_correlation if estimate and cfg.method == "mashr" else "identity",
        "seed": str(cfg.seed),
    }
    return [f"--{name}={value}" for name, value in options.items()]


def _write_correlation(path: Path, summary: GeneSummary, v: Array) -> None:
    table = pd.DataFrame(v.reshape(-1, summary.n_days), columns=names.day_columns("v_d", summary.n_days))
    if v.ndim == 3:
        table.insert(0, names.GENE, np.repeat(summary.genes, summary.n_days))
    table.to_csv(path, index=False)


def _failure(done: Finished) -> str:
    if done.killed_by:
        what = f"R was killed by {done.killed_by}"
        fix = "SIGKILL is most often the machine or Slurm running out of memory; else see R's message"
    else:
        what = f"R ended with exit code {done.code}"
        fix = FIXES.get(done.code, "see R's message, or use discovery.engine=native")
    return explain(what, where=done.shown, found=_stderr(done), fix=fix)


def _stderr(done: Finished) -> str:
    return f"R's stderr:\n{done.stderr.strip() or '(empty)'}"
