"""What mash is given: an estimate, a standard error and an error covariance for each gene and day."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from fatebias.calibration.curvature import FEWEST_CLUSTERS, around, fit_broad, flat_of
from fatebias.config import Config
from fatebias.data.collapse import collapse
from fatebias.data.screen import Screen
from fatebias.model.coefficients import Coefficients
from fatebias.posterior import Posterior

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Export:
    """Daywise effects of one contrast.

    Attributes
    ----------
    betahat
        Estimates in logits, shape (L, D).
    covariance
        Of their errors across days, shape (L, D, D).
    notes
        What the reader must know.
    """

    betahat: Array
    covariance: Array
    notes: tuple[str, ...] = ()

    @property
    def se(self) -> Array:
        """Standard errors, shape (L, D)."""
        return np.sqrt(np.diagonal(self.covariance, axis1=1, axis2=2))


def export(screen: Screen, cfg: Config, posterior: Posterior) -> Export:
    """Make what ``export=`` asks for out of a fit.

    ``estimates=posterior`` takes posterior means. ``unshrunken`` fits theta once more with scales of the
    walk so
    broad that they do not shrink, guides around their gene as in the fit. ``se=sandwich`` replaces the
    labels' part of the covariance by what the cells' scores show, summed within clusters.

    Parameters
    ----------
    screen
        The screen.
    cfg
        With the likelihood weight as a number.
    posterior
        Of the fit.

    Returns
    -------
    Export
        Of the contrast.

    Raises
    ------
    FitError
        When the unshrunken fit fails.
    """
    contrast = screen.contrast_index
    if cfg.export.estimates == "posterior" and cfg.export.se == "posterior":
        return Export(posterior.theta_mean[:, contrast], posterior.theta_cov[:, contrast])
    centred = cfg.model.guide_effects == "centred"
    coefficients = Coefficients(collapse(screen), centred=centred)
    index = coefficients.theta_index[:, contrast]
    flat = flat_of(posterior, coefficients)
    precision = posterior.scales_mean**-2.0
    if cfg.export.estimates == "posterior":
        betahat = posterior.theta_mean[:, contrast]
    else:
        guides = posterior.scales_mean[:, -1]
        fit = fit_broad(coefficients, cfg.priors, cfg.likelihood_weight, guides, mean=flat)
        flat, precision, betahat = fit.mean, fit.scale_precision, fit.mean[index]
        if cfg.export.se == "posterior":
            inverse = torch.cholesky_inverse(fit.factor).cpu().numpy()
            return Export(betahat, inverse[index[:, :, None], index[:, None, :]])
    cells = around(screen, flat, precision, cfg.priors, cfg.likelihood_weight, centred=centred)
    note: tuple[str, ...] = ()
    if not cells.clustered:
        note = (
            f"robust errors take each cell by itself: {cells.n_clusters} clusters ({screen.cluster_source}) "
            f"are fewer than {FEWEST_CLUSTERS}",
        )
    return Export(betahat, cells.robust(index), note)
