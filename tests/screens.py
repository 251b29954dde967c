"""Small screens for tests."""

from __future__ import annotations

import dataclasses

import numpy as np

from fatebias.config import DataConfig, PriorsConfig, SimulateConfig
from fatebias.data.screen import Screen
from fatebias.data.simulation.simulate import simulate_screen

NARROW = PriorsConfig(s_alpha=1.0, s_rep=0.3, s_gamma=0.2, s_tau=0.5, s_time=0.3, s_guide=0.3)


def small_screen(n_cells: int = 1500, seed: int = 0, **more: object) -> Screen:
    """A screen drawn from narrow priors, labels scattering like single draws of a fate."""
    settings = {
        "n_genes": 6,
        "guides_per_gene": 3,
        "n_ntc_guides": 4,
        "n_days": 3,
        "moi": 2.0,
        "design": "prior",
        "concentration": 1.0,
    } | more
    return simulate_screen(SimulateConfig(n_cells=n_cells, seed=seed, **settings), DataConfig(), NARROW)[0]


def with_covariates(screen: Screen, columns: np.ndarray | None = None) -> Screen:
    """The screen with a number in few values, so that cells still collapse, and three lanes."""
    if columns is None:
        rng = np.random.default_rng(0)
        lane = rng.integers(0, 3, screen.N)
        columns = np.column_stack(
            [rng.integers(-1, 2, screen.N) * 1.2, *(lane == level for level in range(3))]
        )
    names = tuple(f"x{c}" for c in range(columns.shape[1]))
    return dataclasses.replace(screen, covariates=columns, covariate_names=names)


def plain_log_likelihood(
    screen: Screen, alpha: np.ndarray, b: np.ndarray, gamma: np.ndarray, theta: np.ndarray, delta: np.ndarray
) -> float:
    """The log-likelihood at weight 1, cell by cell and slot by slot, in plain Python.

    theta (L, F*, D) and delta (G, F*) without their rows of zeros.
    """
    total = 0.0
    for i in range(screen.N):
        eta = alpha[:, screen.day[i]] + b[:, screen.rep[i]] + gamma * screen.k_centered[i]
        for guide, real in zip(screen.guide_ids[i], screen.mask[i], strict=True):
            if real and guide > 0:  # an NTC guide has effect zero
                gene = screen.gene_of_guide[guide] - 1
                eta = eta + theta[gene, :, screen.day[i]] + delta[guide - 1]
        logits = np.concatenate([[0.0], eta])
        total += screen.weight[i] * float(screen.p[i] @ (logits - np.log(np.exp(logits).sum())))
    return total
