"""Patterns learnt from strong genes: principal components and extreme deconvolution."""

import numpy as np
import pytest

from fatebias.errors import DiscoveryError
from fatebias.mash import ash, canonical, mash
from fatebias.mash.deconvolution import (
    data_driven,
    extreme_deconvolution,
    penalised,
    principal_components,
    room,
)

RNG = np.random.default_rng(3)


def test_principal_components_rebuild_the_second_moment_of_rank_two_data():
    bhat = RNG.normal(size=(50, 2)) @ RNG.normal(size=(2, 4))
    patterns = principal_components(bhat)
    assert list(patterns) == ["PCA_1", "PCA_2", "tPCA"]
    np.testing.assert_allclose(patterns["tPCA"], bhat.T @ bhat / 50, atol=1e-12)
    for name in ("PCA_1", "PCA_2"):
        assert np.linalg.matrix_rank(patterns[name]) == 1
        assert np.trace(patterns[name]) == pytest.approx(1)


def test_one_component_under_equal_noise_is_the_second_moment_less_the_noise():
    """The maximum likelihood estimate in closed form: Y'Y/n - N where that is positive definite."""
    noise = np.array([[0.3, 0.1], [0.1, 0.2]])
    y = RNG.multivariate_normal([0, 0], np.array([[2.0, 0.8], [0.8, 1.0]]) + noise, size=3000)
    fitted = extreme_deconvolution(y, np.repeat(noise[None], 3000, axis=0), np.eye(2)[None])
    np.testing.assert_allclose(fitted.covariances[0], y.T @ y / 3000 - noise, atol=0.01)
    assert fitted.weights == pytest.approx([1.0])


def test_two_components_behind_uneven_noise_are_told_apart():
    n = 4000
    scale = RNG.uniform(0.1, 0.5, (n, 2))
    noise = scale[:, :, None] * np.eye(2) * scale[:, None, :]
    truth = np.array([[[4.0, 3.8], [3.8, 4.0]], [[1.0, -0.9], [-0.9, 1.0]]])
    which = (RNG.random(n) < 0.3).astype(int)
    y = np.array([RNG.multivariate_normal([0, 0], truth[k]) for k in which]) + scale * RNG.normal(size=(n, 2))
    start = np.stack([[[2.0, 1], [1, 2]], [[2.0, -1], [-1, 2]]])
    fitted = extreme_deconvolution(y, noise, start)
    np.testing.assert_allclose(fitted.weights, [0.7, 0.3], atol=0.04)
    np.testing.assert_allclose(fitted.covariances, truth, atol=0.35)


def test_rank_of_the_start_is_kept_and_a_lost_component_stays():
    y = np.array([[5.0, 5.0], [-4.0, -4.0], [3.0, 3.1]])
    start = np.stack([np.ones((2, 2)), 1e-300 * np.eye(2)])
    fitted = extreme_deconvolution(y, np.repeat(1e-3 * np.eye(2)[None], 3, axis=0), start)
    assert np.linalg.matrix_rank(fitted.covariances[0], tol=1e-8) == 1
    np.testing.assert_array_equal(fitted.covariances[1], start[1])
    assert fitted.weights[1] == 0


def test_data_driven_patterns_are_positive_definite_and_named_as_in_r():
    bhat = RNG.normal(size=(30, 1)) * [1, 1, -1] + 0.05 * RNG.normal(size=(30, 3))
    shat = np.full((30, 3), 0.05)
    patterns = data_driven(bhat, shat, np.eye(3))
    assert list(patterns) == ["ED_PCA_1", "ED_PCA_2", "ED_tPCA"]
    for u in patterns.values():
        assert np.linalg.eigvalsh(u)[0] >= 1 / np.sqrt(30) - 1e-9
    u = patterns["ED_PCA_1"] - np.eye(3) / np.sqrt(30)
    np.testing.assert_allclose(np.sign(u), [[1, 1, -1], [1, 1, -1], [-1, -1, 1]])


def two_shared_effects(rng, n_genes, unit=1.0):
    """Eight conditions; half of the genes have one effect on the first three, half on the others.

    The design of Xie's maskedmash (analysis/mashFIX) for mashr's issue 91, with 500 genes of each kind.
    """
    first = np.array([1, 1, 1, 0, 0, 0, 0, 0])
    kinds = np.repeat([first, 1 - first], n_genes // 2, axis=0)
    effects = unit * np.sqrt(3) * rng.normal(size=(n_genes, 1)) * kinds
    shat = np.full((n_genes, 8), unit)
    return effects, effects + shat * rng.normal(size=effects.shape), shat


def false_share(effects, lfsr):
    return (effects[lfsr < 0.05] == 0).mean()


def test_mended_patterns_of_rank_one_call_conditions_without_an_effect_rarely():
    effects, bhat, shat = two_shared_effects(np.random.default_rng(0), 500)
    strong = ash(bhat, shat).lfsr.min(axis=1) < 0.1
    bare = {name: u - np.eye(8) / np.sqrt(strong.sum()) for name, u in learnt(bhat, shat, strong).items()}
    without = mash(bhat, shat, covariances=canonical(8) | bare)
    mended = mash(bhat, shat, covariances="datadriven", rank_one="mend")
    assert false_share(effects, without.lfsr) > 0.2
    assert false_share(effects, mended.lfsr) < 0.05
    found, bound = ((each.lfsr < 0.05)[effects != 0].mean() for each in (mended, without))
    assert found > 0.9 * bound


def learnt(bhat, shat, strong, **rank_one):
    return data_driven(bhat[strong], shat[strong], np.eye(bhat.shape[1]), **rank_one)


def test_mended_patterns_know_no_units():
    """What mashr adds, 1 / sqrt(n), is a large variance where effects are in logits."""
    _, bhat, shat = two_shared_effects(np.random.default_rng(1), 120)
    one = mash(bhat, shat, covariances="datadriven", rank_one="mend")
    tenth = mash(bhat / 10, shat / 10, covariances="datadriven", rank_one="mend")
    np.testing.assert_allclose(tenth.lfsr, one.lfsr, atol=1e-3)


def test_room_is_that_of_issue_91_where_errors_are_1_and_an_empty_pattern_is_left_out():
    rng = np.random.default_rng(4)
    np.testing.assert_allclose(room(np.ones((40, 3)), 0.25), 2 / np.sqrt(10) * np.eye(3))
    bhat = rng.normal(size=(30, 1)) * [1, 1, -1] + 0.05 * rng.normal(size=(30, 3))
    patterns = data_driven(bhat, np.full((30, 3), 0.05), np.eye(3), "mend")
    assert set(patterns) <= {"ED_PCA_1", "ED_PCA_2", "ED_tPCA"}
    for u in patterns.values():
        assert np.linalg.eigvalsh(u)[0] >= 2 * 0.05**2 / np.sqrt(30) - 1e-12
    with pytest.raises(DiscoveryError, match=r"unknown rank_one[\s\S]*found: x[\s\S]*allowed: keep, mend"):
        mash(bhat, np.ones_like(bhat), rank_one="x")


def test_penalised_patterns_of_few_genes_have_full_rank_and_know_no_units():
    rng = np.random.default_rng(4)
    bhat = rng.normal(size=(6, 1)) * [1, 0.6, 0.35, 0.2] + 0.1 * rng.normal(size=(6, 4))
    shat = np.full((6, 4), 0.1)
    patterns = penalised(bhat, shat, np.eye(4))
    assert list(patterns) == ["UD_PCA_1", "UD_PCA_2", "UD_tPCA"]
    tenth = penalised(bhat / 10, shat / 10, np.eye(4))
    for name, u in patterns.items():
        values = np.linalg.eigvalsh(u)
        assert values[0] > 1e-3 * values[-1]
        np.testing.assert_allclose(100 * tenth[name], u, rtol=1e-6, atol=1e-9)


def test_the_penalty_draws_eigenvalues_together_as_its_closed_form_says():
    """One covariance, hardly any noise: U solves (n + p) U = Y'Y + p s2 I with s2 = D / tr U^-1."""
    rng = np.random.default_rng(4)
    y = rng.normal(size=(50, 3)) * [2.0, 1.0, 0.5]
    fitted = extreme_deconvolution(
        y, np.repeat(1e-8 * np.eye(3)[None], 50, axis=0), np.eye(3)[None], penalty=10
    )
    [u] = fitted.covariances
    s2 = 3 / np.trace(np.linalg.inv(u))
    np.testing.assert_allclose(u, (y.T @ y + 10 * s2 * np.eye(3)) / 60, rtol=2e-3, atol=2e-3)


def test_effects_in_proportions_that_no_pattern_has_are_learnt():
    rng = np.random.default_rng(2)
    v = np.full((4, 4), 0.8) + 0.2 * np.eye(4)
    effects = np.zeros((80, 4))
    effects[:20] = rng.uniform(0.3, 0.8, (20, 1)) * rng.choice([-1, 1], (20, 1)) * [1, 0.6, 0.35, 0.2]
    bhat, shat = effects + 0.12 * rng.multivariate_normal(np.zeros(4), v, 80), np.full((80, 4), 0.12)
    found = {}
    for covariances in ("days", "learnt"):
        lfsr = mash(bhat, shat, v=v, covariances=covariances).lfsr
        found[covariances] = (lfsr < 0.05)[effects != 0].mean()
        assert not (lfsr < 0.05)[effects == 0].any()
    assert found["learnt"] > found["days"] + 0.2


def test_correlated_errors_of_each_gene_are_taken_out():
    """Errors equal on both days look like a shared effect unless their correlation is known."""
    shat = np.ones((400, 2))
    v = np.array([[1.0, 0.95], [0.95, 1.0]])
    bhat = RNG.multivariate_normal([0, 0], v + 4 * np.eye(2), size=400)
    for known in (v, np.repeat(v[None], 400, axis=0)):
        patterns = data_driven(bhat, shat, known)
        assert abs(patterns["ED_tPCA"][0, 1]) < 0.5
    assert data_driven(bhat, shat, np.eye(2))["ED_tPCA"][0, 1] > 0.6
