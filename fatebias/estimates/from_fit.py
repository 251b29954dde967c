"""What mash is given: an estimate, a standard error and an error covariance for each gene and day."""

from __future__ import annotations

import numpy as np
import torch

from fatebias.config import Config, weight_asked
from fatebias.data.screen import Screen
from fatebias.estimates.estimates import ContrastEstimates, GeneEstimates
from fatebias.estimates.inactive_guides import fit_inactive_guides
from fatebias.estimates.sandwich import FEWEST_CLUSTERS, fit_broad, linearise
from fatebias.inference.posterior import Posterior, flat_means
from fatebias.model.design_matrix import design_of


def contrast_estimates(
    screen: Screen, cfg: Config, posterior: Posterior, weight: float | None = None
) -> ContrastEstimates:
    """Return `gene_estimates` of the screen's own contrast."""
    own = np.eye(screen.n_fates_star)[screen.contrast_index]
    return gene_estimates(screen, cfg, posterior, weight).contrast(own)


def gene_estimates(
    screen: Screen, cfg: Config, posterior: Posterior, weight: float | None = None
) -> GeneEstimates:
    """Return the estimates and errors that ``export=`` asks for.

    ``estimates=posterior`` takes posterior means. ``unshrunken`` fits theta once more with scales of the walk
    so broad that they do not shrink, guides around their gene as in the fit. ``se=sandwich`` replaces the
    labels' part of the covariance by the scatter of the cells' scores, summed within clusters.
    ``inactive_guides`` lets guides of the unshrunken fit have no effect at all (`inactive_guides`).
    ``weight`` is that of the fit, by default the number in ``cfg``. Raises FitError when the
    unshrunken fit fails.
    """
    if cfg.export.estimates == "posterior" and cfg.export.se == "posterior":
        return GeneEstimates(posterior.theta_mean, posterior.theta_joint, posterior.theta_flip)
    weight = weight_asked(cfg) if weight is None else weight
    design = design_of(screen, cfg.model)
    index = design.theta_index  # (L, F*, D)
    together = index.reshape(len(index), -1)
    shape = (*index.shape, *index.shape[1:])
    flat = flat_means(posterior, design)
    precision = posterior.scales_mean**-2.0
    if cfg.export.estimates == "posterior":
        mean = posterior.theta_mean
    else:
        guides = posterior.scales_mean[:, -1]
        fit = fit_broad(design, cfg.priors, weight, guides, mean=flat)
        flat, precision, mean = fit.mean, fit.scale_precision, fit.mean[index]
        if cfg.export.se == "posterior":
            inverse = torch.cholesky_inverse(fit.factor).cpu().numpy()
            covariance = inverse[together[:, :, None], together[:, None, :]].reshape(shape)
            if cfg.export.inactive_guides:
                found = fit_inactive_guides(design, flat, covariance, weight, guides)
                return GeneEstimates(found.mean, found.covariance, notes=found.notes, guides=found.guides)
            return GeneEstimates(mean, covariance)
    cells = linearise(screen, cfg, flat, precision, weight)
    note: tuple[str, ...] = ()
    if not cells.clustered:
        note = (
            f"robust errors take each cell by itself: {cells.n_clusters} clusters ({screen.cluster_source}) "
            f"are fewer than {FEWEST_CLUSTERS}",
        )
    return GeneEstimates(mean, cells.robust(together).reshape(shape), notes=note)
