"""Absorption labels: the walk against gambler's ruin, and what smoothing does to pi."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from benchmarks.expression import absorbed, absorption, forward
from fatebias.config import DataConfig, PriorsConfig, SimulateConfig
from fatebias.data.simulation.simulate import simulate_screen


@pytest.mark.parametrize("ahead", [0.5, 0.7])
def test_absorption_on_a_line_is_gamblers_ruin(ahead):
    n = 9
    steps = np.zeros((n, n))
    for i in range(1, n - 1):
        steps[i, i + 1], steps[i, i - 1] = ahead, 1 - ahead
    steps[0, 1] = steps[-1, -2] = 1.0
    found = absorbed(csr_matrix(steps), [np.array([0]), np.array([n - 1])])
    at, odds = np.arange(n), (1 - ahead) / ahead
    expected = at / (n - 1) if ahead == 0.5 else (1 - odds**at) / (1 - odds ** (n - 1))
    np.testing.assert_allclose(found[:, 1], expected, atol=1e-4)
    np.testing.assert_allclose(found.sum(axis=1), 1)


def test_a_step_back_is_less_likely():
    graph = csr_matrix(np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]], dtype=float))
    steps = forward(graph, np.array([0.0, 0.1, 0.3])).toarray()
    np.testing.assert_allclose(steps.sum(axis=1), 1)
    assert steps[0, 1] == steps[0, 2] == 0.5
    assert steps[1, 0] == pytest.approx(np.exp(-1) / (1 + np.exp(-1)))


def test_labels_follow_pi_drawn_together():
    simulate = SimulateConfig(n_cells=1500, n_genes=6)
    screen, _ = simulate_screen(simulate, DataConfig(), PriorsConfig())
    pi = np.random.default_rng(1).dirichlet([2, 2, 2], screen.N)
    made = absorption(screen, pi, np.random.default_rng(0))
    np.testing.assert_allclose(made.p.sum(axis=1), 1)
    slope = np.polyfit(pi[:, 1], made.p[:, 1], 1)[0]
    assert 0.1 < slope < 0.8
    assert made.cluster_source.startswith("blocks of the neighbour graph")
