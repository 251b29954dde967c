"""The factor of the model against the plain sum over cells, computed apart from Pyro and torch."""

import numpy as np
import pyro
import pytest
import torch

from fatebias.config import PriorsConfig
from fatebias.data.collapse import collapse, each_cell
from fatebias.model.effects import gene_effects
from fatebias.model.fate_model import fate_model
from fatebias.model.tensors import design_tensors
from tests.screens import plain_log_likelihood, small_screen


@pytest.fixture(scope="module")
def screen():
    return small_screen(400)


def latent_values(screen, seed=1):
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return 0.5 * torch.randn(*shape, dtype=torch.float64, generator=generator)

    n_days = screen.D
    values = {
        "alpha": normal(2, n_days),
        "b": normal(2, screen.R),
        "gamma": normal(2),
        "tau": normal(2).exp(),
        "z0": normal(screen.L, 2),
        "sigma_guide": normal(2).exp(),
        "u": normal(screen.G, 2),
    }
    if n_days > 1:
        values |= {"sigma_time": normal(2, n_days - 1).exp(), "eps": normal(screen.L, 2, n_days - 1)}
    return values


def plain(screen, values):
    theta = gene_effects(values["tau"], values["z0"], values.get("sigma_time"), values.get("eps"))
    delta = values["sigma_guide"] * values["u"]
    parts = (values["alpha"], values["b"], values["gamma"], theta, delta)
    return plain_log_likelihood(screen, *(part.numpy() for part in parts))


def factor(tensors, values, **more):
    conditioned = pyro.condition(fate_model, data=values)
    trace = pyro.poutine.trace(conditioned).get_trace(tensors, PriorsConfig(), **more)
    trace.compute_log_prob()
    return float(trace.nodes["soft_ce"]["log_prob_sum"])


@pytest.mark.parametrize("weight", [1.0, 0.25])
def test_collapsed_full_batch_counts_every_cell_once(screen, weight):
    values = latent_values(screen)
    tensors = design_tensors(collapse(screen), dtype=torch.float64)
    assert factor(tensors, values, likelihood_weight=weight) == pytest.approx(weight * plain(screen, values))


def test_cell_by_cell_gives_the_same(screen):
    values = latent_values(screen)
    tensors = design_tensors(each_cell(screen), dtype=torch.float64)
    assert factor(tensors, values) == pytest.approx(plain(screen, values))


def test_single_precision_data_agree_to_single_precision(screen):
    values = latent_values(screen)
    assert factor(design_tensors(collapse(screen)), values) == pytest.approx(plain(screen, values), rel=1e-5)


def test_minibatches_are_unbiased(screen):
    values = latent_values(screen)
    tensors = design_tensors(each_cell(screen), dtype=torch.float64, sparse=False)
    order = torch.randperm(screen.N, generator=torch.Generator().manual_seed(0))
    batches = order.split(80)  # one pass over all cells in five equal batches
    found = [factor(tensors.batch(rows), values, scale=screen.N / len(rows)) for rows in batches]
    assert np.mean(found) == pytest.approx(plain(screen, values))
    assert np.std(found) > 0


def test_a_minibatch_is_scaled_by_n_over_b_once(screen):
    values = latent_values(screen)
    tensors = design_tensors(each_cell(screen), dtype=torch.float64, sparse=False)
    rows = torch.arange(10)
    unscaled = factor(tensors.batch(rows), values)
    assert factor(tensors.batch(rows), values, scale=screen.N / 10) == pytest.approx(unscaled * screen.N / 10)


def test_one_day_works():
    screen = small_screen(200, n_days=1)
    values = latent_values(screen)
    tensors = design_tensors(collapse(screen), dtype=torch.float64)
    assert factor(tensors, values) == pytest.approx(plain(screen, values))


def test_gradients_of_both_products_agree(screen):
    sparse = design_tensors(each_cell(screen), dtype=torch.float64)
    plainly = design_tensors(each_cell(screen), dtype=torch.float64, sparse=False)
    generator = torch.Generator().manual_seed(0)
    table = torch.randn(screen.G * screen.D, 2, dtype=torch.float64, generator=generator, requires_grad=True)
    shared = torch.randn(
        screen.D + screen.R + 1, 2, dtype=torch.float64, generator=generator, requires_grad=True
    )
    one = torch.autograd.grad(sparse.log_likelihood(table, shared), (table, shared))
    other = torch.autograd.grad(plainly.log_likelihood(table, shared), (table, shared))
    torch.testing.assert_close(one, other)
    assert min(part.abs().max() for part in one) > 0
