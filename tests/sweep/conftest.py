"""Slurm's commands as fakes: what they print is what a test says."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest


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
