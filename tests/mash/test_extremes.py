"""Posteriors where effects are enormous, errors tiny or a grid spans nine decades, against fifty digits."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest

from fatebias.mash import JointPosterior, Prior, ash, mash

mpmath.mp.dps = 50


def exact(z, sd):
    """Return mean, SD and lfsr, in errors, of an effect whose prior is half nothing, half N(0, sd^2)."""
    z, sd = mpmath.mpf(z), mpmath.mpf(sd)
    none = mpmath.npdf(z) / 2
    some = mpmath.npdf(z, 0, mpmath.sqrt(1 + sd**2)) / 2
    share, absent = some / (none + some), none / (none + some)
    variance = sd**2 / (1 + sd**2)
    mean = variance * z
    wrong = absent + share * mpmath.ncdf(-abs(mean) / mpmath.sqrt(variance))
    return share * mean, mpmath.sqrt(share * (variance + mean**2) - (share * mean) ** 2), wrong


@pytest.mark.parametrize("z", [0.0, 1e-6, 3.0, 30.0, 1e3, 1e6, 1e9])
@pytest.mark.parametrize("sd", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("unit", [1e-6, 1.0])
def test_the_posterior_of_one_effect(z, sd, unit):
    prior = Prior.of(np.array([0.5, 0.5]), np.array([np.zeros((1, 1)), (sd * unit) ** 2 * np.ones((1, 1))]))
    joint = JointPosterior(np.array([[z * unit]]), np.array([[unit]]), np.eye(1), (prior,))
    [found] = joint.mixtures()
    mean, spread, lfsr = exact(z, sd)
    own_mean, own_sd = (float(each[0, 0]) for each in found.moments())
    left = 1e-16 * z**2  # by rounding, of the two densities' logarithms
    share = 1e-9 + min(left, 1e-3)
    assert own_mean == pytest.approx(float(mean) * unit, rel=share, abs=1e-300)
    assert own_sd == pytest.approx(float(spread) * unit, rel=1e-6 + share, abs=1e-14 * max(z, 1) * unit)
    assert float(joint.log_lfsr[0, 0]) == pytest.approx(float(mpmath.log(lfsr)), rel=1e-6, abs=1e-12 + left)


@pytest.mark.parametrize("largest", [40.0, 1e4, 1e9])
def test_one_enormous_effect_does_not_harm_the_others(largest):
    rng = np.random.default_rng(0)
    bhat, shat = rng.normal(size=(60, 3)), np.ones((60, 3))
    bhat[0] = largest
    for found in (mash(bhat, shat), ash(bhat, shat)):
        assert np.isfinite(found.mean).all()
        assert np.isfinite(found.sd).all()
        assert found.mean[0] == pytest.approx(bhat[0], rel=0.05)
        assert found.lfsr[0].max() < 1e-6
        assert found.lfsr[1:].min() > 1e-3


def test_units_do_not_matter():
    rng = np.random.default_rng(1)
    bhat, shat = rng.normal(0, 2, (40, 3)), rng.uniform(0.5, 1.5, (40, 3))
    plain, small = mash(bhat, shat), mash(1e-6 * bhat, 1e-6 * shat)
    np.testing.assert_allclose(small.lfsr, plain.lfsr, rtol=1e-6)
    np.testing.assert_allclose(small.mean, 1e-6 * plain.mean, rtol=1e-6)
