"""A run's folder, with plain names and with hostile ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.report.folders import HOSTILE, write_run


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory) -> Path:
    return write_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="session")
def hostile_folder(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("hostile") / "<b>run</b> & 'more'"
    days = ("d<0>", "d&2")
    return write_run(
        root, genes=HOSTILE, days=days, fates=("<EC>", '"MES"', "NEU&co"), contrasts=("NEU&co",),
        command=("run.py", "out_dir=<i>results</i>"), warnings=("<u>loss</u> falls",),
    )  # fmt: skip
