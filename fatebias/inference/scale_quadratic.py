"""The likelihood as a quadratic around the Laplace mode, from which every way to integrate scales starts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fatebias.config import PriorsConfig
from fatebias.inference.laplace import LaplaceFit
from fatebias.inference.scale_proposal import scales_of
from fatebias.inference.scales import log_hyperprior
from fatebias.model.design_matrix import DesignMatrix, scale_prior_widths

Array = NDArray[np.float64]


class Quadratic:
    """The likelihood as a quadratic around the Laplace mode."""

    def __init__(
        self, design: DesignMatrix, laplace: LaplaceFit, priors: PriorsConfig, weight: float
    ) -> None:
        self.design, self.laplace, self.priors = design, laplace, priors
        self.widths = scale_prior_widths(priors, design.rows.n_days)
        self.counts = design.scale_counts()
        self.scales = scales_of(design, laplace, priors)
        self.likelihood = design.regression(weight)
        self.pi = self.likelihood.probabilities(self.likelihood.logits(laplace.mean))
        self.gradient = self.likelihood.gradient(self.pi)

    def prior_density(self, log_scale: Array) -> float:
        """Return the log density of effects at zero and of scales (F*, D + 1) themselves."""
        return log_hyperprior(-2 * log_scale, self.widths) - float((log_scale * self.counts).sum())
