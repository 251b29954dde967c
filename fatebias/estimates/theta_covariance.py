"""The covariance of free gene effects: each gene's own, and what the genes have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from fatebias.estimates.sandwich import Sandwich
from fatebias.inference.curvature import ByGene
from fatebias.inference.laplace import LaplaceFit
from fatebias.model.design_matrix import DesignMatrix

Array = NDArray[np.float64]


@dataclass(frozen=True)
class ThetaCovariance:
    """Covariance of the effects of L genes, E = F* x D each."""

    blocks: Array  # (L, E, E) of each gene
    times: Callable[[Array], Array]  # the whole covariance times vectors, (L x E, n)

    @classmethod
    def of_matrix(cls, covariance: Array, n_genes: int) -> ThetaCovariance:
        """Take it from the whole matrix, (L x E, L x E)."""
        places = np.arange(len(covariance)).reshape(n_genes, -1)
        blocks = covariance[places[:, :, None], places[:, None, :]]
        return cls(blocks, lambda vectors: covariance @ vectors)


def theta_covariance(design: DesignMatrix, fit: LaplaceFit) -> ThetaCovariance:
    """Return that of a fit, the inverse of its precision H."""
    places = design.theta_index.ravel()
    covariance = torch.cholesky_inverse(fit.factor).cpu().numpy()[np.ix_(places, places)]
    return ThetaCovariance.of_matrix(covariance, design.rows.n_genes)


def rough_theta_covariance(
    design: DesignMatrix, curvature: ByGene, weight: float, cells: Sandwich | None
) -> ThetaCovariance:
    """Return the same without a dense matrix; each gene's own covariance leaves out what links it to others.

    With ``cells`` the labels' part is as pairs of fates scatter on each day (`Sandwich.by_fate`).
    """
    places = design.theta_index.ravel()
    width = design.theta_index[0].size

    def spread(vectors: Array) -> Array:
        flat = np.zeros((design.size, vectors.shape[1]))
        flat[places] = vectors
        return flat

    if cells is None:
        own = (curvature.approximation.covariances()[0])[:, :width, :width].cpu().numpy()
        return ThetaCovariance(own, lambda vectors: curvature.solve_all(spread(vectors))[places])
    day = design.rows.day
    relative = np.moveaxis(cells.relative_scatter(cells.design.rows.day)[day], 0, -1)  # (F*, F*, M)
    likelihood = design.regression(weight)
    bend = relative * likelihood.bend(curvature.pi)
    blocks, border, shared = curvature.places.put(*curvature.information.at(bend))
    prior, fixed = curvature.places.of_prior(curvature.prior)
    both = curvature.approximation.sandwich(blocks + prior, border, shared + fixed)

    def times(vectors: Array) -> Array:
        pulled = curvature.solve_all(spread(vectors))
        meat = likelihood.squares_times(bend, pulled) + curvature.prior @ pulled
        return curvature.solve_all(meat)[places]

    return ThetaCovariance(both[:, :width, :width].cpu().numpy(), times)
