"""The run's own fit, from which fits with NTC pseudo-genes begin."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fatebias.config import Config
from fatebias.data.screen import Screen
from fatebias.estimates.estimates import GeneEstimates
from fatebias.estimates.from_fit import gene_estimates, unshrunken_estimates
from fatebias.estimates.tables import read_posterior
from fatebias.inference.fit import fit_screen
from fatebias.inference.laplace import InitialValues
from fatebias.inference.posterior import Posterior, flat_means, posterior_moments
from fatebias.model.design_matrix import design_of, with_more_genes

# Draws of a check's own fits: standard errors are right to 2 %, less than what a few pseudo-genes can show.
ENOUGH_DRAWS = 1_000


@dataclass(frozen=True, eq=False)
class OwnFit:
    """What a check takes of the run's fit."""

    screen: Screen
    config: Config
    weight: float  # likelihood weight
    posterior: Posterior

    @classmethod
    def read(cls, screen: Screen, config: Config, weight: float, path: Path) -> OwnFit:
        """Read the fit of a screen from ``posterior.npz``."""
        return cls(screen, config, weight, read_posterior(path))

    def start(self, split: Screen) -> InitialValues:
        """Return where a fit of a screen with pseudo-genes besides begins: at the run's posterior."""
        return InitialValues(self.posterior.scales_mean**-2.0, mean=self._effects(split))

    def _effects(self, split: Screen) -> NDArray[np.float64]:
        """Return the run's effects in the order of such a screen, pseudo-genes, its last, at zero."""
        own = design_of(self.screen, self.config.model)
        return with_more_genes(design_of(split, self.config.model), own, flat_means(self.posterior, own))

    def with_pseudo_genes(self, split: Screen) -> GeneEstimates:
        """Return what mash is given of all genes of a screen that has pseudo-genes besides.

        The fit is the run's model, weight and priors by ``inference=laplace``, whatever the run's method.
        Unshrunken effects take the run's own SD of guides around their gene.
        """
        config = self.config
        if config.export.estimates == "unshrunken":
            spread = self.posterior.scales_mean[:, -1]
            return unshrunken_estimates(split, config, self._effects(split), spread, self.weight, rough=True)
        n_draws = min(config.inference.num_posterior_draws, ENOUGH_DRAWS)
        inference = dataclasses.replace(config.inference, method="laplace", num_posterior_draws=n_draws)
        by_laplace = dataclasses.replace(config, inference=inference)
        fit = fit_screen(split, by_laplace, self.weight, start=self.start(split), judge=False)
        posterior = posterior_moments(fit.draw, n_draws, split.guide_gene, flips=False)
        return gene_estimates(split, by_laplace, posterior, self.weight)
