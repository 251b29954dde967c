"""The joint posterior over days: against the engines' own figures, by hand, and by simulation."""

import numpy as np
import pandas as pd
import pytest

from fatebias.config import DiscoveryConfig
from fatebias.discovery import calls
from fatebias.discovery.calls import any_effect, call_table, large
from fatebias.discovery.detectable import least_detectable
from fatebias.discovery.native import run_native
from fatebias.discovery.ranking import CallRule
from fatebias.mash.joint import JointPosterior, Prior, posterior_mixture


def lfsr_of(effects):
    parts = [each.above(0.0) for each in effects.mixtures()]
    up, down = (np.column_stack([part[side] for part in parts]) for side in (0, 1))
    return np.clip(1 - np.maximum(up, down), 0, 1)


@pytest.mark.parametrize("method", ["mashr", "ashr"])
def test_it_is_the_posterior_of_the_engine(golden, method):
    settings = golden.settings if method == "mashr" else {"method": "ashr"}
    bhat, shat = golden.summary.bhat, golden.summary.shat
    outcome = run_native(bhat, shat, DiscoveryConfig(engine="native", **settings))
    effects = JointPosterior(
        bhat, shat, np.eye(bhat.shape[1]) if outcome.v is None else outcome.v, outcome.priors
    )
    np.testing.assert_allclose(lfsr_of(effects), outcome.lfsr, atol=1e-9)
    mixtures = effects.mixtures()
    mean = np.column_stack([np.einsum("lp,lpd->ld", m.membership, m.mean) for m in mixtures])
    np.testing.assert_allclose(mean, outcome.postmean, atol=1e-9)


def one_component(variance, n_days=2, null=0.5):
    return Prior.of(
        np.array([null, 1 - null]), np.array([np.zeros((n_days, n_days)), variance * np.eye(n_days)])
    )


def test_two_components_by_hand():
    prior, se = one_component(3.0, 1, null=0.4), 1.0
    found = posterior_mixture(np.array([[2.0]]), np.array([[se]]), np.eye(1), prior)
    null, alive = 0.4 * np.exp(-0.5 * 4), 0.6 * np.exp(-0.5 * 4 / 4) / 2
    assert found.nothing[0] == pytest.approx(null / (null + alive))
    assert found.mean[0, 1, 0] == pytest.approx(1.5)
    assert found.covariance[0, 1, 0, 0] == pytest.approx(0.75)
    up, down = found.above(0.5)
    from scipy.stats import norm

    share = alive / (null + alive)
    assert up[0, 0] == pytest.approx(share * norm.sf(0.5, 1.5, np.sqrt(0.75)))
    assert down[0, 0] == pytest.approx(share * norm.cdf(-0.5, 1.5, np.sqrt(0.75)))


def test_log_lfsr_is_the_log_of_the_lfsr_and_continues_below_the_least_number():
    prior = Prior.of(
        np.array([0.3, 0.5, 0.2]), np.array([np.zeros((2, 2)), np.ones((2, 2)), np.diag([9.0, 0])])
    )
    bhat = np.array([[0.2, -0.1], [-3.0, 0.4], [60.0, 61.0], [-90.0, -80.0]])
    joint = JointPosterior(bhat, np.ones_like(bhat), np.array([[1, 0.4], [0.4, 1]]), (prior,))
    [mixture] = joint.mixtures()
    up, down = mixture.above(0.0)
    plain = mixture.zero + np.minimum(up, down)
    np.testing.assert_allclose(np.exp(joint.log_lfsr), plain, rtol=1e-10, atol=1e-300)
    least = joint.log_lfsr[:, 0]
    assert np.exp(least[2]) == 0
    assert least[3] < least[2] < -700


def test_an_lfsr_of_1_is_exactly_1(screen):
    """No effect is possible on day 1: rounding must not make that day the surest."""
    _, bhat, shat = screen(30, 2)
    prior = Prior.of(np.array([0.3, 0.3, 0.4]), np.array([np.diag([w, 0.0]) for w in (0.0, 0.1, 1.0)]))
    log_lfsr = JointPosterior(bhat, shat, np.eye(2), (prior,)).log_lfsr
    assert (log_lfsr <= 0).all()
    np.testing.assert_allclose(log_lfsr[:, 1], 0, atol=1e-12)


@pytest.fixture
def effects(screen):
    """Of 40 genes on 3 days, each with its own error correlation."""
    _, bhat, shat = screen(40, 3)
    rng = np.random.default_rng(2)
    v = np.stack([np.corrcoef(rng.normal(size=(3, 12))) for _ in range(40)])
    patterns = np.array([np.zeros((3, 3)), np.ones((3, 3)), np.diag([0.0, 0.5, 0.0]), 0.3 * np.eye(3)])
    return JointPosterior(bhat, shat, v, (Prior.of(np.array([0.4, 0.3, 0.1, 0.2]), patterns),))


def test_draws_have_the_moments_of_the_mixture(effects):
    [mixture] = effects.mixtures()
    n = 20_000
    draws = mixture.draw(n, np.random.default_rng(0))
    mean = np.einsum("lp,lpd->ld", mixture.membership, mixture.mean)
    second = np.einsum("lp,lpde->lde", mixture.membership, mixture.covariance) + np.einsum(
        "lp,lpd,lpe->lde", mixture.membership, mixture.mean, mixture.mean
    )
    spread = np.sqrt(np.diagonal(second, axis1=1, axis2=2))
    assert (np.abs(draws.mean(axis=0) - mean) < 5 * spread / np.sqrt(n) + 1e-12).all()
    seen = np.einsum("sld,sle->lde", draws, draws) / n
    np.testing.assert_allclose(seen, second, atol=0.05 * second.max())
    np.testing.assert_allclose((draws == 0).all(axis=2).mean(axis=0), mixture.nothing, atol=0.02)
    np.testing.assert_allclose((np.abs(draws) > 0.3).mean(axis=0), large(effects, 0.3), atol=0.02)


def test_genes_in_pieces_are_the_genes_together(effects):
    [whole], [part] = effects.mixtures(), effects.mixtures(slice(10, 20))
    np.testing.assert_allclose(part.membership, whole.membership[10:20])
    np.testing.assert_allclose(part.covariance, whole.covariance[10:20])


def table_of(effects):
    columns = {f"lfsr_d{d}": each for d, each in enumerate(lfsr_of(effects).T)}
    return pd.DataFrame({"gene": [f"g{i}" for i in range(len(effects.bhat))], **columns})


def test_time_courses_peaks_and_flips_of_effects_known_for_sure():
    truth = np.array([[1, 1, 1], [1, 0, 0], [0, 0, -1], [0, 2, 0], [1, 0, 1], [1, 1, -1.5], [0, 0, 0]], float)
    shat = np.full_like(truth, 0.01)
    pattern = np.array([np.diag(on) for on in np.ndindex(2, 2, 2)], dtype=float)
    effects = JointPosterior(truth, shat, np.eye(3), (Prior.of(np.full(8, 1 / 8), pattern),))
    table = table_of(effects)
    found = call_table(table, effects, CallRule(), 0.2, seed=0)
    assert list(found["active_days"]) == ["d0;d1;d2", "d0", "d2", "d1", "d0;d2", "d0;d1;d2", ""]
    assert list(found["n_active_days"]) == [3, 1, 1, 1, 2, 3, 0]
    assert list(found["course"][:6]) == [
        "persistent", "early", "late", "transient", "transient", "reversing",
    ]  # fmt: skip
    assert list(found["flip_days"]) == ["", "", "", "", "", "d0-d2;d1-d2", ""]
    np.testing.assert_allclose(found["p_flip"], [0, 0, 0, 0, 0, 1, 0], atol=0.05)
    assert list(found["peak_day"][1:6]) == ["d0", "d2", "d1", found["peak_day"][4], "d2"]
    np.testing.assert_allclose(found["p_peak"][[1, 2, 3, 5]], 1)
    assert found["p_any"][:6].min() > 0.99
    assert found["p_any"][6] < 0.05
    assert found.loc[:5, ["mde_d0", "mde_d1", "mde_d2"]].isna().all(axis=None)
    assert found.loc[6, ["mde_d0", "mde_d1", "mde_d2"]].notna().all()


def test_a_sign_change_makes_a_gene_reversing_where_it_is_called_and_only_there():
    """Small effects of the other sign count where they are sure; large ones do not where they are not."""
    truth = np.array([[1.3, 1.1, -1.0, -1.2], [1.3, 1.1, -0.3, -0.4], [1.0, 0.9, 0.8, -0.6]])
    shat = np.array([[0.05] * 4, [0.05] * 4, [0.05] * 3 + [0.4]])
    joint = JointPosterior(truth, shat, np.eye(4), (Prior.of(np.ones(1), np.eye(4)[None]),))
    found = call_table(table_of(joint), joint, CallRule(), 0.2, seed=0)
    assert list(found["course"][:2]) == ["reversing", "reversing"]
    assert found["course"][2] != "reversing"
    assert list(found["p_course"][:2]) == list(found["p_flip"][:2])
    assert 0.8 < found["p_flip"][2] < 0.95
    assert found["p_course"][2] < 0.5  # most draws have both signs: no course is probable


def test_many_genes_are_judged_as_few(effects, monkeypatch):
    table = table_of(effects)
    whole = call_table(table, effects, CallRule(), 0.2, seed=0)
    monkeypatch.setattr(calls, "GENES_AT_ONCE", 7)
    pieces = call_table(table, effects, CallRule(), 0.2, seed=0)
    assert (whole["active_days"] == pieces["active_days"]).all()
    np.testing.assert_allclose(whole["p_flip"], pieces["p_flip"], atol=0.06)
    np.testing.assert_allclose(whole["mde_d1"], pieces["mde_d1"])


@pytest.mark.parametrize("rule", [CallRule(), CallRule(large=0.9), CallRule(anyday="bonferroni")])
def test_the_least_detectable_effect_is_called_in_80_of_100_screens(effects, rule):
    least, lasting = least_detectable(effects, rule, eps=0.3)
    rng = np.random.default_rng(5)
    gene, day, n = 3, 1, 4000
    v, shat = effects.v[gene], effects.shat[[gene]]
    noise = rng.multivariate_normal(np.zeros(3), v, n) * shat
    alone, always = np.eye(3)[day], np.ones(3)
    for size, course, days, expected in (
        (least[gene, day], alone, [day], 0.8),
        (0.7 * least[gene, day], alone, [day], None),
        (lasting[gene], always, [0, 1, 2], 0.8),
    ):
        again = JointPosterior(noise + size * course, np.repeat(shat, n, axis=0), v, effects.priors)
        up, _ = again.mixtures()[0].above(0.0)
        called = 1 - up < rule.threshold(3)
        if rule.large is not None:
            called &= large(again, 0.3) >= rule.large
        called = called[:, days].any(axis=1)
        if expected is None:
            assert called.mean() < 0.7
        else:
            assert called.mean() == pytest.approx(expected, abs=0.03)


def test_nothing_is_detectable_where_the_prior_knows_no_effects():
    shat = np.ones((4, 2))
    prior = Prior.of(np.array([1.0]), np.zeros((1, 2, 2)))
    effects = JointPosterior(np.zeros((4, 2)), shat, np.eye(2), (prior,))
    by_day, lasting = least_detectable(effects, CallRule(), 0.2)
    assert np.isnan(by_day).all()
    assert np.isnan(lasting).all()
    np.testing.assert_array_equal(any_effect(effects), 0)
    found = call_table(table_of(effects), effects, CallRule(), 0.2, seed=0)
    np.testing.assert_array_equal(found["p_peak"], 0)


def test_an_effect_equal_on_all_days_has_no_one_peak():
    """Rounding must not choose: each of the tied days counts in equal parts."""
    truth = np.ones((1, 4))
    prior = Prior.of(np.ones(1), np.ones((1, 4, 4)))
    joint = JointPosterior(truth, np.full_like(truth, 0.1), np.eye(4), (prior,))
    found = call_table(table_of(joint), joint, CallRule(), 0.2, seed=0)
    assert found["p_peak"][0] == pytest.approx(0.25)
    assert found["course"][0] == "persistent"
