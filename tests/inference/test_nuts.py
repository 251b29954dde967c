import numpy as np
import pyro
import pytest
import torch

from fatebias.config import Config, DataConfig, InferenceConfig
from fatebias.data.collapse import collapse
from fatebias.inference.fit import fit_screen
from fatebias.inference.laplace import fit_laplace
from fatebias.inference.nuts import Potential
from fatebias.inference.posterior import posterior_moments
from fatebias.model.design_matrix import DesignMatrix
from fatebias.model.fate_model import fate_model
from fatebias.model.tensors import design_tensors
from tests.screens import NARROW, small_screen, with_covariates


@pytest.mark.parametrize("centred", [False, True], ids=["random", "centred"])
@pytest.mark.parametrize("n_days", [1, 3])
@pytest.mark.parametrize("more", [False, True], ids=["plain", "covariates"])
def test_the_potential_is_that_of_the_model(n_days, centred, more):
    """Differences of the potential between two points against Pyro's own log density of the model."""
    screen = small_screen(200, n_days=n_days)
    design = DesignMatrix(collapse(with_covariates(screen) if more else screen), centred=centred)
    laplace = fit_laplace(design, NARROW)
    potential = Potential(design, NARROW, 0.8, laplace, torch.device("cpu"))
    tensors = design_tensors(design.rows, dtype=torch.float64)

    def model_density(point):
        steps, theta, delta, shared, scales = potential.effects(point)
        walk = torch.cat([theta[..., :1], theta.diff(dim=-1)], dim=-1)
        values = {
            "alpha": shared[:n_days].T,
            "b": shared[n_days : n_days + 2].T,
            "gamma": shared[n_days + 2],
            "tau": scales[:, 0],
            "z0": walk[..., 0] / scales[:, 0],
            "sigma_guide": scales[:, -1],
            "u": delta / scales[:, -1],
        }
        if more:
            values["covar"] = shared[n_days + 3 :].T
        counts = torch.tensor([float(design.rows.n_genes)] * n_days + [float(design.rows.n_guides)])
        jacobian = scales.log().sum()  # of the log scales
        # the model samples effects in units of their scales, the potential's are stretched by a power of them
        jacobian = jacobian - (counts * (1 - potential.power) * scales.log()).sum()
        if n_days > 1:
            values |= {"sigma_time": scales[:, 1:-1], "eps": walk[..., 1:] / scales[:, 1:-1]}
        conditioned = pyro.condition(fate_model, data=values)
        trace = pyro.poutine.trace(conditioned).get_trace(
            tensors, NARROW, likelihood_weight=0.8, centred_guides=centred
        )
        return float(trace.log_prob_sum() + jacobian)

    generator = torch.Generator().manual_seed(0)
    points = [
        {
            "effects": torch.randn(design.size, dtype=torch.float64, generator=generator),
            "scales": torch.randn(laplace.scale_precision.shape, dtype=torch.float64, generator=generator),
        }
        for _ in range(3)
    ]
    found = [-float(potential(point)) for point in points]
    expected = [model_density(point) for point in points]
    np.testing.assert_allclose(np.diff(found), np.diff(expected), rtol=1e-8)


@pytest.mark.soak
def test_nuts_and_laplace_agree_where_the_posterior_is_close_to_normal():
    screen = small_screen(2000, n_genes=8)
    posteriors = {}
    for method in ("nuts", "laplace"):
        inference = InferenceConfig(
            method=method,
            num_chains=2,
            num_warmup=120,
            num_samples=200,
            num_posterior_draws=400,
            progress=False,
        )
        fit = fit_screen(screen, Config(data=DataConfig(), priors=NARROW, inference=inference))
        posteriors[method] = posterior_moments(fit.draw, 400, screen.guide_gene)
        if method == "nuts":
            assert fit.diagnostics["r_hat_max"] < 1.1
            assert fit.diagnostics["nuts_divergent_share"] <= 0.01
            assert fit.diagnostics["ess_min"] > 30
    shift = np.abs(posteriors["nuts"].theta_mean - posteriors["laplace"].theta_mean)
    assert (shift / posteriors["nuts"].theta_sd).mean() < 0.2
    ratio = posteriors["laplace"].theta_sd / posteriors["nuts"].theta_sd
    assert np.median(ratio) == pytest.approx(1.0, abs=0.12)
