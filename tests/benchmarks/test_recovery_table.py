"""False calls with their interval, and rows of several seeds pooled."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from benchmarks.recovery_table import count_interval, pooled


def test_the_interval_of_a_count_is_garwoods():
    assert count_interval([0, 0, 0]) == pytest.approx((0.0, 3.689), abs=1e-3)
    assert count_interval([10]) == pytest.approx((4.795, 18.39), abs=1e-2)
    assert count_interval([3, 4, 3]) == pytest.approx((4.795, 18.39), abs=1e-2)


def test_counts_that_come_in_lumps_have_a_wider_interval():
    low, high = count_interval([0, 0, 0, 0, 0, 12, 0, 0, 8, 0])
    assert low < count_interval([20])[0]
    assert high > count_interval([20])[1]


def test_the_interval_covers_the_mean_of_lumpy_counts():
    rng = np.random.default_rng(0)
    covered = [
        low < 19 * 2 < high for low, high in (count_interval(4 * rng.poisson(0.5, 19)) for _ in range(400))
    ]
    assert 0.90 < np.mean(covered) < 0.99


def rows(**more):
    base = {"design": "late", "setting": "calibrated", "gene_days": 50, "called": 40, "true_calls": 38,
            "genes": 25, "called_genes": 24, "true_genes": 24, "expected_false": 0.5, "weight": 6.0,
            "rmse_mash": 0.1, "coverage": 0.95, "coverage_mash": 0.9, "auprc": 0.9, "auprc_genes": 0.9,
            "seconds": 9.0}  # fmt: skip
    return pd.DataFrame([{**base, "seed": 0, **more}, {**base, "seed": 1, "true_calls": 36, **more}])


def test_seeds_are_pooled():
    table = rows(oracle_called=45, oracle_true=44, coverage_active=0.8, coverage_null=0.99)
    row = pooled(table).loc[("late", "calibrated")]
    assert row["seeds"] == 2
    assert (row["false/called"], row["false, 95 %"]) == ("6/80", "2 to 13")
    assert row["promised"] == 1.0
    assert row["power"] == pytest.approx(74 / 100)
    assert (row["oracle"], row["oracle false"]) == (pytest.approx(0.88), "2/90")
    assert (row["active"], row["null"]) == pytest.approx((0.8, 0.99))


def test_rows_of_an_earlier_table_have_no_oracle():
    row = pooled(rows()).loc[("late", "calibrated")]
    assert np.isnan(row["oracle"])
    assert row["oracle false"] == ""
    assert np.isnan(row["active"])
