"""Slurm's commands as fakes: what they print is what a test says."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable
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


@pytest.fixture
def fake_slurm(tmp_path_factory, monkeypatch) -> Callable[..., Path]:
    """Put a fake sacct, scontrol and squeue first on PATH; None is a command that fails."""

    def put(*, sacct: str | None = None, scontrol: str | None = None, squeue: str | None = None) -> Path:
        folder = tmp_path_factory.mktemp("fake slurm")
        for name, text in (("sacct", sacct), ("scontrol", scontrol), ("squeue", squeue)):
            (folder / f"{name}.txt").write_text(text or "")
            script = folder / name
            script.write_text(
                f'#!/bin/sh\necho "$@" >> "{folder}/{name}.asked"\ncat "{folder}/{name}.txt"\n'
                f"exit {int(text is None)}\n"
            )
            script.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
        return folder

    return put
