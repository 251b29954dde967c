"""Softmax against a reference fate: right for any logits, along any axis."""

import numpy as np
import pytest
from scipy.special import logsumexp, softmax

from fatebias.model.softmax import exponentials, log_total, probabilities


@pytest.mark.parametrize("n_fates", [1, 2, 5])
@pytest.mark.parametrize("axis", [0, 1])
def test_sums_and_shares_are_those_of_all_fates(n_fates, axis):
    shape = (n_fates, 40, 3) if axis == 0 else (40, n_fates, 3)
    logits = np.random.default_rng(0).normal(0, 30, shape)  # exponentials alone would overflow
    logits[(slice(None),) * axis + (0,)] += 800
    given = logits.copy()
    whole = np.concatenate([np.zeros_like(np.take(logits, [0], axis)), logits], axis)
    np.testing.assert_allclose(log_total(logits, axis), logsumexp(whole, axis), rtol=1e-14)
    np.testing.assert_allclose(
        probabilities(logits, axis), np.delete(softmax(whole, axis), 0, axis), rtol=1e-12, atol=1e-300
    )
    raised, reference, top = exponentials(logits, axis)
    np.testing.assert_allclose(raised, np.exp(logits - np.expand_dims(top, axis)), rtol=1e-12, atol=1e-300)
    np.testing.assert_allclose(reference, np.exp(-top), rtol=1e-12, atol=1e-300)
    np.testing.assert_array_equal(logits, given)
