import hashlib
import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from fatebias.config import Config, DataConfig, InferenceConfig
from fatebias.inference.checkpoint import FORMAT, Checkpoint, StopSignals
from fatebias.inference.fit import fit_screen
from fatebias.inference.posterior import posterior_moments
from tests.screens import NARROW, small_screen

WAYS = {
    "structured": {},
    "structured, cold": {"warm_start": "none", "lr": 0.03},
    "structured, minibatches": {"batch_size": 500},
    "normal": {"variational": "normal", "warm_start": "none", "lr": 0.02},
}


@pytest.fixture(scope="module")
def screen():
    return small_screen()


class Killed(BaseException):
    """Plays SIGKILL: nothing catches it."""


def fitted(screen, *, checkpoint=None, on_step=None, **inference):
    settings = {"num_steps": 160, "stop": "never", "progress": False, "num_posterior_draws": 100} | inference
    inference_config = InferenceConfig(**settings)
    # A GPU adds in no fixed order: test_gpu has its own bound.
    cfg = Config(data=DataConfig(), priors=NARROW, inference=inference_config, seed=3, device="cpu")
    fit = fit_screen(screen, cfg, on_step=on_step, checkpoint=checkpoint)
    posterior = posterior_moments(fit.draw, settings["num_posterior_draws"], screen.guide_gene)
    return fit.trace.loss.tobytes(), posterior.theta_mean.tobytes(), posterior.theta_sd.tobytes()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.slow
def test_broken_off_twice_it_ends_at_the_same_bytes(screen, tmp_path, way):
    path = tmp_path / "checkpoint.pt"
    told: list[tuple[int, float, int]] = []

    def kill_at(last):
        def on_step(*step):
            told.append(step)
            if step[0] == last:
                raise Killed

        return on_step

    for last in (70, 135):  # the noise pool holds 128 draws: before and after it was filled again
        told.clear()
        with pytest.raises(Killed):
            fitted(screen, checkpoint=Checkpoint(path, "key", 1e-9), on_step=kill_at(last), **WAYS[way])
        assert [step for step, *_ in told] == list(range(last + 1))
    told.clear()
    resumed = fitted(screen, checkpoint=Checkpoint(path, "key", 60), on_step=kill_at(-1), **WAYS[way])
    assert [step for step, *_ in told] == list(range(160))
    assert resumed == fitted(screen, **WAYS[way])


@pytest.mark.parametrize("place", [3, 700, -40], ids=["its digest", "a number", "cut off"])
def test_a_damaged_checkpoint_is_set_aside_with_a_message(tmp_path, caplog, place):
    path = tmp_path / "checkpoint.pt"
    Checkpoint(path, "key", 60).save({"step": 3, "mean": torch.arange(500)})
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content[:place] if place < 0 else content)
    assert Checkpoint(path, "key", 60).load() is None
    assert "not as it was written" in caplog.text
    assert (tmp_path / "checkpoint.unused").exists()
    assert not path.exists()


def test_a_foreign_checkpoint_is_set_aside_with_a_message(tmp_path, caplog):
    path = tmp_path / "checkpoint.pt"
    Checkpoint(path, "one", 60).save({"step": 3})
    assert Checkpoint(path, "other", 60).load() is None
    assert "other data, settings or code" in caplog.text


def test_nothing_in_a_checkpoint_is_executed(tmp_path, caplog):
    class Payload:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "executed"),))

    whole = io.BytesIO()
    torch.save({"format": FORMAT, "key": "key", "state": Payload()}, whole)
    digest = hashlib.sha256(whole.getvalue()).digest()
    (tmp_path / "checkpoint.pt").write_bytes(digest + whole.getvalue())
    assert Checkpoint(tmp_path / "checkpoint.pt", "key", 60).load() is None
    assert "cannot be read" in caplog.text
    assert not (tmp_path / "executed").exists()


def test_ctrl_c_waits_for_the_state_and_a_second_one_does_not(caplog):
    with StopSignals() as signals:
        os.kill(os.getpid(), signal.SIGINT)
        assert signals.pending == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signals.leave(saved=True)
    assert "stopping on SIGINT; the state is saved" in caplog.text
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_signal_that_nohup_ignores_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with StopSignals() as signals:
            os.kill(os.getpid(), signal.SIGINT)
        assert signals.pending is None
    finally:
        signal.signal(signal.SIGINT, before)


def test_sigusr2_is_passed_on_to_the_handler_that_was_there_before():
    seen = []
    before = signal.signal(signal.SIGUSR2, lambda number, frame: seen.append(number))
    try:
        with StopSignals() as signals:
            os.kill(os.getpid(), signal.SIGUSR2)
            assert signals.pending == signal.SIGUSR2
            assert seen == []
            signals.leave(saved=True)
            assert seen == [signal.SIGUSR2]
            os.kill(os.getpid(), signal.SIGTERM)
            with pytest.raises(SystemExit) as left:
                signals.leave(saved=True)
            assert left.value.code == 143
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    finally:
        signal.signal(signal.SIGUSR2, before)


RUN = [
    sys.executable,
    str(Path(__file__).parents[2] / "run.py"),
    "data=simulated",
    "data.simulate.n_cells=1500",
    "data.simulate.n_genes=12",
    "inference.num_steps=600",
    "inference.stop=never",
    "inference.num_posterior_draws=200",
    "inference.checkpoint_every_s=0.05",
    "discovery.engine=native",
    "tracking=off",
]
TABLES = ("gene_summary_for_mash.csv", "guide_summary.csv", "hits_ranked.csv")


def tables(folder):
    return [(folder / name).read_bytes() for name in TABLES]


@pytest.mark.soak
def test_a_run_that_is_terminated_and_killed_ends_with_the_same_tables(tmp_path):
    subprocess.run([*RUN, "out_dir=whole"], cwd=tmp_path, check=True, capture_output=True, timeout=600)
    broken = tmp_path / "broken"
    codes = []
    for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGKILL):
        running = subprocess.Popen(
            [*RUN, "out_dir=broken"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        began = (broken / "checkpoint.pt").stat().st_mtime if (broken / "checkpoint.pt").exists() else 0
        deadline = time.monotonic() + 600
        while time.monotonic() < deadline and running.poll() is None:
            path = broken / "checkpoint.pt"
            if path.exists() and path.stat().st_mtime > began:
                break
            time.sleep(0.02)
        running.send_signal(number)
        running.communicate(timeout=600)
        codes.append(running.returncode)
    assert codes == [143, -9, -9]
    done = subprocess.run(
        [*RUN, "out_dir=broken"], cwd=tmp_path, check=True, capture_output=True, text=True, timeout=600
    )
    assert "resuming from step" in done.stdout + done.stderr
    assert tables(broken) == tables(tmp_path / "whole")
    assert not (broken / "checkpoint.pt").exists()
