"""The soft-label likelihood and its robust errors against a published fractional multinomial logit fit."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from fatebias.estimates.sandwich import Sandwich
from fatebias.model.regression import SoftRegression

DATA = Path(__file__).parents[1] / "golden" / "fmlogit"
FATES = ["governing", "safety", "education", "recreation", "social", "urbanplanning"]
TERMS = ["minorityleft", "noleft", "houseval", "popdens", "cons"]
LOG_PSEUDO_LIKELIHOOD = -673.12025


@pytest.fixture(scope="module")
def fitted():
    """Newton's method on our value, gradient and curvature, under a prior too wide to matter."""
    cities = pd.read_csv(DATA / "citybudget.csv").assign(cons=1.0)
    cities = cities.dropna(subset=[*FATES, *TERMS])
    p = cities[FATES].to_numpy(dtype=float)
    matrix = sparse.csr_matrix(cities[TERMS].to_numpy(dtype=float))
    regression = SoftRegression(matrix, p)
    precision = 1e-10 * sparse.eye(5 * len(TERMS), format="csr")
    flat = np.zeros(5 * len(TERMS))
    for _ in range(20):
        pi = regression.probabilities(regression.logits(flat))
        slope = regression.gradient(pi) - precision @ flat
        flat = flat + np.linalg.solve(regression.information(pi) + precision.toarray(), slope)
    rows = SimpleNamespace(p=p, n_days=1, n_reps=0, n_covariates=0)
    design = SimpleNamespace(matrix=matrix, rows=rows, regression=lambda: regression)
    n = len(cities)
    return regression, Sandwich(design, flat, precision, 1.0, np.ones(n), np.arange(n))


def published() -> pd.DataFrame:
    table = pd.read_csv(DATA / "fmlogit_published.csv")
    return table[table["outcome"].str.startswith("safety")].set_index("term")


def test_log_likelihood(fitted):
    regression, cells = fitted
    assert regression.value(regression.logits(cells.flat)) == pytest.approx(LOG_PSEUDO_LIKELIHOOD, abs=6e-6)


def test_coefficients(fitted):
    _, cells = fitted
    table = published()
    ours = dict(zip(TERMS, cells.flat[: len(TERMS)], strict=True))
    assert len(table) == len(TERMS)
    for term, row in table.iterrows():
        assert ours[term] == pytest.approx(row["coef"], abs=6e-7)


def test_robust_errors(fitted):
    """Stata's n / (n - 1) in place of our own factor for followed noise."""
    _, cells = fitted
    n = len(cells.cluster)
    variance = np.diagonal(cells.robust(np.arange(len(TERMS))[None])[0]) / cells.residual_factor * n / (n - 1)
    ours = dict(zip(TERMS, np.sqrt(variance), strict=True))
    for term, row in published().iterrows():
        assert ours[term] == pytest.approx(row["robust_se"], abs=6e-7)


def test_scores_of_single_cells_are_those_of_clusters_of_one(fitted):
    regression, cells = fitted
    scores = regression.cluster_scores(cells.pi, np.arange(len(cells.cluster)))
    each = np.einsum("mf,mp->mfp", regression.surplus(cells.pi), regression.matrix.toarray())
    np.testing.assert_allclose(scores, each.reshape(len(each), -1), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(scores.sum(axis=0), regression.gradient(cells.pi), atol=1e-9)
