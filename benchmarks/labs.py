"""What a lab would run instead: a regression of log-ratios by guide, and a rank test by gene."""

from __future__ import annotations

import numpy as np
import statsmodels.api as sm
from numpy.typing import NDArray
from scipy.stats import false_discovery_control, mannwhitneyu, norm

from fatebias.data.screen import Screen

Array = NDArray[np.float64]

LEAST_P = 1e-3
FDR = 0.05


def guide_regression(screen: Screen) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Regress logit(p_MES / p_EC) on each guide; return effects, p values and calls, each (L, D).

    One regression for each guide and day with replicate and burden as covariates, errors robust to
    heteroscedasticity (HC1), by cluster where the screen has more than 12. Guides of a gene are combined by
    inverse variance; BH over genes and days.
    """
    p = np.clip(screen.p, LEAST_P, None)
    y = np.log(p[:, screen.contrast_index + 1] / p[:, 0])
    holds = np.zeros((screen.N, screen.G + 1), dtype=bool)
    holds[np.arange(screen.N)[:, None], screen.guide_ids] = True
    weight, total = np.zeros((2, screen.L, screen.D))
    clustered = screen.cluster.max() + 1 > 12
    for d in range(screen.D):
        here = screen.day == d
        covariates = [np.ones(here.sum()), screen.k_centered[here]]
        covariates += [(screen.rep[here] == r).astype(float) for r in range(1, screen.R)]
        for guide in range(1, screen.G + 1):
            held = holds[here, guide]
            if held.sum() < 5:
                continue
            x = np.column_stack([held.astype(float), *covariates])
            model = sm.OLS(y[here], x)
            if clustered:
                fit = model.fit(cov_type="cluster", cov_kwds={"groups": screen.cluster[here]})
            else:
                fit = model.fit(cov_type="HC1")
            gene = screen.gene_of_guide[guide] - 1
            weight[gene, d] += 1 / fit.bse[0] ** 2
            total[gene, d] += fit.params[0] / fit.bse[0] ** 2
    effect = np.divide(total, weight, out=np.zeros_like(total), where=weight > 0)
    p_value = 2 * norm.sf(np.abs(effect) * np.sqrt(weight))
    return effect, p_value, false_discovery_control(p_value.ravel()).reshape(p_value.shape) < FDR


def rank_test(screen: Screen) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Compare p_MES of each gene's cells with that of NTC-only cells (Mann and Whitney), day by day.

    Returns effects (differences of means), p values and calls, each (L, D). Where a day has fewer than 20
    NTC-only cells, all cells without the gene take their place.
    """
    p = screen.p[:, screen.contrast_index + 1]
    effect, p_value = np.zeros((screen.L, screen.D)), np.ones((screen.L, screen.D))
    genes = np.zeros((screen.N, screen.L + 1), dtype=bool)
    genes[np.arange(screen.N)[:, None], screen.gene_of_guide[screen.guide_ids]] = True
    only_ntc = ~genes[:, 1:].any(axis=1)
    for d in range(screen.D):
        here = screen.day == d
        for gene in range(screen.L):
            held = here & genes[:, gene + 1]
            controls = here & only_ntc
            if controls.sum() < 20:
                controls = here & ~held
            if held.sum() < 5:
                continue
            effect[gene, d] = p[held].mean() - p[controls].mean()
            p_value[gene, d] = mannwhitneyu(p[held], p[controls]).pvalue
    return effect, p_value, false_discovery_control(p_value.ravel()).reshape(p_value.shape) < FDR
