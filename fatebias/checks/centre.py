"""The full fit that refits start from: its mode, its curvature, and what its design is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fatebias.config import Config
from fatebias.data.screen import Screen
from fatebias.estimates.sandwich import broad_scales
from fatebias.inference.curvature import Curvature
from fatebias.inference.laplace import InitialValues, fit_laplace
from fatebias.inference.posterior import Posterior, flat_means
from fatebias.model.design_matrix import DesignMatrix, design_of

Array = NDArray[np.float64]

# Refits solve for many vectors again and again: up to so many effects one factor is the quicker way.
MOST_DENSE = 12_000


@dataclass(frozen=True)
class Centre:
    """The mode of the whole screen under given scales, and the Hessian there."""

    design: DesignMatrix
    row_of_cell: NDArray[np.int64]  # (N,)
    p: Array  # (N, F) fate probabilities times the cells' own weights
    precision: Any  # (size, size) sparse, Q: that of the normal prior given the scales
    weight: float  # likelihood weight
    mean: Array  # (size,) the mode
    curvature: Curvature  # the Hessian H there

    @cached_property
    def factor(self) -> torch.Tensor:
        """Lower Cholesky factor of H, (size, size)."""
        return self.curvature.factor.cpu()

    def solve(self, right: Array) -> Array:
        """Return ``H^-1`` times the right-hand sides, (size, n)."""
        if len(self.mean) > MOST_DENSE:
            return self.curvature.solve_all(right)
        return torch.cholesky_solve(torch.from_numpy(np.ascontiguousarray(right)), self.factor).numpy()

    def covariances(self, index: NDArray[np.integer]) -> tuple[Array, Array]:
        """Return blocks of ``H^-1`` and of ``H^-1 Q H^-1``, the prior's part of it, for places (L, D).

        Both are (L, D, D). The second is the part of the spread that the labels do not explain.
        """
        places = index.ravel()
        unit = np.zeros((len(self.mean), len(places)))
        unit[places, np.arange(len(places))] = 1
        columns = self.solve(unit)
        by_gene = columns.T.reshape(*index.shape, -1)  # (L, D, size)
        held = (self.precision @ columns).T.reshape(*index.shape, -1)
        whole = np.take_along_axis(by_gene, np.repeat(index[:, None, :], index.shape[1], axis=1), axis=2)
        return whole, np.einsum("lap,lbp->lab", held, by_gene)


def find_centre(
    screen: Screen, cfg: Config, weight: float, scale_precision: Array, begin: Array | None = None
) -> Centre:
    """Return the mode under scales held at ``1 / s^2`` (F*, D + 1), from `begin` (size,) or from zero."""
    design = design_of(screen, cfg.model)
    start = InitialValues(scale_precision, np.ones_like(scale_precision, dtype=bool), begin)
    fit = fit_laplace(design, cfg.priors, likelihood_weight=weight, max_rounds=8, start=start)
    return Centre(
        design=design,
        row_of_cell=design.rows.row_of_cell,
        p=screen.p * screen.weight[:, None],
        precision=design.prior_precision(cfg.priors, scale_precision),
        weight=weight,
        mean=fit.mean,
        curvature=fit.curvature,
    )


def centre_of_run(screen: Screen, cfg: Config, weight: float, posterior: Posterior) -> Centre:
    """Return the mode under the scales behind the run's estimates.

    These are the fit's own, or free ones under ``export.estimates=unshrunken``. The posterior may come from
    any method: the mode is sought from its mean.
    """
    design = design_of(screen, cfg.model)
    precision = posterior.scales_mean**-2.0
    if cfg.export.estimates == "unshrunken":
        precision = broad_scales(design, posterior.scales_mean[:, -1]).scale_precision
    return find_centre(screen, cfg, weight, precision, flat_means(posterior, design))
