"""The score on cells left out of the fit: how well the model predicts new cells, and whether days matter."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fatebias.checks.base import Check, Report
from fatebias.config import Config
from fatebias.errors import DataError
from fatebias.files.atomic import atomic_json
from fatebias.files.paths import RunPaths

if TYPE_CHECKING:
    from fatebias.data.screen import Screen

Array = NDArray[np.float64]

DRAWS = 100
START = 0.3
# A scale so small that nothing is left of what it scales.
NOTHING = 1e-3


class Heldout(Check):
    """Scores cells left out of the fit, against two simpler models."""

    name = "heldout"
    follows = ("fit",)

    def wanted(self, config: Config) -> bool:
        """Return whether the settings name what to leave out."""
        return config.calibration.heldout != "none"

    def require(self, screen: Screen, config: Config) -> None:
        """Raise a DataError where there is but one group to leave out."""
        kind = config.calibration.heldout
        n_groups = int(_groups(screen, kind).max()) + 1
        if n_groups < 2:
            raise DataError(
                "nothing can be left out",
                where=f"calibration.heldout={kind}",
                found=f"{n_groups} group of cells",
                allowed="two or more",
                fix="calibration.heldout=clusters or replicate, data.cluster_key=COLUMN, or none",
            )

    def deciding(self, config: Config, screen: Screen, paths: RunPaths) -> object:
        """Return what is left out at a time."""
        return [config.calibration.heldout, config.calibration.heldout_folds]

    def outputs(self, config: Config, paths: RunPaths) -> list[Path]:
        """Return the file of the score."""
        return [paths.heldout]

    def run(self, screen: Screen, config: Config, weight: float, paths: RunPaths) -> Report:
        """Return the score and the gains over simpler models."""
        report = heldout_score(screen, config, weight)
        atomic_json(paths.heldout, report)
        return report

    def summary_line(self, report: Mapping[str, Any]) -> str:
        """Return the score and the gains."""
        return (
            f"held-out score {report['score']:.5f} nats a cell; "
            f"{report['against_nuisance']:+.5f} ({report['against_nuisance_se']:.5f}) over nuisance alone, "
            f"{report['against_no_time']:+.5f} ({report['against_no_time_se']:.5f}) over effects constant "
            "in time"
        )


def heldout_score(screen: Screen, cfg: Config, weight: float) -> Report:
    """Return the cross-validated score (nats a cell, higher is better) and its gains, with standard errors.

    Whole clusters (or a replicate) are left out at a time, since cells share noise with their neighbours and
    a random split would leak it. The score of a cell is the log of the mean over posterior draws of
    ``prod_f pi_f^p_f``; the fits are by ``inference=laplace``. ``against_nuisance`` is the gain over alpha, b
    and gamma alone, ``against_no_time`` that over theta constant in time; standard errors are over what was
    left out together.
    """
    from fatebias.data.synthetic import subset

    by_replicate = cfg.calibration.heldout == "replicate"
    group = _groups(screen, cfg.calibration.heldout)
    n_groups = int(group.max()) + 1
    n_folds = n_groups if by_replicate else min(cfg.calibration.heldout_folds, n_groups)
    fold = np.random.default_rng([0x4E1D, cfg.seed]).permutation(np.arange(n_groups) % n_folds)[group]
    scores = {name: np.empty(screen.N) for name in ("full", "no_time", "nuisance")}
    for number in range(n_folds):
        left_out = fold == number
        train, test = subset(screen, ~left_out), subset(screen, left_out)
        for name, of_cells in scores.items():
            of_cells[left_out] = _score(train, test, cfg, weight, name)
    of_cell = screen.weight
    full = scores["full"]
    report: Report = {
        "score": float(np.average(full, weights=of_cell)),
        "score_se": _clustered_se(full, of_cell, group),
        "left_out": cfg.calibration.heldout,
        "groups": n_groups,
        "folds": n_folds,
    }
    for name in ("nuisance", "no_time"):
        gain = full - scores[name]
        report[f"against_{name}"] = float(np.average(gain, weights=of_cell))
        report[f"against_{name}_se"] = _clustered_se(gain, of_cell, group)
    return report


def _groups(screen: Screen, kind: str) -> NDArray[np.integer]:
    return screen.rep if kind == "replicate" else screen.cluster


def _score(train: Screen, test: Screen, cfg: Config, weight: float, model: str) -> Array:
    """Return the score of each cell of `test` under a fit to `train`, (N_test,)."""
    import torch
    from scipy.special import logsumexp

    from fatebias.inference.laplace import InitialValues, fit_laplace
    from fatebias.model.design_matrix import cell_design_of, design_of
    from fatebias.model.softmax import log_total

    design = design_of(train, cfg.model)
    held = np.zeros((design.rows.n_effects, design.rows.n_days + 1), dtype=bool)
    if model == "no_time":
        held[:, 1:-1] = True  # the steps of the walk; the first day's scale and that of guides stay free
    elif model == "nuisance":
        held[:] = True
    start = InitialValues(np.where(held, NOTHING**-2.0, START**-2.0), held)
    fit = fit_laplace(
        design,
        cfg.priors,
        likelihood_weight=weight,
        max_rounds=cfg.inference.max_rounds,
        start=start,
    )
    noise = torch.randn(
        len(fit.mean), DRAWS, generator=torch.Generator().manual_seed(cfg.seed), dtype=torch.float64
    )
    spread = fit.curvature.noise.colour(noise).numpy()
    cells = cell_design_of(test, cfg.model)
    draws = (fit.mean[:, None] + spread).reshape(cells.rows.n_effects, cells.per_fate, DRAWS)
    logits = np.stack([cells.matrix @ each for each in draws], axis=1)  # (N, F*, S)
    log_lik = np.einsum("nf,nfs->ns", test.p[:, 1:], logits) - log_total(logits, axis=1)
    return np.asarray(logsumexp(log_lik, axis=1) - np.log(DRAWS))


def _clustered_se(value: Array, weight: Array, group: NDArray[np.integer]) -> float:
    """Return the standard error of a weighted mean whose terms depend on each other within groups."""
    centred = weight * (value - np.average(value, weights=weight))
    total = np.bincount(group, centred)
    n = len(total)
    return float(np.sqrt((total**2).sum() * n / max(n - 1, 1)) / weight.sum())
