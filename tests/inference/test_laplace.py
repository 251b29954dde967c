from pathlib import Path

import numpy as np
import pytest
import torch

from fatebias.config import DataConfig, PriorsConfig
from fatebias.data.collapse import collapse
from fatebias.errors import FitError
from fatebias.inference import scales
from fatebias.inference.laplace import fit_laplace
from fatebias.model.design_matrix import DesignMatrix
from tests.screens import NARROW, small_screen


@pytest.fixture(scope="module", params=[False, True], ids=["random", "centred"])
def solved(request):
    design = DesignMatrix(collapse(small_screen()), centred=request.param)
    return design, fit_laplace(design, NARROW, likelihood_weight=0.7, max_rounds=60)


def log_posterior(design, fit, weight):
    """Log posterior given the scales, as a function of the flat effects, by autograd's rules alone."""
    matrix = torch.from_numpy(design.matrix.toarray())
    p = torch.from_numpy(design.rows.p)
    precision = torch.from_numpy(design.prior_precision(NARROW, fit.scale_precision).toarray())

    def value(flat):
        eta = matrix @ flat.reshape(2, -1).T
        logits = torch.cat([torch.zeros_like(eta[:, :1]), eta], dim=1)
        return weight * (p * torch.log_softmax(logits, dim=1)).sum() - 0.5 * flat @ precision @ flat

    return value


def covariance_of(fit):
    return torch.cholesky_inverse(fit.factor)


def test_the_solution_is_the_mode_and_its_precision_the_hessian(solved):
    design, fit = solved
    assert fit.converged
    flat = torch.from_numpy(fit.mean)
    value = log_posterior(design, fit, 0.7)
    slope = torch.autograd.functional.jacobian(value, flat)
    assert float(slope @ covariance_of(fit) @ slope) < 1e-3
    hessian = -torch.autograd.functional.hessian(value, flat)
    sd, expected = covariance_of(fit).diagonal().sqrt(), torch.linalg.inv(hessian).diagonal().sqrt()
    torch.testing.assert_close(sd, expected, rtol=2e-3, atol=0)
    np.testing.assert_allclose(fit.unit, expected, rtol=0.05)


def test_the_scales_are_a_fixed_point(solved):
    """A further round would leave them: (n - 1) = S / s^2 + s^2 / h^2 turned round for each scale."""
    design, fit = solved
    root = np.linalg.cholesky(covariance_of(fit).numpy())
    spread = np.random.default_rng(5).normal(size=(20_000, design.size)) @ root.T
    squares = design.scale_squares(fit.mean[None]) + design.scale_squares(spread)
    variance = 1 / fit.scale_precision
    widths = np.array([NARROW.s_tau, NARROW.s_time, NARROW.s_time, NARROW.s_guide])
    free = design.scale_counts() - 1
    np.testing.assert_allclose(squares / variance - variance / widths**2, np.tile(free, (2, 1)), rtol=0.05)


def test_evidence_rises(solved):
    _, fit = solved
    assert fit.log_evidence[-1] > fit.log_evidence[0]


def test_scale_update_maximises_its_density():
    squares, counts, widths = np.array([[3.0]]), np.array([10.0]), np.array([0.7])
    s = np.linspace(0.05, 3, 200_000)
    density = -(counts - 1) * np.log(s) - squares[0] / (2 * s**2) - s**2 / (2 * widths**2)
    assert scales.scale_update(squares, counts, widths)[0, 0] == pytest.approx(
        s[density.argmax()] ** 2, rel=1e-3
    )


def test_few_rounds_are_reported_as_not_converged():
    fit = fit_laplace(DesignMatrix(collapse(small_screen())), PriorsConfig(), max_rounds=1)
    assert not fit.converged
    assert fit.scale_change > scales.SCALE_TOLERANCE


def test_extreme_labels_still_find_a_mode():
    """Every label one-hot and the same: the mode is far out, held by the priors alone."""
    screen = small_screen(300)
    screen.p[:] = np.array([0.0, 1.0, 0.0])
    fit = fit_laplace(DesignMatrix(collapse(screen)), PriorsConfig(), max_rounds=30)
    assert np.isfinite(fit.mean).all()
    assert (fit.factor.diagonal() > 0).all()


def test_an_overflowing_weight_ends_in_one_clear_error():
    with pytest.raises(FitError, match=r"the Laplace solution could not be found(.|\n)*likelihood_weight"):
        fit_laplace(DesignMatrix(collapse(small_screen(300))), NARROW, likelihood_weight=1e308)


def test_recovery_within_its_own_error():
    """Screens drawn from the priors that fit them: z-scores of theta have unit spread."""
    from fatebias.config import DataConfig, SimulateConfig
    from fatebias.data.simulation.simulate import simulate_screen

    z = []
    for seed in range(8):
        settings = SimulateConfig(
            n_cells=3000,
            n_genes=12,
            guides_per_gene=3,
            n_ntc_guides=6,
            design="prior",
            concentration=1e-3,
            seed=seed,
        )
        screen, truth = simulate_screen(settings, DataConfig(), NARROW)
        design = DesignMatrix(collapse(screen))
        fit = fit_laplace(design, NARROW)
        sd = covariance_of(fit).diagonal().sqrt().numpy()[design.theta_index]
        z.append((design.split(fit.mean)[0] - truth.theta) / sd)
    assert np.std(z) == pytest.approx(1.0, abs=0.15)
    assert abs(np.mean(z)) < 0.2


@pytest.mark.parametrize("weight", [0.5, 1.0])
def test_little_information_does_not_make_the_scales_collapse(weight):
    """Seen on the bundled screen at weight 0.5: a long step of the mixing took all scales near zero."""
    from fatebias.data.load import load_screen

    tight = PriorsConfig(s_alpha=1.25, s_rep=0.4, s_gamma=0.4, s_tau=2.0, s_time=0.4, s_guide=0.75)
    screen = load_screen(DataConfig(), tight, Path())
    fit = fit_laplace(DesignMatrix(collapse(screen)), tight, likelihood_weight=weight)
    assert fit.converged
    assert max(fit.log_evidence) - fit.log_evidence[-1] < 0.5
    assert fit.scale_precision[0, 0] ** -0.5 > 0.12  # tau of MES; a quarter of the genes have effects
