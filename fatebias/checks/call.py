"""From a posterior to calls, in memory, for checks that call many times.

The embedded engine shrinks, whichever the run's own discovery took: it agrees with R's mashr to the accuracy
of its weights, and R takes minutes where each gene has its own error correlation.
"""

from __future__ import annotations

import dataclasses

import pandas as pd

from fatebias.config import Config
from fatebias.data.screen import Screen
from fatebias.discovery.core import discover_contrasts, discover_table
from fatebias.discovery.correlation import error_correlation
from fatebias.estimates.estimates import ContrastEstimates, GeneEstimates
from fatebias.estimates.from_fit import gene_estimates
from fatebias.inference.posterior import Posterior


def call_exported(screen: Screen, cfg: Config, weight: float, posterior: Posterior) -> pd.DataFrame:
    """Return `Discovery.table` of a fit's estimates, genes in the screen's order.

    `weight` is the likelihood weight of the fit.
    """
    return call_given(screen, cfg, gene_estimates(screen, cfg, posterior, weight))


def call_given(screen: Screen, cfg: Config, given: GeneEstimates) -> pd.DataFrame:
    """Shrink and call estimates, as `call_exported`."""
    settings = dataclasses.replace(cfg.discovery, engine="native", contrasts=[])
    [(_, found)] = discover_contrasts(
        given, screen.fates, screen.gene_names, settings,
        contrast=screen.contrast, se=cfg.export.se, flips=False,
    )  # fmt: skip
    return found.table


def call_contrast(screen: Screen, cfg: Config, given: ContrastEstimates) -> pd.DataFrame:
    """Shrink and call estimates of one contrast whose errors have a known covariance, that contrast alone."""
    correlation = error_correlation(cfg.discovery, cfg.export.se, given.covariance)
    v = None if correlation is None else correlation.v
    settings = dataclasses.replace(cfg.discovery, engine="native")
    return discover_table(screen.gene_names, given.betahat, given.se, settings, v=v).table
