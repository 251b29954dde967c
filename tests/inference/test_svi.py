import functools
from functools import partial

import numpy as np
import pyro
import pytest
import torch

from fatebias.config import Config, DataConfig, InferenceConfig, ModelConfig
from fatebias.data.collapse import collapse, each_cell
from fatebias.errors import ConfigError, FitError
from fatebias.inference import svi
from fatebias.inference.checkpoint import Checkpoint
from fatebias.inference.fit import choose_device, fit_screen
from fatebias.inference.posterior import posterior_moments
from fatebias.inference.result import LossTrace
from fatebias.inference.svi import run_svi
from fatebias.model.design_matrix import DesignMatrix
from fatebias.model.fate_model import fate_model
from fatebias.model.tensors import design_tensors
from fatebias.model.variational import StructuredFamily, cold_init
from tests.screens import NARROW, small_screen


@pytest.fixture(scope="module")
def screen():
    return small_screen()


def config(**inference):
    settings = {"num_steps": 30, "progress": False, "num_posterior_draws": 200} | inference
    inference_config = InferenceConfig(**settings)
    # A GPU adds in no fixed order: test_gpu has its own bounds.
    return Config(data=DataConfig(), priors=NARROW, inference=inference_config, seed=3, device="cpu")


def fitted(screen, cfg):
    fit = fit_screen(screen, cfg)
    return fit, posterior_moments(fit.draw, cfg.inference.num_posterior_draws, screen.guide_gene)


WAYS = {
    "structured": {},
    "structured, cold": {"warm_start": "none", "num_steps": 300, "lr": 0.03},
    "structured, minibatches": {"batch_size": 500},
    "normal": {"variational": "normal", "warm_start": "none", "lr": 0.02, "num_steps": 300},
    "normal, warm": {"variational": "normal"},
    "laplace": {"method": "laplace"},
    "nuts": {"method": "nuts", "num_chains": 1, "num_warmup": 30, "num_samples": 30},
}


@pytest.fixture(scope="module")
def once(screen):
    """Fit in each way once for all tests."""
    return functools.cache(lambda way: fitted(screen, config(**WAYS[way])))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.slow
def test_every_way_gives_the_same_kind_of_posterior(screen, once, way):
    fit, posterior = once(way)
    assert posterior.theta_mean.shape == posterior.theta_sd.shape == (screen.L, 2, screen.D)
    assert posterior.theta_joint.shape == (screen.L, 2, screen.D, 2, screen.D)
    assert posterior.beta_mean.shape == (screen.G, 2, screen.D)
    assert posterior.shared_mean.shape == (screen.D + screen.R + 1, 2)
    assert posterior.scales_mean.shape == (2, screen.D + 1)
    assert np.isfinite(fit.trace.loss).all()
    assert len(fit.trace.step) == len(fit.trace.loss) == len(fit.trace.timestamp_ms)


@pytest.mark.parametrize("way", ["structured", "structured, minibatches", "normal", "laplace", "nuts"])
@pytest.mark.slow
def test_same_seed_same_bytes(screen, once, way):
    one, first = once(way)
    other, second = fitted(screen, config(**WAYS[way]))
    assert one.trace.loss.tobytes() == other.trace.loss.tobytes()
    assert first.theta_mean.tobytes() == second.theta_mean.tobytes()
    assert first.theta_sd.tobytes() == second.theta_sd.tobytes()


def test_another_seed_gives_other_draws(screen, once):
    other = config()
    other.seed = 4
    assert once("structured")[1].theta_mean.tobytes() != fitted(screen, other)[1].theta_mean.tobytes()


def test_centred_guides_sum_to_zero_within_each_gene(screen):
    cfg = config()
    cfg.model = ModelConfig(guide_effects="centred")
    draws = fit_screen(screen, cfg).draw(20)
    gene = screen.guide_gene
    for index in range(screen.L):
        np.testing.assert_allclose(draws.delta[:, gene == index].sum(axis=1), 0, atol=1e-10)


@pytest.mark.slow
def test_the_structured_family_ends_higher_than_mean_field(screen):
    structured = fit_screen(screen, config(num_steps=200)).diagnostics["loss_final"]
    plain = fit_screen(screen, config(variational="normal", warm_start="none", lr=0.02, num_steps=800))
    assert structured < plain.diagnostics["loss_final"]


def run(screen, cfg, *, model=None, tensors=None):
    pyro.clear_param_store()
    design = DesignMatrix(collapse(screen))
    family = StructuredFamily(design, cold_init(design), torch.Generator().manual_seed(0))
    tensors = design_tensors(design.rows) if tensors is None else tensors
    model = partial(fate_model, priors=NARROW) if model is None else model
    return run_svi(model, family, tensors, cfg.inference, seed=0)


def test_a_loss_that_is_not_finite_ends_in_one_clear_error(screen):
    def broken(tensors, scale):
        fate_model(tensors, NARROW, scale=scale)
        pyro.factor("broken", torch.tensor(float("nan")))

    with pytest.raises(FitError, match=r"SVI broke down at step 0(.|\n)*inference\.lr"):
        run(screen, config(), model=broken)


@pytest.mark.slow
def test_divergence_ends_in_one_clear_error(screen):
    steps = iter(range(2000))

    def sliding(tensors, scale):
        fate_model(tensors, NARROW, scale=scale)
        pyro.factor("sliding", torch.tensor(-10.0 * next(steps)))

    with pytest.raises(FitError, match=r"SVI diverges: after 400 steps(.|\n)*a smaller inference\.lr"):
        run(screen, config(num_steps=2000), model=sliding)


def test_it_stops_when_the_loss_has_settled(screen):
    warm = fit_screen(screen, config(num_steps=2000, tolerance=0.01, patience=20))
    assert len(warm.trace.step) == 40


@pytest.mark.slow
def test_from_the_laplace_solution_it_stops_once_the_loss_is_level(screen, tmp_path):
    level, whole = (fitted(screen, config(num_steps=400, stop=stop)) for stop in ("level", "never"))
    assert 100 <= len(level[0].trace.step) < 400 == len(whole[0].trace.step)
    assert not level[0].warnings
    distance = (level[1].theta_mean - whole[1].theta_mean) / whole[1].theta_sd
    assert np.abs(distance).max() < 0.1
    assert np.median(level[1].theta_sd / whole[1].theta_sd) == pytest.approx(1, abs=0.01)


@pytest.mark.slow
def test_a_stop_comes_at_the_same_step_after_a_break(screen, tmp_path):
    cfg = config(num_steps=400)
    once = fit_screen(screen, cfg).trace.loss

    class Killed(BaseException):
        pass

    def kill(step, loss, stamp):
        if step == 77:
            raise Killed

    with pytest.raises(Killed):
        fit_screen(screen, cfg, checkpoint=Checkpoint(tmp_path / "state", "key", 1e-9), on_step=kill)
    again = fit_screen(screen, cfg, checkpoint=Checkpoint(tmp_path / "state", "key", 60)).trace.loss
    assert again.tobytes() == once.tobytes()


@pytest.mark.parametrize(
    "cold", [{"warm_start": "none"}, {"variational": "normal"}, {"batch_size": 500}, {"stop": "never"}]
)
@pytest.mark.slow
def test_other_starts_and_minibatches_take_all_steps(screen, cold):
    assert len(fit_screen(screen, config(num_steps=130, **cold)).trace.step) == 130


def test_what_is_level():
    rng = np.random.default_rng(0)
    flat = rng.normal(0, 0.1, 200)
    assert svi._is_level(list(flat[:100]))
    assert svi._is_level(list(flat))
    assert not svi._is_level(list(flat[:50]))  # too few to judge
    assert not svi._is_level(list(flat[:130]))  # judged every 50
    falling = flat - 0.05 * np.arange(200)
    assert not svi._is_level(list(falling))
    late = flat.copy()
    late[-30:] -= 2  # in the last quarter alone
    assert not svi._is_level(list(late))
    # noise as large as this hides a fall of 3 nats in 50 steps, and does not excuse one of 10
    noisy = 100 * rng.permutation(np.tile([-1.0, 1.0], 25))
    steps = np.concatenate([noisy + 10, noisy])
    assert not svi._is_level(list(steps))


def test_tolerance_is_off_by_null(screen):
    assert len(fit_screen(screen, config(num_steps=60, patience=10)).trace.step) == 60


def test_minibatches_see_every_cell_once_before_any_twice(screen):
    seen = []

    def watching(tensors, scale):
        seen.append((tensors.n_rows, scale, float(tensors.p.sum())))
        fate_model(tensors, NARROW, scale=scale)

    tensors = design_tensors(each_cell(screen), sparse=False)
    run(screen, config(batch_size=300, num_steps=5), model=watching, tensors=tensors)
    assert {(rows, scale) for rows, scale, _ in seen} == {(300, screen.N / 300)}
    assert sum(total for *_, total in seen) == pytest.approx(screen.N, rel=1e-5)


def test_steps_are_told_as_they_happen(screen):
    told = []
    fit = fit_screen(screen, config(num_steps=5), on_step=lambda *step: told.append(step))
    assert [step for step, *_ in told] == list(range(5))
    assert [loss for _, loss, _ in told] == fit.trace.loss.tolist()


def test_a_gpu_that_is_not_there_is_refused():
    with pytest.raises(ConfigError, match=r"device=cuda:7 is not there(.|\n)*device=auto"):
        choose_device("cuda:7")


def test_a_fit_that_has_not_settled_says_so(screen):
    fit = fit_screen(screen, config(variational="normal", warm_start="none", lr=0.001, num_steps=200))
    assert not fit.converged
    assert "SVI has not settled" in fit.warnings[0]
    assert isinstance(fit.trace, LossTrace)
