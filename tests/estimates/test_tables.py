import numpy as np
import pytest

from fatebias.errors import FitError
from fatebias.estimates.estimates import GeneEstimates
from fatebias.estimates.tables import gene_table, guide_tables, other_fates, posterior_arrays
from fatebias.inference.posterior import Moments, posterior_moments
from fatebias.inference.result import Draws
from tests.screens import small_screen


@pytest.fixture(scope="module")
def screen():
    return small_screen(300)


class Stored:
    """Draws handed out in order, with a note of how many were asked for at a time."""

    def __init__(self, screen, n_draws=500):
        rng = np.random.default_rng(0)
        shapes = [(screen.L, 2, screen.D), (screen.G, 2), (6, 2), (2, screen.D + 1)]
        self.parts = [rng.normal(1.0, 2.0, size=(n_draws, *shape)) for shape in shapes]
        self.asked: list[int] = []

    def __call__(self, n_draws):
        begin = sum(self.asked)
        self.asked.append(n_draws)
        return Draws(*(part[begin : begin + n_draws] for part in self.parts))


@pytest.mark.parametrize("across", [False, True])
def test_moments_in_chunks_are_those_of_the_whole(across):
    draws = np.random.default_rng(0).normal(3.0, 2.0, size=(1000, 4, 3))
    moments = Moments(across_last=across)
    for chunk in np.split(draws, [1, 200, 750]):
        moments.add(chunk)
    np.testing.assert_allclose(moments.mean, draws.mean(axis=0))
    np.testing.assert_allclose(moments.sd, draws.std(axis=0, ddof=1))
    if across:
        np.testing.assert_allclose(moments.covariance[2], np.cov(draws[:, 2].T))


def _gene_table(posterior, screen):
    f = screen.contrast_index
    return gene_table(posterior.theta_mean[:, f], posterior.theta_sd[:, f], screen.gene_names)


def test_chunks_are_bounded_and_add_up(screen, monkeypatch):
    monkeypatch.setattr("fatebias.inference.posterior.CHUNK_BYTES", 200_000)
    stored = Stored(screen)
    posterior = posterior_moments(stored, 500, screen.guide_gene)
    assert sum(stored.asked) == 500
    assert 2 < len(stored.asked)
    assert max(stored.asked) < 200
    np.testing.assert_allclose(posterior.theta_mean, stored.parts[0].mean(axis=0))
    np.testing.assert_allclose(posterior.theta_sd, stored.parts[0].std(axis=0, ddof=1))
    np.testing.assert_allclose(posterior.theta_joint[3, :, 1, :, 1], np.cov(stored.parts[0][:, 3, :, 1].T))
    gene = screen.guide_gene
    beta = stored.parts[0][:, gene] + stored.parts[1][..., None]
    np.testing.assert_allclose(posterior.beta_mean, beta.mean(axis=0))
    np.testing.assert_allclose(posterior.beta_sd, beta.std(axis=0, ddof=1))


def test_the_gene_table_has_exactly_the_columns_of_the_format(screen):
    posterior = posterior_moments(Stored(screen), 500, screen.guide_gene)
    table = _gene_table(posterior, screen)
    assert table.columns.tolist() == [
        "gene", "betahat_d0", "betahat_d1", "betahat_d2", "se_d0", "se_d1", "se_d2",
    ]  # fmt: skip
    assert table["gene"].tolist() == list(screen.gene_names)
    np.testing.assert_allclose(table["betahat_d1"], posterior.theta_mean[:, 0, 1])
    np.testing.assert_allclose(table["se_d2"], posterior.theta_sd[:, 0, 2])


def test_the_contrast_is_looked_up_by_name(screen):
    import dataclasses

    posterior = posterior_moments(Stored(screen), 500, screen.guide_gene)
    other = dataclasses.replace(screen, contrast=screen.fates[2])
    np.testing.assert_allclose(_gene_table(posterior, other)["betahat_d0"], posterior.theta_mean[:, 1, 0])


def test_the_guide_table_counts_cells(screen):
    tables = guide_tables(posterior_moments(Stored(screen), 500, screen.guide_gene), screen)
    table = tables[screen.contrast]
    assert table.columns.tolist()[:3] == ["guide", "gene", "cells"]
    for g in (0, 5, screen.G - 1):
        assert table["cells"][g] == (screen.guide_ids == g + 1).any(axis=1).sum()
        assert table["gene"][g] == screen.gene_names[screen.gene_of_guide[g + 1] - 1]


def test_guides_on_other_fates_are_below_each_other_with_their_fate(screen):
    posterior = posterior_moments(Stored(screen), 500, screen.guide_gene)
    tables = guide_tables(posterior, screen)
    assert list(tables) == list(screen.fates[1:])
    for f, table in enumerate(tables.values()):
        np.testing.assert_array_equal(table["betahat_d0"], posterior.beta_mean[:, f, 0])
    others = other_fates(tables, screen.contrast)
    assert set(others["fate"]) == set(screen.fates[1:]) - {screen.contrast}
    assert others.columns.tolist() == ["fate", *tables[screen.contrast].columns]
    assert len(others) == screen.G * (screen.n_fates_star - 1)
    alone = other_fates({screen.contrast: tables[screen.contrast]}, screen.contrast)
    assert len(alone) == 0
    assert alone.columns.tolist() == others.columns.tolist()


def test_the_file_of_arrays_holds_the_posterior_with_names(screen, tmp_path):
    posterior = posterior_moments(Stored(screen), 500, screen.guide_gene)
    given = GeneEstimates(posterior.theta_mean, posterior.theta_joint, posterior.theta_flip)
    np.savez(tmp_path / "posterior.npz", **posterior_arrays(posterior, given, screen))
    with np.load(tmp_path / "posterior.npz", allow_pickle=False) as saved:
        np.testing.assert_array_equal(saved["theta_mean"], posterior.theta_mean)
        assert saved["effect_fates"].tolist() == ["MES", "NEU"]
        assert saved["gene_names"].tolist() == list(screen.gene_names)


def test_a_posterior_without_spread_is_refused(screen):
    stored = Stored(screen)
    stored.parts[0][:, 2] = 1.0
    with pytest.raises(FitError, match=r"standard deviations that are not above zero(.|\n)*genes number 2"):
        posterior_moments(stored, 500, screen.guide_gene)
