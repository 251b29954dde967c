"""Whether replicates, fitted apart, agree on the effects of genes."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import spearmanr

from fatebias import names
from fatebias.checks.centre import find_centre
from fatebias.config import Config
from fatebias.data.screen import Screen
from fatebias.data.synthetic import subset
from fatebias.estimates.sandwich import broad_scales
from fatebias.inference.posterior import Posterior, flat_means
from fatebias.model.design_matrix import design_of

Array = NDArray[np.float64]

# Cells of a gene on a day in either replicate: with fewer its effect is the prior's.
FEWEST_CELLS = 10
# Effects this many SDs from zero in the whole screen: replicates should agree on their sign.
CLEAR_Z = 3.0
FEWEST_GENES = 3
ALL_DAYS = "all"


def concordance(
    screen: Screen, cfg: Config, weight: float, posterior: Posterior
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Fit each replicate by itself and return a table by pairs of replicates and day, and its summary.

    Effects are free by gene and day, as under ``export.estimates=unshrunken``: shrinkage towards zero
    would make replicates agree, and a walk over days would lend one day the agreement of another. Guides
    vary around their gene as in the run's fit. Replicates share their guides, so what differs between
    them is the labels' part of the errors, ``H^-1 - H^-1 Q H^-1``. Fits begin at the posterior of the
    run's fit, which also says which effects are clear. The summary is over all days, the mean over pairs.
    """
    contrast = screen.contrast_index
    estimates, variances, cells = [], [], []
    for rep in range(screen.R):
        own = subset(screen, screen.rep == rep)
        design = design_of(own, cfg.model)
        scales = broad_scales(design, posterior.scales_mean[:, -1]).scale_precision
        fit = find_centre(own, cfg, weight, scales, flat_means(posterior, design))
        index = design.theta_index[:, contrast]
        whole, prior = fit.covariances(index)
        estimates.append(fit.mean[index])
        variances.append(np.diagonal(whole - prior, axis1=1, axis2=2))
        cells.append(_cells(own))
    clear = np.abs(posterior.theta_mean[:, contrast]) > CLEAR_Z * posterior.theta_sd[:, contrast]
    rows = []
    for one, other in combinations(range(screen.R), 2):
        seen = np.minimum(cells[one], cells[other]) >= FEWEST_CELLS
        pair = [np.stack([of[one], of[other]]) for of in (estimates, variances)]
        for number, label in enumerate([*screen.day_labels, ALL_DAYS]):
            on = np.arange(screen.D) == number
            chosen = seen & (on | (number == screen.D))
            found = compare(pair[0][:, chosen], pair[1][:, chosen], clear[chosen])
            head = {"replicate_1": screen.rep_labels[one], "replicate_2": screen.rep_labels[other]}
            rows.append({**head, names.DAY: label, **found})
    table = pd.DataFrame(rows)
    overall = table[table[names.DAY] == ALL_DAYS]
    figures = overall.drop(columns=["replicate_1", "replicate_2", names.DAY]).mean()
    report: dict[str, Any] = {"replicates": screen.R, "pairs": len(overall)}
    for name, value in figures.items():
        report[str(name)] = None if np.isnan(value) else float(value)
    return table, report


def compare(effects: Array, variance: Array, clear: NDArray[np.bool_]) -> dict[str, float]:
    """Compare two replicates' effects of the same genes and days, estimates and variances (2, n).

    ``correlation`` is weighted by one over the variance of the difference, ``correlation_ranks`` is
    Spearman's, ``correlation_of_effects`` is the correlation less what errors take away from it, where
    the effects vary by more than their errors. ``sign_agreement`` is over all, ``sign_agreement_clear``
    over the ``n_clear`` effects of which the whole screen is sure (`clear`, (n,)). ``difference_ratio``
    is the mean square of the difference over its variance by the model, 1 where replicates differ by the
    labels' scatter alone. NaN where there is too little to tell.
    """
    n = effects.shape[1]
    figures = {
        "n": float(n),
        **dict.fromkeys(("correlation", "correlation_ranks", "correlation_of_effects"), np.nan),
        **dict.fromkeys(("sign_agreement", "n_clear", "sign_agreement_clear", "difference_ratio"), np.nan),
    }
    if n < FEWEST_GENES:
        return figures
    same = np.sign(effects[0]) == np.sign(effects[1])
    weight = 1 / variance.sum(axis=0)
    off = effects - np.average(effects, axis=1, weights=weight)[:, None]
    moments = (weight * off) @ off.T / weight.sum()
    errors = np.average(variance, axis=1, weights=weight)
    within = np.diagonal(moments)
    signal = within - errors
    figures |= {
        "correlation": float(moments[0, 1] / np.sqrt(within.prod())),
        "correlation_ranks": float(spearmanr(effects[0], effects[1]).statistic),
        "sign_agreement": float(same.mean()),
        "n_clear": float(clear.sum()),
        "difference_ratio": float(((effects[0] - effects[1]) ** 2 * weight).mean()),
    }
    if (signal > errors / np.sqrt(n)).all():
        figures["correlation_of_effects"] = float(moments[0, 1] / np.sqrt(signal.prod()))
    if clear.any():
        figures["sign_agreement_clear"] = float(same[clear].mean())
    return figures


def summary_line(report: dict[str, Any]) -> str:
    """Return the summary in a line, for the terminal."""
    clear = report["sign_agreement_clear"]
    if report["correlation"] is None:
        return "replicates fitted apart share too few genes for a comparison"
    return (
        f"replicates fitted apart: correlation {report['correlation']:.2f}, same sign in "
        f"{report['sign_agreement']:.0%} of genes and days"
        + (f", in {clear:.0%} of the {report['n_clear']:.0f} clear ones" if clear is not None else "")
        + f"; they differ {report['difference_ratio']:.2f} times as much as the model says (in variance)"
    )


def _cells(screen: Screen) -> NDArray[np.int64]:
    """Return the number of cells of each gene and day, (L, D)."""
    cell, slot = np.nonzero(screen.guide_ids)
    gene = screen.gene_of_guide[screen.guide_ids[cell, slot]].astype(np.int64) - 1
    pairs = np.unique(np.stack([cell, gene]), axis=1)
    count = np.bincount(pairs[1] * screen.D + screen.day[pairs[0]], minlength=screen.L * screen.D)
    return count.reshape(screen.L, screen.D)
