"""Rscript as it is on this machine, and Rscript with no packages but R's own."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from fatebias.discovery.rscript import script_path

DATA = Path(__file__).parents[2] / "golden" / "mash"

Ran = subprocess.CompletedProcess[str]


@pytest.fixture(scope="session")
def rscript() -> str:
    """Path of Rscript, or a skip."""
    found = shutil.which("Rscript")
    if found is None:
        pytest.skip("Rscript not installed")
    return found


@pytest.fixture(scope="session")
def bare_r(rscript: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Ran]:
    """Run run_mashr.R where only R's own packages can be found."""
    nowhere = str(tmp_path_factory.mktemp("no_packages"))
    env = {**os.environ, "R_LIBS": nowhere, "R_LIBS_USER": nowhere, "R_LIBS_SITE": nowhere}

    def run(*words: str | Path) -> Ran:
        argv = [rscript, str(script_path()), *map(str, words)]
        return subprocess.run(argv, capture_output=True, text=True, env=env, check=False)

    return run
