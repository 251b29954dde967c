"""From a posterior to calls, in memory, for checks that call many times.

The embedded engine shrinks, whichever the run's own discovery took: it agrees with R's mashr to the accuracy
of its weights, and R takes minutes where each gene has its own error correlation.
"""

from __future__ import annotations

import dataclasses

import pandas as pd

from fatebias.config import Config, ModelConfig
from fatebias.data.screen import Screen
from fatebias.discovery.core import discover_contrasts, discover_table
from fatebias.discovery.correlation import error_correlation
from fatebias.estimates.estimates import ContrastEstimates, GeneEstimates
from fatebias.estimates.from_fit import gene_estimates, unshrunken_estimates
from fatebias.inference.fit import choose_device, fit_screen
from fatebias.inference.laplace import InitialValues, fit_laplace
from fatebias.inference.posterior import Posterior, flat_means, posterior_moments
from fatebias.model.design_matrix import design_of, with_more_genes

# Draws of a check's own fits: standard errors are right to 2 %, less than what a few pseudo-genes can show.
ENOUGH_DRAWS = 1_000


def call_exported(screen: Screen, cfg: Config, weight: float, posterior: Posterior) -> pd.DataFrame:
    """Return `Discovery.table` of a fit's estimates, genes in the screen's order.

    `weight` is the likelihood weight of the fit.
    """
    return call_given(screen, cfg, gene_estimates(screen, cfg, posterior, weight))


def fit_and_call(
    screen: Screen,
    cfg: Config,
    weight: float,
    start: InitialValues | None = None,
) -> pd.DataFrame:
    """Fit by ``inference=laplace``, whatever the run's method, and call as `call_exported`."""
    return call_given(screen, cfg, fitted_estimates(screen, cfg, weight, start))


def begin_at(split: Screen, screen: Screen, posterior: Posterior, model: ModelConfig) -> InitialValues:
    """Return where a fit with pseudo-genes begins: at the posterior without them, these at zero."""
    design = design_of(split, model)
    own = design_of(screen, model)
    mean = with_more_genes(design, own, flat_means(posterior, own))
    return InitialValues(posterior.scales_mean**-2.0, mean=mean)


def fitted_estimates(
    screen: Screen, cfg: Config, weight: float, start: InitialValues | None = None
) -> GeneEstimates:
    """Return what a fit by ``inference=laplace``, whatever the run's method, gives mash."""
    if cfg.export.estimates == "unshrunken":  # of which the fit's mode and scales are but a start
        laplace = fit_laplace(
            design_of(screen, cfg.model),
            cfg.priors,
            likelihood_weight=weight,
            max_rounds=cfg.inference.max_rounds,
            device=choose_device(cfg.device),
            start=start,
        )
        spread = laplace.scale_precision[:, -1] ** -0.5
        return unshrunken_estimates(screen, cfg, laplace.mean, spread, weight, rough=True)
    n_draws = min(cfg.inference.num_posterior_draws, ENOUGH_DRAWS)
    inference = dataclasses.replace(cfg.inference, method="laplace", num_posterior_draws=n_draws)
    by_laplace = dataclasses.replace(cfg, inference=inference)
    fit = fit_screen(screen, by_laplace, weight, start=start, judge=False)
    posterior = posterior_moments(fit.draw, n_draws, screen.guide_gene, flips=False)
    return gene_estimates(screen, by_laplace, posterior, weight)


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
