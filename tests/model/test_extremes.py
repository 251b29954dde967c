"""The likelihood where probabilities and logits are extreme, against fifty digits."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest

from fatebias.model.regression import SoftRegression
from fatebias.model.softmax import log_total, probabilities

mpmath.mp.dps = 50


def exact(logits, p, count):
    """Return the log-likelihood and its derivative in the logits of one row."""
    raised = [mpmath.e ** mpmath.mpf(float(each)) for each in logits]
    total = 1 + mpmath.fsum(raised)
    value = mpmath.fsum(float(a) * mpmath.mpf(float(b)) for a, b in zip(p[1:], logits, strict=True))
    value -= float(count) * mpmath.log(total)
    slope = [float(a) - float(count) * each / total for a, each in zip(p[1:], raised, strict=True)]
    return value, slope


@pytest.mark.parametrize("size", [1e-6, 1.0, 20.0, 700.0, 1e4])
def test_sums_and_shares_at_any_logits(size):
    rng = np.random.default_rng(0)
    logits = size * np.concatenate([rng.normal(size=(50, 2)), np.eye(2), -np.eye(2), -np.ones((1, 2))])
    for row, total, pi in zip(logits, log_total(logits), probabilities(logits), strict=True):
        raised = [mpmath.e ** mpmath.mpf(float(each)) for each in row]
        whole = 1 + mpmath.fsum(raised)
        assert float(mpmath.log(whole)) == pytest.approx(total, rel=1e-14, abs=1e-15)
        for each, share in zip(raised, pi, strict=True):
            assert float(each / whole) == pytest.approx(share, rel=1e-10, abs=1e-300)


@pytest.mark.parametrize(
    "p",
    [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [1 - 2e-8, 1e-8, 1e-8], [1e-8, 1 - 2e-8, 1e-8]],
    ids=["one-hot", "one-hot reference", "1e-8", "1e-8 for the reference"],
)
@pytest.mark.parametrize("logit", [0.0, 20.0, -20.0])
@pytest.mark.parametrize("count", [1.0, 1e6])
def test_value_and_slope_of_hard_labels(p, logit, count):
    """A cell, or a million alike, whose fate the model is sure of, rightly or wrongly."""
    given = count * np.array([p])
    regression = SoftRegression(np.ones((1, 1)), given)
    logits = np.array([[logit, -logit / 2]])
    value, slope = exact(logits[0], given[0], given.sum())
    assert regression.value(logits) == pytest.approx(float(value), rel=1e-13, abs=1e-9 * count)
    found = regression.surplus(regression.probabilities(logits))[0]
    np.testing.assert_allclose(found, [float(each) for each in slope], rtol=1e-9, atol=1e-15 * count)
