"""stages=[check]: what is said, and that nothing is written."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from fatebias.config import Config, DataConfig
from fatebias.errors import ConfigError, DataError
from fatebias.run.look import cost, look

RUN_PY = Path(__file__).parents[2] / "run.py"


def test_a_look_tells_the_screen_and_the_size_of_a_fit():
    said = look(Config(stages=["check"]))
    assert "8,000 of 8,000" in said
    assert "60, cells a gene 157 to 345" in said
    # theta 60 x 4, delta 240, alpha 4, b 2, gamma: for two fates
    assert f"{2 * (60 * 4 + 240 + 4 + 2 + 1):,} unknowns" in said
    assert "nothing was fitted or written" in said


# Genes, numbers in the design, and seconds and GB of the whole command (benchmarks/README.md, two cores)
MEASURED = [
    (60, 59_000, 22.9, 0.87),
    (300, 776_000, 47, 1.16),
    (2_000, 4_500_000, 269, 5.05),
    (300, 7_900_000, 257, 3.9),
]


@pytest.mark.parametrize(("genes", "entries", "seconds", "gigabytes"), MEASURED)
def test_the_cost_told_is_near_what_was_measured(genes, entries, seconds, gigabytes):
    told = cost(genes, entries)
    assert told[0] == pytest.approx(seconds, rel=1 / 3)
    assert told[1] == pytest.approx(gigabytes, rel=1 / 3)


def test_a_look_refuses_what_a_fit_would(tmp_path):
    data = replace(DataConfig(), fates=["EC", "MES", "CM"], contrast_fate="MES")
    with pytest.raises(DataError, match="NEU"):
        look(Config(data=data, stages=["check"]))


def test_a_check_goes_alone():
    with pytest.raises(ConfigError, match="by itself"):
        Config(stages=["check", "fit"])


def test_typed_it_leaves_no_file(terminal, tmp_path):
    done = terminal("stages=[check]")
    assert done.returncode == 0, done.stderr
    assert "cells collapse into" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_whoever_stops_reading_gets_no_run_instead(tmp_path):
    """``| head``: Hydra took the broken pipe for a warning, and ran the pipeline."""
    read, write = os.pipe()
    os.close(read)
    with open(write, "wb") as nobody:
        command = [sys.executable, "-u", str(RUN_PY), "stages=[check]"]
        done = subprocess.run(command, cwd=tmp_path, stdout=nobody, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 128 + signal.SIGPIPE, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_files_may_be_named_from_the_home_folder(terminal, tmp_path):
    done = terminal("stages=[check]", "data.adata_path='~/none.h5ad'", HOME="/home/of-a-test")
    assert done.returncode == 1
    assert "where: /home/of-a-test/none.h5ad" in done.stderr


def test_it_is_no_sweep(terminal, tmp_path):
    done = terminal("-m", "stages=[check]", "seed=0,1")
    assert done.returncode == 1
    assert "leave out -m" in done.stderr
    assert list(tmp_path.iterdir()) == []
