"""A cluster for the session, and commands typed on its login node."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.conftest import LIMIT_S, NO_LOCAL, RUN_PY

HERE = Path(__file__).parent


def _module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"slurm_{name}", HERE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def cluster() -> Iterator[object]:
    """Skipped where there is no Slurm to bring up; in CI that is a failure."""
    module = _module("cluster")
    if reason := module.why_not():
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    # A short path: a munge socket's may not be longer than 107 characters.
    with tempfile.TemporaryDirectory(prefix="slurm-", ignore_cleanup_errors=True) as folder:
        cluster = module.Cluster(Path(folder))
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.stop()


@pytest.fixture(scope="session")
def typed(cluster, warm, warm_fits) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Type a command where Slurm's commands are; words that begin with ``-m`` are Python's own."""

    def run(*words: str, cwd: Path, timeout: float = LIMIT_S) -> subprocess.CompletedProcess[str]:
        command = words if words[0] == "-m" else [str(RUN_PY), *words, *NO_LOCAL]
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}
        process = warm_fits if "fatebias.tracking" in words else warm
        return process.run(*command, cwd=cwd, env=inherited | cluster.environment, timeout=timeout)

    return run
