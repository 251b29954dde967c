"""Effects under many scales from one curvature: a point differs in the prior of each gene's block alone."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fatebias.config import PriorsConfig
from fatebias.inference.bordered import Times, conjugate_gradients, coupling
from fatebias.inference.by_gene import ByGene
from fatebias.inference.laplace import LaplaceFit
from fatebias.inference.scale_proposal import Proposal, Scale, propose
from fatebias.inference.scale_quadratic import Quadratic
from fatebias.model.design_matrix import DesignMatrix

Array = NDArray[np.float64]

MOVE_TOLERANCE = 1e-3  # of a move from mode to mode, in posterior SDs


class QuadraticByGene(Quadratic):
    """The curvature of the Laplace solution for all points.

    A point's mode is found by conjugate gradients with the exact precision. Its log-determinant is that of
    independent blocks and, for what links them, the second term of the series of log det(I + F). Its draws
    are white noise with what genes have in common at the Laplace solution, coloured by the blocks at the
    point.
    """

    def __init__(
        self,
        design: DesignMatrix,
        laplace: LaplaceFit,
        curvature: ByGene,
        priors: PriorsConfig,
        weight: float,
        rough: bool,
    ) -> None:
        super().__init__(design, laplace, priors, weight)
        self.curvature, self.rough = curvature, rough
        self.places, self.start = curvature.places, curvature.approximation
        self.bytes_a_point = 8.0 * 3 * self.places.gene.shape[1] * self.places.gene.numel()
        self.mean, _ = self.places.split(self._put(laplace.mean)[:, None])

    def _put(self, values: Array) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(self.places.taken)

    def log_evidence(self, log_scale: Array) -> Array:
        """Return that of scales (J, F*, D + 1), (J,), up to a constant."""
        self.curvature.gather()
        more = self._more(log_scale)
        self.at = self.start.plus(more)
        times = self._times(more)
        prior = [self.design.prior_precision(self.priors, np.exp(-2 * each)) for each in log_scale]
        pull = np.stack([each @ self.laplace.mean for each in prior], axis=1)
        slope = self._put(self.gradient[:, None] - pull)
        parts = self.places.by_point(slope)
        self.moves = self.places.together(*conjugate_gradients(times, self.at, parts, MOVE_TOLERANCE))
        height = 0.5 * (slope * self.moves).sum(dim=0) - 0.5 * self._put(self.laplace.mean) @ self._put(pull)
        linked = coupling(self.at, times, self.places)
        found = (height - self.at.log_volume + linked * self.design.size / 4).cpu().numpy()
        return np.asarray(found + [self.prior_density(each) for each in log_scale])

    def draw(self, j: int, n_draws: int, generator: torch.Generator) -> Array:
        """Return effects less the Laplace mode under the j-th of these scales, (S, size)."""
        kind: dict[str, Any] = {"dtype": self.mean.dtype, "device": self.mean.device}
        normal = torch.randn(self.design.size, n_draws, generator=generator, **kind)
        white = self.places.of_one(normal) if self.rough else self.curvature.noise.bend(normal)
        noise = self.places.from_one(*self.at.only(j).colour(*white))
        return (self.moves[:, j, None] + noise).T.cpu().numpy()

    def proposal(self) -> Proposal:
        """Return the proposal of the scales, in the order of ``scale_precision`` laid flat."""
        profiles = []
        alone = self.design.block_squares(self.covariance.sum(dim=0).cpu().numpy())
        linked = self.curvature.scale_squares() / alone  # what links genes adds little to each
        for scale in self.scales:
            share, vectors = torch.linalg.eigh(self._covariance(scale, scale))
            share = share * linked[scale.fate, scale.number]
            along = (vectors.mT @ (self._basis(scale).T @ self.mean)) ** 2
            profiles.append(scale.profile(share.flatten().cpu().numpy(), along.flatten().cpu().numpy()))
        return propose(self.scales, profiles, self._mixed)

    @cached_property
    def covariance(self) -> Tensor:
        """Blocks of C, (L, w, w), zero where a gene has fewer guides."""
        return self.start.covariances()[0] * self.places.both

    def _basis(self, scale: Scale) -> Tensor:
        """Return B of a gene's block, (w, n)."""
        theta, deltas = self.design.in_block(scale.fate)
        eye = torch.eye(self.places.gene.shape[1], dtype=self.mean.dtype, device=self.mean.device)
        if scale.number == len(theta):
            return eye[:, deltas]
        basis = eye[:, theta[scale.number, None]]
        return basis - eye[:, theta[scale.number - 1, None]] if scale.number else basis

    def _covariance(self, one: Scale, other: Scale) -> Tensor:
        """B_one' C B_other of each gene, (L, n, n')."""
        return self._basis(one).T @ self.covariance @ self._basis(other)

    def _mixed(self, j: int, k: int) -> float:
        """Return the evidence's mixed derivative in two precisions."""
        one, other = self.scales[j], self.scales[k]
        between = self._covariance(one, other)
        ends = (self._basis(each).T @ self.mean for each in (one, other))
        left, right = ends
        return float(0.5 * (between**2).sum() + (left.mT @ between @ right).sum())

    def _more(self, log_scale: Array) -> Tensor:
        """Return the precision that scales add to that of the Laplace solution by gene, (J, L, w, w)."""
        here = self.design.block_prior(self.laplace.scale_precision)
        there = np.stack([self.design.block_prior(np.exp(-2 * each)) for each in log_scale])
        return self._put(there - here)[:, None] * self.places.both

    def _times(self, more: Tensor) -> Times:
        """Return what multiplies vectors, (J, L, w, n) and (J, q, n), by the precisions at J points."""

        def times(gene: Tensor, shared: Tensor) -> tuple[Tensor, Tensor]:
            own, common = self.curvature.times(gene, shared)
            return own + more @ gene, common

        return times
