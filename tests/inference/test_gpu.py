"""The same fits on a GPU. Skipped where torch sees none."""

import dataclasses
import math

import numpy as np
import pytest
import torch

import fatebias as fb
from fatebias.inference.checkpoint import Checkpoint
from fatebias.inference.fit import fit_screen
from fatebias.inference.posterior import posterior_moments
from tests.inference.test_svi import WAYS, config
from tests.screens import small_screen

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU that torch can use"),
]

# Sums on a GPU are in no fixed order, and SVI carries their rounding through every step.
ROUNDING = 1e-6


@pytest.fixture(scope="module")
def screen():
    return small_screen()


def on_gpu(way, **more):
    return dataclasses.replace(config(**WAYS[way], **more), device="cuda")


@pytest.mark.parametrize("way", WAYS)
def test_every_way_gives_the_posterior_of_the_cpu(screen, way):
    moments = []
    for cfg in (config(**WAYS[way]), on_gpu(way)):
        draw = fit_screen(screen, cfg).draw
        moments.append(posterior_moments(draw, cfg.inference.num_posterior_draws, screen.guide_gene))
    cpu, gpu = moments
    # The two draw other random numbers: NUTS has 30 draws that hang together, and mean field begins at random
    # and is not at its end after 300 steps.
    far = 1.5 if way in ("nuts", "normal") else 0.5
    assert np.abs((cpu.theta_mean - gpu.theta_mean) / cpu.theta_sd).max() < far
    assert np.median(gpu.theta_sd / cpu.theta_sd) == pytest.approx(1, abs=0.2)


@pytest.mark.parametrize("way", ["structured", "structured, cold", "structured, minibatches", "normal, warm"])
def test_broken_off_and_resumed_it_ends_where_the_whole_fit_does(screen, tmp_path, way):
    cfg = on_gpu(way)
    whole = fit_screen(screen, cfg).trace.loss
    last = len(whole) // 2

    class Killed(BaseException):
        pass

    def kill(step, loss, stamp):
        if step == last:
            raise Killed

    with pytest.raises(Killed):
        fit_screen(screen, cfg, checkpoint=Checkpoint(tmp_path / "checkpoint.pt", "key", 1e-9), on_step=kill)
    resumed = fit_screen(screen, cfg, checkpoint=Checkpoint(tmp_path / "checkpoint.pt", "key", 60)).trace.loss
    np.testing.assert_allclose(resumed, whole, rtol=ROUNDING)


def test_the_recommended_settings_need_no_gpu_to_give_the_same(screen):
    cpu, gpu = (fb.fit(screen, preset="calibrated", device=name, progress=False) for name in ("cpu", "cuda"))
    np.testing.assert_allclose(gpu.effects["betahat_d0"], cpu.effects["betahat_d0"], atol=1e-3)
    np.testing.assert_allclose(gpu.effects["se_d0"], cpu.effects["se_d0"], rtol=1e-3)
    assert gpu.likelihood_weight == pytest.approx(cpu.likelihood_weight, rel=1e-6)
    assert math.isfinite(gpu.diagnostics["loss_final"])
