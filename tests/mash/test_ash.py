"""Day by day: the univariate case of mash."""

import numpy as np
import pytest

from fatebias.mash import ash, mash
from fatebias.mash.univariate import q_values


def test_one_day_of_ash_is_mash_of_one_day(screen):
    _, bhat, shat = screen(150, 1)
    day = ash(bhat, shat)
    joint = mash(bhat, shat)
    np.testing.assert_allclose(day.mean, joint.mean, atol=1e-6)
    np.testing.assert_allclose(day.lfsr, joint.lfsr, atol=1e-6)
    assert day.loglik == pytest.approx(joint.loglik, abs=1e-6)


def test_days_do_not_speak_to_each_other(screen):
    _, bhat, shat = screen(100, 3)
    together = ash(bhat, shat)
    assert together.mean.shape == together.qvalue.shape == (100, 3)
    np.testing.assert_array_equal(together.qvalue, q_values(together.zero))
    alone = ash(bhat[:, [1]], shat[:, [1]])
    np.testing.assert_array_equal(together.lfsr[:, [1]], alone.lfsr)
    days = [ash(bhat[:, [d]], shat[:, [d]]) for d in range(3)]
    assert set(together.pi) == {
        f"d{d}.{name.removeprefix('d0.')}" for d, day in enumerate(days) for name in day.pi
    }


def test_q_values_average_the_surer_half():
    lfdr = np.array([[0.5, 0.0], [0.1, 0.0], [0.3, 1.0]])
    np.testing.assert_allclose(q_values(lfdr), [[0.3, 0.0], [0.1, 0.0], [0.2, 1 / 3]])


def test_nulls_are_not_called_and_effects_are(screen):
    effects, bhat, shat = screen(500, 1, size=2.0)
    fit = ash(bhat, shat)
    called = fit.lfsr < 0.05
    assert (called & (effects == 0)).sum() <= 0.05 * called.sum()
    assert called.sum() > 0.6 * (effects != 0).sum()
