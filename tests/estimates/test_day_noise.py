"""Noise of guides by day is found where it is, and nowhere else."""

import numpy as np
import pytest

from fatebias.estimates.day_noise import estimate_day_noise, with_day_noise
from fatebias.estimates.guide_likelihood import GuideLikelihood

FATES = ("MES", "NEU")


def guides_of(noise, *, n_genes=100, per_gene=4, n_days=4, error=0.2, seed=0):
    """Return estimates of guides with a course of their gene, a lasting deviation and noise by day."""
    rng = np.random.default_rng(seed)
    gene = np.repeat(np.arange(n_genes), per_gene)
    course = rng.normal(0, 0.5, (n_genes, 2, n_days))[gene]
    lasting = rng.normal(0, 0.3, (len(gene), 2, 1))
    own = rng.normal(size=course.shape) * np.broadcast_to(noise, (n_genes, 2))[gene, :, None]
    seen = (course + lasting + own + error * rng.normal(size=course.shape)).reshape(len(gene), -1)
    precision = np.tile(np.eye(2 * n_days) / error**2, (len(gene), 1, 1))
    return GuideLikelihood(precision, seen / error**2, np.zeros(len(gene))), gene


def found(noise, **size):
    guides, gene = guides_of(noise, **size)
    return estimate_day_noise(guides, gene, int(gene.max()) + 1, 2)


@pytest.mark.parametrize("seed", [0, 1])
def test_its_size_is_found_fate_by_fate(seed):
    sd = found(np.array([0.15, 0.0]), seed=seed).sd
    assert 0.13 < sd[0] < 0.17
    assert sd[1] < 0.03


@pytest.mark.parametrize("size", [{}, {"n_genes": 8, "per_gene": 2, "n_days": 2}], ids=["usual", "small"])
def test_none_is_none(size):
    noise = found(0.0, **size)
    assert noise.sd.max() < 0.04
    assert noise.seen


def test_it_stays_with_the_genes_that_have_it():
    noise = np.zeros((100, 2))
    noise[:10] = 0.5
    variance = found(noise).variance
    assert np.sqrt(variance[:10].mean()) > 0.4
    assert np.sqrt(np.median(variance[10:])) < 0.05


@pytest.mark.parametrize("size", [{"n_days": 1}, {"per_gene": 1}], ids=["one day", "one guide"])
def test_where_it_cannot_be_seen(size):
    noise = found(0.3, **size)
    assert not noise.seen
    assert not noise.variance.any()
    assert "cannot be estimated" in noise.summary_line(FATES)


def test_what_is_said_of_it():
    assert (
        found(np.array([0.3, 0.0])).summary_line(FATES).startswith("guides vary from day to day with SD 0.")
    )
    assert "(MES) in logits" in found(np.array([0.3, 0.0])).summary_line(FATES)
    assert "do not vary" in found(0.0).summary_line(FATES)


def test_it_adds_to_the_error_of_each_day():
    guides, gene = guides_of(0.0, n_genes=2)
    noisy = with_day_noise(guides, np.array([[0.04, 0.0], [0.09, 0.01]])[gene])
    variance = np.diagonal(np.linalg.inv(noisy.precision), axis1=1, axis2=2)
    np.testing.assert_allclose(variance[0], 0.04 + np.repeat([0.04, 0.0], 4))
    np.testing.assert_allclose(variance[-1], 0.04 + np.repeat([0.09, 0.01], 4))
