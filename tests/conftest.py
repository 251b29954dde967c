"""Fixtures for the whole tree: a config composed in this process, a command line run in another."""

from __future__ import annotations

import contextlib
import gc
import importlib.util
import os
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fatebias.config import Config
from tests.warm import Warm

# One thread a worker, also in what it starts; nothing above imports numpy or torch, which read this once.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

# What a test starts finds its modules compiled.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# A shell that starts tests in the background, and nohup, ignore signals that tests send.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

ROOT = Path(__file__).parents[1]
RUN_PY = ROOT / "run.py"
TINY_SCREEN = [  # words of a command
    "data=simulated",
    "data.simulate.n_cells=300",
    "data.simulate.n_genes=8",
    "data.simulate.n_ntc_guides=4",
    "data.simulate.n_days=2",
]
NOBODY = 65534  # a user who owns nothing here
FAKE_RUN_PY = ROOT / "tests" / "fake_pipeline.py"
# Tests see conf/ as it is under version control.
LIMIT_S = 600.0  # ends what hangs; a busy machine is slow
NO_LOCAL = ["~local@_global_"] if (ROOT / "conf" / "local" / "default.yaml").exists() else []


# One worker runs all of a file, and of a folder whose fixtures bring up a server; the longest come first.
SHARED = ("tests/integration/slurm/", "tests/integration/mlflow/")
FIRST = (*SHARED, "tests/inference/", "tests/config/test_experiments.py", "tests/app/", "tests/launcher/")


# A test that types a command, brings up a server or a database, fits a screen or does a run takes seconds.
COMMANDS = {"warm", "warm_fits", "terminal", "cluster", "server"}
WHOLE_RUNS = (
    "tests/api/", "tests/checks/", "tests/estimates/", "tests/inference/", "tests/integration/", "tests/run/",
    "tests/tracking/test_sync.py",
)  # fmt: skip


@pytest.hookimpl(tryfirst=True)  # before -m chooses
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if COMMANDS & set(getattr(item, "fixturenames", ())) or item.nodeid.startswith(WHOLE_RUNS):
            item.add_marker(pytest.mark.slow)
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: not item.nodeid.startswith(FIRST))


def pytest_collection_finish() -> None:
    """Spare the collector what lives to the end: it would look at modules and tests again and again."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    from xdist.scheduler import LoadFileScheduling

    class ByFileOrFolder(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return next((folder for folder in SHARED if nodeid.startswith(folder)), nodeid.partition("::")[0])

    config.option.loadscopereorder = False
    return ByFileOrFolder(config, log)


@pytest.fixture
def composed() -> Callable[..., Config]:
    """Compose a config as the command line does and check its values."""
    from hydra import compose, initialize_config_dir

    from fatebias import compose as settings

    settings.register()

    def from_words(*words: str) -> Config:
        with initialize_config_dir(str(settings.CONF), version_base="1.3"):
            return settings.to_config(compose("config", overrides=[*words, *NO_LOCAL]))

    return from_words


@pytest.fixture(scope="session")
def warm() -> Iterator[Warm]:
    """Runs commands that need Hydra, without a cold start."""
    modules = [
        "hydra._internal.hydra",
        "hydra._internal.logging_config",
        "ssl",
        "submitit",
        "fatebias.app.cli",
        "fatebias.sweep.compare",
        "fatebias.sweep.jobs",
        "fatebias.sweep.task",
        "fatebias.tracking.tracker",
    ]
    if importlib.util.find_spec("optuna"):
        modules.append("optuna")
    running = Warm(*modules)
    yield running
    running.stop()


@pytest.fixture(scope="session")
def warm_fits() -> Iterator[Warm]:
    """Runs commands that fit and track."""
    others = (
        "hydra hydra._internal.hydra torch pyro scipy.stats matplotlib.pyplot mlflow anndata h5py".split()
    )
    running = Warm(*others, *_modules_of_a_run())
    yield running
    running.stop()


def _modules_of_a_run() -> list[str]:
    """Name the package's modules that a run imports; those with a command of their own are no part of it."""
    found = sorted((ROOT / "fatebias").rglob("*.py"))
    dotted = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in found]
    return [name for name in dotted if not name.endswith(("__init__", "__main__"))]


@pytest.fixture
def terminal(
    tmp_path: Path, request: pytest.FixtureRequest
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Type a command in an empty folder; `real=False` takes the fake pipeline.

    A command with `fits=True` finds imported what a fit needs; others have to import it themselves.
    """

    def typed(
        *words: str, real: bool = True, fits: bool = False, cwd: Path = tmp_path, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        process: Warm = request.getfixturevalue("warm_fits" if fits else "warm")
        inherited = {name: value for name, value in os.environ.items() if name != "HYDRA_FULL_ERROR"}
        if not real:
            inherited["PYTHONPATH"] = str(ROOT)  # as run.py has it by standing there
        command = [str(RUN_PY if real else FAKE_RUN_PY), *words, *NO_LOCAL]
        if fits and words[:1] != ("prepare",) and not any(word.startswith("plots=") for word in words):
            command.append("plots=false")  # seconds a run
        return process.run(*command, cwd=cwd, env=inherited | environment, timeout=LIMIT_S)

    return typed


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may reach and write to, unlike tmp_path."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        yield Path(folder)


@pytest.fixture
def nobody() -> Callable[[], contextlib.AbstractContextManager[None]]:
    """Gives a block in which this process is that of another user."""
    if os.geteuid() != 0:
        pytest.skip("only root may become another user")

    @contextlib.contextmanager
    def become() -> Iterator[None]:
        os.setresuid(NOBODY, NOBODY, 0)
        try:
            yield
        finally:
            os.setresuid(0, 0, 0)

    return become


@pytest.fixture
def optuna() -> None:
    """Skipped where the extra is not installed, which in CI is a failure."""
    if importlib.util.find_spec("hydra_plugins.hydra_optuna_sweeper") is None:
        missing = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        missing("the extra is not installed: pip install '.[optuna]'")


@pytest.fixture
def fake_slurm(tmp_path_factory, monkeypatch) -> Callable[..., Path]:
    """Put a fake sacct, scontrol and squeue first on PATH.

    None is a Slurm without accounting, or one that has forgotten the job; `silent` is what all of them say in
    place of an answer.
    """
    refusals = {
        "sacct": "Slurm accounting storage is disabled",
        "scontrol": "slurm_load_jobs error: Invalid job id specified",
        "squeue": "slurm_load_jobs error: Invalid job id specified",
    }

    def put(
        *,
        sacct: str | None = None,
        scontrol: str | None = None,
        squeue: str | None = None,
        silent: str | None = None,
    ) -> Path:
        folder = tmp_path_factory.mktemp("fake slurm")
        for name, text in (("sacct", sacct), ("scontrol", scontrol), ("squeue", squeue)):
            (folder / f"{name}.txt").write_text(text or "")
            script = folder / name
            script.write_text(
                f'#!/bin/sh\necho "$@" >> "{folder}/{name}.asked"\ncat "{folder}/{name}.txt"\n'
                + ("" if text is not None else f'echo "{silent or refusals[name]}" >&2\nexit 1\n')
            )
            script.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
        return folder

    return put
