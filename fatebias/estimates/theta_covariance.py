"""The covariance of free gene effects: each gene's own, and what the genes have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from fatebias.estimates.sandwich import Sandwich
from fatebias.inference.by_gene import ByGene
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


def theta_covariance(
    design: DesignMatrix, fit: LaplaceFit, cells: Sandwich | None, *, rough: bool = False
) -> ThetaCovariance:
    """Return that of a fit; with ``cells`` the labels' part is as pairs of fates scatter on each day.

    See `Sandwich.by_fate`. ``rough`` leaves out of many genes' own covariances what links them to others:
    a percent or two.
    """
    if isinstance(fit.curvature, ByGene):
        return _of_many_genes(design, fit.curvature, cells, rough)
    places = design.theta_index.ravel()
    if cells is None:
        covariance = torch.cholesky_inverse(fit.factor).cpu().numpy()[np.ix_(places, places)]
    else:
        covariance = cells.by_fate(cells.design.rows.day, places)
    return ThetaCovariance.of_matrix(covariance, design.rows.n_genes)


def _of_many_genes(
    design: DesignMatrix, curvature: ByGene, cells: Sandwich | None, rough: bool
) -> ThetaCovariance:
    places = design.theta_index.ravel()
    width = design.theta_index[0].size

    def spread(vectors: Array) -> Array:
        flat = np.zeros((design.size, vectors.shape[1]))
        flat[places] = vectors
        return flat

    alone = curvature.approximation.covariances()[0]
    own = alone if rough else curvature.noise.covariances()
    if cells is None:
        found = own[:, :width, :width].cpu().numpy()
        return ThetaCovariance(found, lambda vectors: curvature.solve_all(spread(vectors))[places])
    day = design.rows.day
    relative = np.moveaxis(cells.relative_scatter(cells.design.rows.day)[day], 0, -1)  # (F*, F*, M)
    bend = relative * curvature.bend
    blocks, border, shared = curvature.places.put(*design.information.at(bend))
    prior, fixed = curvature.places.of_prior(curvature.prior)
    both = curvature.approximation.sandwich(blocks + prior, border, shared + fixed) + own - alone

    def times(vectors: Array) -> Array:
        pulled = curvature.solve_all(spread(vectors))
        meat = curvature.likelihood.squares_times(bend, pulled) + curvature.prior @ pulled
        return curvature.solve_all(meat)[places]

    return ThetaCovariance(both[:, :width, :width].cpu().numpy(), times)
