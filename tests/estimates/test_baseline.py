"""Effects against the average gene: an exact projection, taken only where NTC guides say too little."""

import numpy as np
import pytest

from fatebias.estimates.baseline import choose_baseline
from fatebias.estimates.theta_covariance import ThetaCovariance


def genes(level_sd, n_genes=5, n_fates=2, n_days=3, seed=0):
    """Return effects whose errors have a common part."""
    rng = np.random.default_rng(seed)
    width = n_genes * n_fates * n_days
    root = 0.1 * rng.normal(size=(width, width))
    common = np.tile(level_sd * np.eye(n_fates * n_days), (n_genes, 1))
    effects = 1e-3 * rng.normal(size=(n_genes, n_fates, n_days))  # of no gene beyond the errors
    return effects, root @ root.T / width + common @ common.T


def test_the_average_leaves_estimates_and_covariance_exactly():
    theta, covariance = genes(0.7)
    found = choose_baseline(theta, ThetaCovariance.of_matrix(covariance, len(theta)), "genes", n_ntc=4)
    centring = np.kron(np.eye(5) - 1 / 5, np.eye(6))
    whole = centring @ covariance @ centring.T
    np.testing.assert_allclose(found.mean.ravel(), centring @ theta.ravel(), atol=1e-12)
    for gene in range(5):
        own = slice(6 * gene, 6 * gene + 6)
        np.testing.assert_allclose(found.covariance[gene].reshape(6, 6), whole[own, own], atol=1e-12)
    np.testing.assert_allclose(found.mean + found.level, theta)
    assert found.notes == (
        "effects are against the average of the 5 of 5 genes that differ least, not against NTC cells: "
        "as export.baseline=genes asks",
    )


def test_a_few_strong_effects_of_one_sign_do_not_move_the_others():
    theta, covariance = genes(0.7, n_genes=12)
    theta[:3] -= 2.0
    found = choose_baseline(theta, ThetaCovariance.of_matrix(covariance, len(theta)), "genes", n_ntc=4)
    quiet = theta[3:].mean(axis=0)
    np.testing.assert_allclose(found.mean, theta - quiet)
    assert "9 of 12 genes" in found.notes[0]
    weights = np.repeat([0.0, 1 / 9], [3, 9])
    centring = np.kron(np.eye(12) - np.ones((12, 1)) * weights, np.eye(6))
    whole = centring @ covariance @ centring.T
    for gene in range(12):
        own = slice(6 * gene, 6 * gene + 6)
        np.testing.assert_allclose(found.covariance[gene].reshape(6, 6), whole[own, own], atol=1e-12)


def test_half_of_the_genes_define_the_level_where_most_have_effects():
    theta, covariance = genes(0.7, n_genes=12)
    theta += np.arange(12)[:, None, None]
    found = choose_baseline(theta, ThetaCovariance.of_matrix(covariance, len(theta)), "genes", n_ntc=4)
    assert "6 of 12 genes" in found.notes[0]


@pytest.mark.parametrize(("level_sd", "against_genes"), [(0.7, True), (0.02, False)])
def test_auto_decides_by_what_the_level_adds(level_sd, against_genes):
    theta, covariance = genes(level_sd)
    found = choose_baseline(theta, ThetaCovariance.of_matrix(covariance, len(theta)), "auto", n_ntc=4)
    assert (found.level != 0).all() == against_genes
    assert bool(found.notes) == against_genes
    if not against_genes:
        np.testing.assert_array_equal(found.mean, theta)


def test_a_level_that_is_surely_there_is_not_taken_away():
    """Genes that all push the same way: few NTC guides leave an error, but no doubt."""
    theta, covariance = genes(0.7)
    found = choose_baseline(theta + 5.0, ThetaCovariance.of_matrix(covariance, len(theta)), "auto", n_ntc=4)
    np.testing.assert_array_equal(found.mean, theta + 5.0)
    assert not found.against_genes
    assert "against NTC cells although 4 NTC guides say little" in found.notes[0]
    assert "+5.0" in found.notes[0]
    covariance = ThetaCovariance.of_matrix(covariance, len(theta))
    assert choose_baseline(theta + 2.0, covariance, "auto", n_ntc=4).against_genes


@pytest.mark.parametrize(("asked", "n_genes"), [("ntc", 5), ("genes", 1)])
def test_nothing_changes_where_it_is_not_asked_for_or_makes_no_sense(asked, n_genes):
    theta, covariance = genes(0.7, n_genes)
    found = choose_baseline(theta, ThetaCovariance.of_matrix(covariance, len(theta)), asked, n_ntc=4)
    np.testing.assert_array_equal(found.mean, theta)
    np.testing.assert_array_equal(found.covariance[0].reshape(6, 6), covariance[:6, :6])
    assert not found.level.any()


@pytest.mark.parametrize(
    ("n_ntc", "why"),
    [
        (0, "the screen has no NTC guides"),
        (2, "2 NTC guides say too little of the level that all genes share"),
    ],
)
def test_the_note_says_whether_there_are_ntc_guides(n_ntc, why):
    theta, covariance = genes(0.7)
    found = choose_baseline(theta, ThetaCovariance.of_matrix(covariance, len(theta)), "auto", n_ntc)
    assert found.notes[0].partition("not against NTC cells: ")[2].startswith(why)
