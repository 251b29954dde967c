"""Covariates: numbers in SDs within days, a column a category; what says nothing or is missing is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from fatebias.data.reading.summary import render_summary
from fatebias.data.synthetic import permute, subset
from fatebias.errors import ConfigError, DataError


def with_columns(parts, **columns):
    return parts.but(obs=parts.obs.assign(**columns))


UMI = np.random.default_rng(4).normal(8, 1, 36)
LANE = [f"L{i % 4 + 1}" for i in range(36)]


def test_numbers_are_in_sds_within_days_and_categories_a_column_each(parts, load):
    screen = load(with_columns(parts, log_umi=UMI, lane=LANE), covariates=["log_umi", "lane"])
    assert screen.covariate_names == ("log_umi", "lane=L1", "lane=L2", "lane=L3", "lane=L4")
    number = screen.covariates[:, 0]
    within = pd.Series(UMI).groupby(parts.obs["day"].to_numpy()).transform(lambda day: day - day.mean())
    np.testing.assert_allclose(number, within / within.std(ddof=0), atol=1e-12)
    np.testing.assert_array_equal(screen.covariates[:, 1:], pd.get_dummies(LANE).to_numpy(dtype=float))
    assert screen.summary["covariates"] == ["log_umi (a number, in SDs within days)", "lane (4 categories)"]
    lines = render_summary(screen.summary).splitlines()
    assert any(line.startswith("covariates    log_umi (a number") for line in lines)
    assert any(note.startswith("log_umi differs between most cells") for note in screen.summary["notes"])


def test_without_covariates_the_screen_is_what_it_was(parts, load):
    plain = load(parts)
    assert plain.covariates is None or plain.covariates.shape == (36, 0)
    assert plain.C == 0
    beside = load(with_columns(parts, log_umi=UMI))
    assert beside.fingerprint() == plain.fingerprint()
    assert load(with_columns(parts, log_umi=UMI), covariates=["log_umi"]).fingerprint() != plain.fingerprint()


@pytest.mark.parametrize(
    ("values", "number"),
    [
        (np.arange(36) % 4 + 1, False),  # numbered lanes
        ((np.arange(36) % 4 + 1).astype(float), False),
        (np.arange(36) * 100, True),  # detected genes
        (np.arange(36) % 4 / 10, True),  # a dose
        (pd.Categorical(np.arange(36) % 3), False),
        (np.arange(36) % 2 == 0, False),
    ],
)
def test_what_counts_as_a_number(parts, load, values, number):
    screen = load(with_columns(parts, x=values), covariates=["x"])
    assert (screen.covariate_names == ("x",)) == number


def test_a_column_of_the_covariates_in_obsm(parts, load):
    covar = parts.covar.assign(lane=LANE)
    screen = load(parts.but(covar=covar), covariates=["lane"])
    assert screen.covariate_names[0] == "lane=L1"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([np.nan, *UMI[1:]], "1 of 36 cells have no value of the covariate x"),
        ([np.inf, *UMI[1:]], "1 of 36 cells have no value of the covariate x"),
        (["NA", *LANE[1:]], "1 of 36 cells have no value"),
        (["L1"] * 36, "the covariate x says nothing\n.*\n  found: the same value in all cells, 'L1'"),
        (
            [[0.25, 0.5, 0.75][i % 3] for i in range(36)],
            "found: the same value in all cells of each",
        ),
    ],
)
def test_what_cannot_be_a_covariate(parts, load, values, message):
    with pytest.raises(DataError, match=message) as caught:
        load(with_columns(parts, x=values), covariates=["x"])
    assert "obs['x']" in str(caught.value)


def test_no_such_column(parts, load):
    with pytest.raises(
        DataError, match="the covariate 'depth' is no column(.|\n)*obs has day; obsm.*has rep"
    ):
        load(parts, covariates=["depth"])


@pytest.mark.parametrize("names", [["day"], ["rep"], ["lane", "lane"]])
def test_day_and_replicate_are_in_the_model_already(parts, load, names):
    with pytest.raises(ConfigError, match="data.covariates has a value that cannot be used"):
        load(with_columns(parts, lane=LANE), covariates=names)


def test_covariates_stay_with_their_cells(parts, load):
    screen = load(with_columns(parts, log_umi=UMI, lane=LANE), covariates=["log_umi", "lane"])
    keep = np.arange(36) % 5 != 0
    np.testing.assert_array_equal(subset(screen, keep).covariates, screen.covariates[keep])
    np.testing.assert_array_equal(permute(screen, 1).covariates, screen.covariates)


def test_numbers_are_centred_over_kept_cells(parts, load):
    guides = parts.guides.copy()
    guides.iloc[:5] = 1
    screen = load(with_columns(parts, log_umi=UMI).but(guides=guides), covariates=["log_umi"], Kmax=5)
    assert screen.N == 31
    for day in range(3):
        assert abs(screen.covariates[screen.day == day, 0].mean()) < 1e-12
