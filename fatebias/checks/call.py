"""From a posterior to calls, in a folder of its own."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path

import pandas as pd

from fatebias import names
from fatebias.config import Config
from fatebias.data.screen import Screen
from fatebias.discovery import engine
from fatebias.discovery.correlation import error_correlation
from fatebias.discovery.tables import read_table
from fatebias.estimates.estimates import ContrastEstimates
from fatebias.estimates.from_fit import contrast_estimates
from fatebias.estimates.tables import gene_table
from fatebias.files.atomic import atomic_path
from fatebias.files.paths import RunPaths
from fatebias.inference.fit import fit_screen
from fatebias.inference.laplace import InitialValues
from fatebias.inference.posterior import Posterior, posterior_moments


def call_exported(screen: Screen, cfg: Config, posterior: Posterior, folder: Path) -> pd.DataFrame:
    """Export, shrink and call.

    Parameters
    ----------
    screen
        The screen.
    cfg
        Export and discovery; the likelihood weight a number.
    posterior
        Of the fit.
    folder
        Where the tables are written.

    Returns
    -------
    DataFrame
        ``gene_summary_mash_out.csv`` as text but for ``hit_anyday``, in the screen's order of genes.
    """
    return call_given(screen, cfg, contrast_estimates(screen, cfg, posterior), folder)


def fit_and_call(
    screen: Screen, cfg: Config, root: Path, prefix: str, start: InitialValues | None = None
) -> pd.DataFrame:
    """Fit by ``inference=laplace``, whatever the run's method, and call.

    Parameters
    ----------
    screen
        The screen.
    cfg
        The run's settings, the likelihood weight a number.
    root
        Discovery works in a folder below it, which is removed.
    prefix
        Of that folder's name.
    start
        Where the fit begins.

    Returns
    -------
    DataFrame
        As `call_exported`.
    """
    laplace = dataclasses.replace(cfg, inference=dataclasses.replace(cfg.inference, method="laplace"))
    fit = fit_screen(screen, laplace, start=start)
    posterior = posterior_moments(fit.draw, cfg.inference.num_posterior_draws, screen.guide_gene, flips=False)
    with tempfile.TemporaryDirectory(prefix=prefix, dir=root) as folder:
        return call_exported(screen, laplace, posterior, Path(folder))


def call_given(screen: Screen, cfg: Config, given: ContrastEstimates, folder: Path) -> pd.DataFrame:
    """Shrink and call what mash is given.

    Parameters
    ----------
    screen
        The screen.
    cfg
        Discovery.
    given
        Estimates with the covariance of their errors.
    folder
        Where the tables are written.

    Returns
    -------
    DataFrame
        As `call_exported`.
    """
    paths = RunPaths(folder)
    with atomic_path(paths.gene_summary) as draft:
        gene_table(given.betahat, given.se, screen.gene_names).to_csv(draft, index=False)
    correlation = error_correlation(cfg.discovery, cfg.export.se, given.covariance)
    v = None if correlation is None else correlation.v
    engine.discover(paths.gene_summary, paths.mash_out, cfg.discovery, v)
    table = read_table(paths.mash_out, fix="run again")
    return table.assign(**{names.HIT_ANYDAY: table[names.HIT_ANYDAY] == "True"})
