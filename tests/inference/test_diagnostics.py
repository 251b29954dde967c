import dataclasses

import numpy as np
import pytest
import torch

from fatebias.data.collapse import collapse
from fatebias.inference.dense import Dense
from fatebias.inference.diagnostics import convergence_warnings, gene_k_hats, k_hat, loss_drift
from fatebias.inference.laplace import fit_laplace
from fatebias.inference.result import LossTrace
from fatebias.model.design_matrix import DesignMatrix
from tests.screens import NARROW, small_screen


def trace(loss):
    return LossTrace(np.arange(len(loss)), np.asarray(loss, dtype=float), np.zeros(len(loss), dtype=np.int64))


def test_a_falling_loss_has_drift_and_a_flat_one_has_none():
    noise = np.random.default_rng(0).normal(size=400)
    flat, falling = loss_drift(trace(noise)), loss_drift(trace(noise - 0.1 * np.arange(400)))
    assert abs(flat["loss_drift"]) < 3 * flat["loss_drift_error"]
    assert falling["loss_drift"] == pytest.approx(10, abs=0.5)
    assert convergence_warnings(flat) == ()
    assert "still fell by" in convergence_warnings(falling)[0]


@pytest.mark.parametrize("shape", [0.2, 0.5, 0.9])
def test_k_hat_finds_the_tail_of_a_pareto_distribution(shape):
    ratio = np.random.default_rng(1).pareto(1 / shape, size=200_000)
    assert k_hat(np.log(ratio)) == pytest.approx(shape, abs=0.07)


def test_equal_ratios_have_no_tail():
    assert k_hat(np.zeros(100)) == -np.inf


def test_k_hats_are_low_for_laplace_on_many_cells_and_high_for_a_wrong_normal():
    design = DesignMatrix(collapse(small_screen(4000)))
    fit = fit_laplace(design, NARROW)
    good = gene_k_hats(design, fit, None, 1.0, 0)
    assert len(good["k_hat"]) == design.rows.n_genes
    assert good["k_hat_max"] < 0.7
    assert convergence_warnings(good) == ()
    narrow = dataclasses.replace(fit, curvature=Dense(design, fit.factor * 3, torch.zeros(0), None))
    bad = gene_k_hats(design, narrow, None, 1.0, 0)
    assert bad["k_hat_above_0.7"] > 0
    assert "Pareto k-hat is above 0.7" in convergence_warnings(bad)[0]


@pytest.mark.parametrize(
    ("figures", "words"),
    [
        (
            {"laplace_converged": False, "laplace_scale_change": 0.2, "laplace_gradient_norm": 0.1},
            "raise inference.max_rounds",
        ),
        ({"svi_steps": 1, "loss_final": 3.0}, "too few steps"),
        ({"loss_drift": 28.8, "loss_drift_error": 12.5, "loss_final": 3.0}, "still fell by 28.8"),
        ({"scale_points_used": 2.1, "scale_points": 64}, "rests on 2.1 of 64 points"),
        ({"r_hat_max": 1.2}, "R-hat up to 1.200"),
        ({"ess_min": 12.0}, "effective sample size down to 12"),
        ({"nuts_divergent_share": 0.1, "nuts_divergences": 50}, "NUTS diverged in 50 draws"),
    ],
)
def test_each_shortcoming_is_said(figures, words):
    assert words in convergence_warnings(figures)[0]


def test_a_high_k_hat_is_looked_at_with_more_draws(monkeypatch):
    design = DesignMatrix(collapse(small_screen(600)))
    fit = fit_laplace(design, NARROW)
    asked = []

    def draws(self, gene, n_draws):
        asked.append(n_draws)
        return np.log(np.random.default_rng(gene).pareto(1 / shape[gene], size=n_draws))

    shape = [0.01, 0.55, 0.9, 0.01, 0.01, 0.01]
    monkeypatch.setattr("fatebias.inference.diagnostics._BlockRatios.log_ratios", draws)
    found = gene_k_hats(design, fit, None, 1.0, 0)
    assert found["k_hat"][2] == pytest.approx(0.9, abs=0.15)
    assert asked.count(200) == 6
    assert sum(asked) - 6 * 200 >= 2_000 + 20_000
    assert max(asked) == 2_000  # at once
