"""Sweeps written by hand, and `retry` typed with the fake pipeline in the place of the real one."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

FAKE = Path(__file__).parents[1] / "fake_pipeline.py"


@pytest.fixture
def written() -> ModuleType:
    """The helpers of written.py."""
    spec = importlib.util.spec_from_file_location("sweeps_written", Path(__file__).with_name("written.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def retried() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Type ``python -m fatebias.sweep retry FOLDER ...``."""

    def typed(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(FAKE), "-m", "fatebias.sweep", "retry", str(folder), *words],
            env=os.environ | {"PYTHONPATH": str(FAKE.parents[1])} | environment,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )

    return typed
