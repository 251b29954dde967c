"""How far each cell is committed as labels of a model with two fates, and how far bias alone moves that."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import digamma, logit

from fatebias.config import Config
from fatebias.data.screen import Screen
from fatebias.data.synthetic import sharpness
from fatebias.errors import DataError
from fatebias.estimates.day_weights import weigh_days
from fatebias.estimates.likelihood_weight import WeightReport, estimate_weight
from fatebias.inference.fit import fit_screen
from fatebias.inference.posterior import Posterior, flat_means, posterior_moments
from fatebias.model.design_matrix import design_of
from fatebias.model.softmax import probabilities

Array = NDArray[np.float64]

UNCOMMITTED, COMMITTED = "uncommitted", "committed"
# Commitment that varies less than this between cells cannot be told from rounding.
LEAST_SPREAD = 1e-6
# No day counts for more than this many times what the mean over days says.
MOST_FOR_A_DAY = 20.0
# Labels that scatter like single draws of a fate or more; a predicted commitment is never quite 0 or 1.
LEAST_CONCENTRATION, LEAST_EXPECTED = 1e-3, 1e-4


def commitment_screen(screen: Screen, measure: str) -> Screen:
    """Return the screen whose labels say how far each cell is committed; all else stays as it was.

    `measure` is ``entropy``, ``1 - H(p) / log F``, 1 for a cell whose fate is settled, or ``column``, the
    column that ``data.commitment_key`` names. The reference fate is ``uncommitted``, the contrast
    ``committed``. Raises a DataError when all cells are committed alike.
    """
    c = sharpness(screen.p) if measure == "entropy" else screen.commitment
    assert c is not None
    c = np.clip(c, 0.0, 1.0)
    if np.ptp(c) < LEAST_SPREAD:
        raise DataError(
            "all cells are committed alike",
            where=f"calibration.commitment={measure}",
            found=f"commitment {c[0]:.3g} in every cell",
            allowed="cells that differ; one-hot probabilities are all fully committed",
            fix="calibration.commitment=none, or column with data.commitment_key=COLUMN",
        )
    return dataclasses.replace(
        screen, p=np.stack([1 - c, c], axis=1), fates=(UNCOMMITTED, COMMITTED), contrast=COMMITTED
    )


def by_bias_alone(screen: Screen, cfg: Config, weight: float, measure: str) -> Array:
    """Predict how far guides move commitment merely by moving their cells between fates.

    A gene that pushes cells towards one fate makes their probabilities sharper or flatter by that alone. So
    the model is fitted, and commitment predicted for each cell with its guides and without: for labels that
    scatter like Dirichlet(k pi) with k from the day's dispersion,

        E[H(p)] = psi(k + 1) - sum_f pi_f psi(k pi_f + 1).

    Return that in logits of commitment, (N,), zero in cells without a targeting guide. ``weight`` is the
    one that the data suggest: at a smaller one effects would be shrunk and part of the bias left. A
    ``column`` is predicted from sharpness and p by its regression on both, day by day, which is exact for
    both of CellRank's priming degrees.
    """
    laplace = dataclasses.replace(cfg.inference, method="laplace")
    fit = fit_screen(screen, dataclasses.replace(cfg, inference=laplace), weight, judge=False)
    posterior = posterior_moments(fit.draw, cfg.inference.num_posterior_draws, screen.guide_gene, flips=False)
    design = design_of(screen, cfg.model)
    flat = flat_means(posterior, design)
    without = np.zeros_like(flat)
    without[design.shared_index] = flat[design.shared_index]
    day = design.rows.day
    _, scatter = weight_from_cells(screen, cfg)
    concentration = np.maximum(1 / np.maximum(scatter, 1e-9) - 1, LEAST_CONCENTRATION)[day]
    slopes = regressed(screen) if measure == "column" else None
    expected = []
    for each in (flat, without):
        logits = design.logits(each)
        others = probabilities(logits)
        pi = np.column_stack([1 - others.sum(axis=1), others])
        c = expected_sharpness(pi, concentration)
        if slopes is not None:
            c = (np.column_stack([np.ones(len(c)), c, pi[:, 1:]]) * slopes[day]).sum(axis=1)
        expected.append(logit(np.clip(c, LEAST_EXPECTED, 1 - LEAST_EXPECTED)))
    return np.asarray((expected[0] - expected[1])[design.rows.row_of_cell])


def expected_sharpness(pi: Array, concentration: Array) -> Array:
    """Return the mean of ``1 - H(p) / log F`` over p from Dirichlet(k pi), (n,), for pi (n, F) and k (n,)."""
    entropy = digamma(concentration + 1) - (pi * digamma(concentration[:, None] * pi + 1)).sum(axis=1)
    return np.asarray(1 - entropy / np.log(pi.shape[1]))


def regressed(screen: Screen) -> Array:
    """Return the slopes of the column of commitment on 1, sharpness and p, day by day, (D, 1 + F)."""
    assert screen.commitment is not None
    design = np.column_stack([np.ones(screen.N), sharpness(screen.p), screen.p[:, 1:]])
    slopes = np.empty((screen.D, design.shape[1]))
    for day in range(screen.D):
        here = screen.day == day
        root = np.sqrt(screen.weight[here])
        target = screen.commitment[here] * root
        slopes[day] = np.linalg.lstsq(design[here] * root[:, None], target, rcond=None)[0]
    return slopes


def weighted(screen: Screen, cfg: Config) -> tuple[Screen, float]:
    """Return a screen of `commitment_screen`, cells weighted as they scatter, and a likelihood weight.

    Commitment is no draw of anything: the likelihood is a quasi-likelihood, whose weight on each day is
    one over that day's Pearson dispersion (Papke and Wooldridge 1996), less where clusters share noise.
    Day factors of mean 1 go into the cells' weights, their level into the likelihood weight.
    """
    found, by_day = weight_from_cells(screen, cfg)
    whole = found.estimates["dispersion"].parts["dispersion"]
    of_day = found.weight * whole / np.maximum(by_day, whole / MOST_FOR_A_DAY)
    return weigh_days(screen, of_day)


def weight_from_cells(screen: Screen, cfg: Config) -> tuple[WeightReport, Array]:
    """Return the weight that cells themselves suggest, and the dispersion by day, (D,)."""
    found = estimate_weight(screen, cfg, by_cells=True)
    by_day = found.estimates["dispersion"].parts["dispersion_by_day"]
    return found, np.array([by_day[label] for label in screen.day_labels])


@dataclass(frozen=True)
class CommitmentFit:
    """Effects on commitment, with the screen and the settings that they were fitted under."""

    screen: Screen
    cfg: Config
    weight: float  # likelihood weight
    posterior: Posterior
    warnings: tuple[str, ...]


def fit_commitment(own: Screen, cfg: Config) -> CommitmentFit:
    """Return the fit of a screen of `commitment_screen`, its cells weighted as they scatter."""
    own, weight = weighted(own, cfg)
    # The bias that was taken out is that of guides that all work.
    export = dataclasses.replace(cfg.export, inactive_guides=False)
    laplace = dataclasses.replace(cfg.inference, method="laplace")
    cfg = dataclasses.replace(cfg, inference=laplace, export=export)
    fit = fit_screen(own, cfg, weight)
    posterior = posterior_moments(fit.draw, cfg.inference.num_posterior_draws, own.guide_gene, flips=False)
    return CommitmentFit(own, cfg, weight, posterior, fit.warnings)
