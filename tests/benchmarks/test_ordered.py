"""Tables of estimates as they are meant, and what is counted of them."""

from __future__ import annotations

import argparse

import numpy as np
import pytest

from benchmarks import ordered
from benchmarks.ordered import EFFECTS, Count, draw_table, markdown, score, tail_rate

TIMES = np.array([0.0, 1.0, 3.0, 7.0])


def test_a_quarter_of_genes_has_effects_of_the_sizes_given():
    for design, (course, (low, high)) in EFFECTS.items():
        _, theta = draw_table(design, TIMES, seed=0)
        size = np.abs(theta).max(axis=1)
        assert (size > 0).sum() == (0 if course is None else 25), design
        assert (size[size > 0] >= low).all(), design
        assert (size <= high).all(), design


def test_errors_scatter_as_they_are_said_to():
    tables = [draw_table("none", TIMES, seed)[0] for seed in range(30)]
    errors = np.concatenate([each.bhat for each in tables])
    np.testing.assert_allclose(np.cov(errors.T), tables[0].covariance[0], rtol=0.1)


def test_a_rise_goes_with_time_and_not_with_the_number_of_the_day():
    _, theta = draw_table("rise or fall", TIMES, seed=1)
    shares = np.abs(theta[:25]) / np.abs(theta[:25]).max(axis=1, keepdims=True)
    rise, fall = TIMES / 7, 1 - TIMES / 7
    near = [np.isclose(shares, course).all(axis=1).sum() for course in (rise, fall)]
    assert sum(near) == 25
    assert min(near) > 0


def test_tail_rates_average_those_that_are_surer():
    np.testing.assert_allclose(tail_rate(np.array([0.3, 0.0, 0.06])), [0.12, 0.0, 0.03])


def test_a_cell_has_false_of_called_what_was_promised_and_power():
    count = Count()
    there, called = np.array([True, True, False, False]), np.array([True, False, True, False])
    count.add(there, called, np.array([True, True, False, True]), np.array([0.01, 0.5, 0.04, 0.5]))
    assert count.cell == "1/2 (0.05) 0.50"
    assert Count().cell == "0/0 (0)"
    rows = markdown({"none": {"days": Count().cell}}).splitlines()
    assert rows == ["| effects, logits | days |", "| --- | --- |", "| none | 0/0 (0) |"]


def test_flips_are_found_by_their_own_patterns_and_not_by_smooth_ones(monkeypatch):
    few = ("days", "smooth", "fash, order 1")
    monkeypatch.setattr(ordered, "PRIORS", {name: ordered.PRIORS[name] for name in few})
    found = score(["sign flips, weak"], np.arange(4.0), n_tables=2)["sign flips, weak"]
    days, smooth, fash = (found[name].effects for name in few)
    assert days.true == 200
    assert days.right > smooth.right + 20
    # without a null of no effect, every gene's error on the common level is an effect
    assert fash.called - fash.right > 20 * (days.called - days.right + 1)
    assert found["fash, order 1"].change.right >= 0.9 * found["days"].change.right


@pytest.mark.parametrize("word", ["3", "0,2,1"])
def test_times_out_of_order_are_refused(word):
    with pytest.raises(argparse.ArgumentTypeError, match="two or more times in order"):
        ordered._times(word)
