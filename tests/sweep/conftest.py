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

from tests.conftest import FAKE_RUN_PY, LIMIT_S, ROOT
from tests.warm import Warm


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
def retried(warm: Warm) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Type ``python -m fatebias.sweep retry FOLDER ...``."""

    def typed(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [str(FAKE_RUN_PY), "-m", "fatebias.sweep", "retry", str(folder), *words]
        env = os.environ | {"PYTHONPATH": str(ROOT)} | environment
        return warm.run(*command, cwd=Path.cwd(), env=env, timeout=LIMIT_S)

    return typed
