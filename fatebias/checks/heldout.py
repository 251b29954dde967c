"""The score on cells left out of the fit: what the model says of new cells, and whether days matter."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import logsumexp

from fatebias.config import Config
from fatebias.data.screen import Screen
from fatebias.data.synthetic import subset
from fatebias.errors import DataError
from fatebias.inference.laplace import InitialValues, fit_laplace
from fatebias.model.design_matrix import cell_design_of, design_of
from fatebias.model.softmax import log_total

log = logging.getLogger(__name__)

Array = NDArray[np.float64]

DRAWS = 100
START = 0.3
# A scale that leaves nothing of what it scales.
NOTHING = 1e-3


def heldout_score(screen: Screen, cfg: Config) -> dict[str, Any]:
    """Cross-validate the model against two simpler ones.

    Whole clusters (or a replicate) are left out at a time, since cells share noise with their neighbours and
    a random split would leak it. The score of a cell is the log of the mean over posterior draws of
    ``prod_f pi_f^p_f``; the fits are by ``inference=laplace``.

    Parameters
    ----------
    screen
        The screen.
    cfg
        ``calibration.heldout`` (clusters or replicate) and ``heldout_folds``, the likelihood weight a number.

    Returns
    -------
    dict
        ``score`` (nats a cell, higher is better), ``against_nuisance`` (the gain over alpha, b, gamma alone),
        ``against_no_time`` (the gain over theta constant over days), each with its standard error over what
        was left out together; plain content that JSON can hold.

    Raises
    ------
    DataError
        When there is but one group to leave out.
    FitError
        When a fit fails.
    """
    by_replicate = cfg.calibration.heldout == "replicate"
    group = screen.rep if by_replicate else screen.cluster
    n_groups = int(group.max()) + 1
    if n_groups < 2:
        raise DataError(
            "nothing can be left out",
            where=f"calibration.heldout={cfg.calibration.heldout}",
            found=f"{n_groups} group of cells",
            allowed="two or more",
            fix="calibration.heldout=clusters or replicate, data.cluster_key=COLUMN, or none",
        )
    n_folds = (
        n_groups if cfg.calibration.heldout == "replicate" else min(cfg.calibration.heldout_folds, n_groups)
    )
    fold = np.random.default_rng([0x4E1D, cfg.seed]).permutation(np.arange(n_groups) % n_folds)[group]
    scores = {name: np.empty(screen.N) for name in ("full", "no_time", "nuisance")}
    for number in range(n_folds):
        left_out = fold == number
        for name, of_cells in scores.items():
            of_cells[left_out] = _score(subset(screen, ~left_out), subset(screen, left_out), cfg, name)
    weight = screen.weight
    full = scores["full"]
    report: dict[str, Any] = {
        "score": float(np.average(full, weights=weight)),
        "score_se": _clustered_se(full, weight, group),
        "left_out": cfg.calibration.heldout,
        "groups": n_groups,
        "folds": n_folds,
    }
    for name in ("nuisance", "no_time"):
        gain = full - scores[name]
        report[f"against_{name}"] = float(np.average(gain, weights=weight))
        report[f"against_{name}_se"] = _clustered_se(gain, weight, group)
    return report


def words(report: dict[str, Any]) -> str:
    """Say it in a line for the terminal."""
    return (
        f"held-out score {report['score']:.5f} nats a cell; "
        f"{report['against_nuisance']:+.5f} ({report['against_nuisance_se']:.5f}) over nuisance alone, "
        f"{report['against_no_time']:+.5f} ({report['against_no_time_se']:.5f}) over effects constant in time"
    )


def _score(train: Screen, test: Screen, cfg: Config, model: str) -> Array:
    """Score each cell of `test` under a fit to `train`, (N_test,)."""
    design = design_of(train, cfg.model)
    held = np.zeros((design.rows.n_effects, design.rows.n_days + 1), dtype=bool)
    if model == "no_time":
        held[:, 1:-1] = True
    elif model == "nuisance":
        held[:] = True
    start = InitialValues(np.where(held, NOTHING**-2.0, START**-2.0), held)
    fit = fit_laplace(
        design,
        cfg.priors,
        likelihood_weight=cfg.likelihood_weight,
        max_rounds=cfg.inference.max_rounds,
        start=start,
    )
    noise = torch.randn(
        len(fit.mean), DRAWS, generator=torch.Generator().manual_seed(cfg.seed), dtype=torch.float64
    )
    spread = torch.linalg.solve_triangular(fit.factor.cpu().T, noise, upper=True).numpy()
    cells = cell_design_of(test, cfg.model)
    draws = (fit.mean[:, None] + spread).reshape(cells.rows.n_effects, cells.per_fate, DRAWS)
    logits = np.stack([cells.matrix @ each for each in draws], axis=1)  # (N, F*, S)
    log_lik = np.einsum("nf,nfs->ns", test.p[:, 1:], logits) - log_total(logits, axis=1)
    return np.asarray(logsumexp(log_lik, axis=1) - np.log(DRAWS))


def _clustered_se(value: Array, weight: Array, group: NDArray[np.integer]) -> float:
    """Give the standard error of a weighted mean whose terms go together within groups."""
    centred = weight * (value - np.average(value, weights=weight))
    total = np.bincount(group, centred)
    n = len(total)
    return float(np.sqrt((total**2).sum() * n / max(n - 1, 1)) / weight.sum())
