"""Thinning of the loss trace."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fatebias.errors import OutputError
from fatebias.tracking.trace import MOST_POINTS, ThinTrace, thin_trace
from tests.tracking.folders import T0, write_loss


def finished(path: Path) -> ThinTrace:
    return thin_trace(path, finished=True, planned_steps=None)


@pytest.mark.parametrize("steps", [1, 2, 1999, 2000, 2001, 3998, 3999, 4000, 10_000])
def test_a_finished_trace_has_first_last_and_evenly_spaced_points(tmp_path: Path, steps: int) -> None:
    write_loss(tmp_path, steps)
    shown = [point.step for point in finished(tmp_path / "loss_trace.csv").points]
    assert len(shown) <= MOST_POINTS
    assert len(shown) == steps or len(shown) > MOST_POINTS / 2
    assert (shown[0], shown[-1]) == (0, steps - 1)
    assert len(set(np.diff(shown[:-1]))) <= 1
    assert sorted(set(shown)) == shown


def test_every_point_keeps_its_value_and_its_time(tmp_path: Path) -> None:
    write_loss(tmp_path, 3)
    trace = finished(tmp_path / "loss_trace.csv")
    assert [(p.name, p.step, p.value, p.time_ms) for p in trace.points] == [
        ("loss", 0, 100.0, T0),
        ("loss", 1, 50.0, T0 + 7),
        ("loss", 2, 100 / 3, T0 + 14),
    ]
    assert trace.last_ms == T0 + 14


def test_what_a_running_fit_shows_is_part_of_what_the_finished_one_shows(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for planned, ended in rng.integers(1, 12_000, size=(40, 2)):
        ended = min(planned, ended)  # it may settle early
        write_loss(tmp_path, ended)
        whole = finished(tmp_path / "loss_trace.csv").points
        write_loss(tmp_path, rng.integers(0, ended + 1))
        part = thin_trace(tmp_path / "loss_trace.csv", finished=False, planned_steps=int(planned)).points
        assert set(part) <= set(whole)


def test_a_running_fit_of_unknown_length_shows_nothing_yet(tmp_path: Path) -> None:
    write_loss(tmp_path, 10)
    assert thin_trace(tmp_path / "loss_trace.csv", finished=False, planned_steps=None).points == []


def test_values_that_are_not_finite_are_counted_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "loss_trace.csv"
    path.write_text("step,loss,timestamp_ms\n0,2.0,1\n1,nan,2\n2,inf,3\n3,-inf,4\n4,1.0,5\n5,nan,6\n")
    trace = finished(path)
    assert [point.step for point in trace.points] == [0, 4]
    assert trace.n_nonfinite == 4


@pytest.mark.parametrize("tail", ["2,0.5", "2,0.5,17", "2,0.2,0.9,1", "torn\n3,1.0,9"])
def test_a_line_that_is_not_whole_waits(tmp_path: Path, tail: str) -> None:
    path = tmp_path / "loss_trace.csv"
    path.write_text(f"step,loss,timestamp_ms\n0,2.0,1\n1,1.0,2\n{tail}")
    assert [point.step for point in finished(path).points] == [0, 1]


@pytest.mark.parametrize("content", [None, "", "step,lo"])
def test_no_trace_yet(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "loss_trace.csv"
    if content is not None:
        path.write_text(content)
    assert finished(path) == ThinTrace([], 0, None)


def test_other_columns_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "loss_trace.csv"
    path.write_text("step,elbo\n0,1.0\n")
    with pytest.raises(
        OutputError, match="loss trace has other columns\n.*\n  found: step,elbo\n  allowed: step,loss,t"
    ):
        finished(path)
