"""From a posterior to calls, in a folder of its own."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from fatebias import names
from fatebias.artifacts import RunPaths, atomic_path
from fatebias.config import Config
from fatebias.data.screen import Screen
from fatebias.discovery import engine
from fatebias.discovery.correlation import error_correlation
from fatebias.discovery.tables import read_table
from fatebias.estimates import Export
from fatebias.export import export
from fatebias.posterior import Posterior, gene_table


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
    return call_given(screen, cfg, export(screen, cfg, posterior), folder)


def call_given(screen: Screen, cfg: Config, given: Export, folder: Path) -> pd.DataFrame:
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
