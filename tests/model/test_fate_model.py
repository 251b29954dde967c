import pyro
import pytest
import torch

from fatebias import names
from fatebias.config import PriorsConfig
from fatebias.data.collapse import collapse
from fatebias.model.fate_model import fate_model
from fatebias.model.tensors import design_tensors
from tests.screens import small_screen


def sites_of(screen, **more):
    tensors = design_tensors(collapse(screen))
    trace = pyro.poutine.trace(fate_model).get_trace(tensors, PriorsConfig(), **more)
    return {name: site for name, site in trace.nodes.items() if site["type"] == "sample"}


def test_sites_have_the_names_and_shapes_of_the_reference_model():
    screen = small_screen(200)
    sites = sites_of(screen)
    assert set(sites) == {*names.LATENT_SITES, names.SOFT_CE}
    shapes = {
        "alpha": (2, 3),
        "b": (2, 2),
        "gamma": (2,),
        "tau": (2,),
        "z0": (6, 2),
        "sigma_time": (2, 2),
        "eps": (6, 2, 2),
        "sigma_guide": (2,),
        "u": (18, 2),
    }
    assert {name: tuple(sites[name]["value"].shape) for name in names.LATENT_SITES} == shapes


def test_one_day_has_neither_sigma_time_nor_eps():
    sites = sites_of(small_screen(200, n_days=1))
    assert set(sites) == {*names.LATENT_SITES, names.SOFT_CE} - {"sigma_time", "eps"}


@pytest.mark.parametrize(
    ("site", "kind", "scale"),
    [
        ("alpha", "Normal", 2.5),
        ("b", "Normal", 0.8),
        ("gamma", "Normal", 0.8),
        ("tau", "HalfNormal", 4.0),
        ("z0", "Normal", 1.0),
        ("sigma_time", "HalfNormal", 0.8),
        ("eps", "Normal", 1.0),
        ("sigma_guide", "HalfNormal", 1.5),
        ("u", "Normal", 1.0),
    ],
)
def test_priors_are_those_of_the_reference_model(site, kind, scale):
    fn = sites_of(small_screen(200))[site]["fn"]
    base = fn.base_dist
    assert type(base).__name__ == kind or type(base.base_dist).__name__ == kind
    value = torch.full(fn.event_shape, 0.7, dtype=torch.float64)
    log_prob = torch.distributions.Normal(0.0, scale).log_prob(torch.tensor(0.7, dtype=torch.float64))
    folded = torch.log(torch.tensor(2.0)) if kind == "HalfNormal" else 0.0
    assert float(fn.log_prob(value)) == pytest.approx(float((log_prob + folded) * value.numel()), rel=1e-6)
