"""The unshrunken fit, whose estimates are exported, is judged like the main one."""

import dataclasses

import numpy as np
import pytest

from fatebias.api.fitting import fit_with
from fatebias.config import CalibrationConfig, Config, ExportConfig, InferenceConfig
from fatebias.estimates import from_fit
from fatebias.inference.diagnostics import K_HAT_LIMIT
from fatebias.inference.laplace import LaplaceFit
from tests.screens import small_screen

CONFIG = Config(
    inference=InferenceConfig(method="laplace", num_posterior_draws=50),
    export=ExportConfig(estimates="unshrunken", guides="mixture", baseline="auto"),
    calibration=CalibrationConfig(method="dispersion"),
)


@pytest.fixture(scope="module")
def sparse():
    """A few cells a gene and day, nearly all of them committed to one fate."""
    return small_screen(150, seed=3, n_genes=12, moi=1.0, concentration=0.02)


def test_few_committed_cells_are_no_matter_after_shrinkage_but_before(sparse):
    found = fit_with(sparse, CONFIG)
    figures = found.diagnostics
    assert len(figures["export_k_hat"]) == sparse.L
    assert figures["k_hat_max"] < K_HAT_LIMIT < figures["export_k_hat_max"]
    assert figures["export_laplace_converged"]
    [said] = found.warnings
    assert said.startswith("unshrunken effects: Pareto k-hat is above 0.7 for ")
    assert said.endswith("compare inference=nuts export=posterior")
    assert not found.converged
    entry = found.entry()
    assert entry["diagnostics"]["export_k_hat"] == figures["export_k_hat"]
    assert entry["warnings"] == [said]


def test_many_cells_have_normal_effects_with_and_without_shrinkage():
    found = fit_with(small_screen(4000), CONFIG)
    assert found.diagnostics["export_k_hat_above_0.7"] == 0
    assert found.warnings == ()


def test_shrunken_effects_have_the_main_fit_alone(sparse):
    plain = fit_with(sparse, dataclasses.replace(CONFIG, export=ExportConfig()))
    assert not [name for name in plain.diagnostics if name.startswith("export_")]


def test_an_unshrunken_fit_that_has_not_settled_says_so(monkeypatch):
    settled = from_fit.fit_broad

    def stopped(*args, **settings) -> LaplaceFit:
        fit = settled(*args, **settings | {"max_rounds": 1})
        assert not fit.converged
        return fit

    monkeypatch.setattr(from_fit, "fit_broad", stopped)
    found = fit_with(small_screen(1500), CONFIG)
    assert found.warnings[0].startswith("unshrunken effects: the Laplace solution has not settled")
    assert "raise inference.max_rounds" in found.warnings[0]


def test_more_rounds_are_taken_where_they_are_allowed(monkeypatch):
    asked = []
    plain = from_fit.fit_broad
    monkeypatch.setattr(
        from_fit, "fit_broad", lambda *a, **k: (asked.append(k["max_rounds"]), plain(*a, **k))[1]
    )
    for rounds in (3, 40):
        inference = dataclasses.replace(CONFIG.inference, max_rounds=rounds)
        fit_with(small_screen(600), dataclasses.replace(CONFIG, inference=inference))
    assert asked == [8, 40]


def test_figures_are_plain_numbers(sparse):
    found = fit_with(sparse, CONFIG).diagnostics
    assert all(isinstance(k, float) for k in found["export_k_hat"])
    assert np.isfinite(found["export_laplace_gradient_norm"])
