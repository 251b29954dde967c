"""Genes taken as nearly independent: each part against dense matrices, and where it must not be used."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from fatebias.config import AUTO, Config, DataConfig, ModelConfig, PriorsConfig, SimulateConfig
from fatebias.data.screen import centre_burden
from fatebias.data.simulation.simulate import simulate_screen
from fatebias.data.synthetic import subset
from fatebias.estimates.likelihood_weight import information_weight
from fatebias.estimates.sandwich import fit_broad, linearise
from fatebias.estimates.theta_covariance import theta_covariance
from fatebias.inference import curvature
from fatebias.inference.bordered import Bordered, Places
from fatebias.inference.by_gene import ByGene
from fatebias.inference.dense import Dense
from fatebias.inference.laplace import InitialValues, fit_laplace
from fatebias.inference.scale_posterior import integrate_scales
from fatebias.model.design_matrix import design_of

PRIORS = PriorsConfig()


def simulated(**settings):
    given = {"n_cells": 6000, "n_genes": 40, "guides_per_gene": 3, "n_ntc_guides": 12, "moi": 2.5, **settings}
    return simulate_screen(SimulateConfig(**given), DataConfig(), PRIORS)[0]


@pytest.fixture(scope="module")
def screen():
    return simulated()


@pytest.fixture(scope="module", params=["random", "centred"])
def point(request, screen):
    """A design, a likelihood and probabilities anywhere, and the whole precision there."""
    design = design_of(screen, ModelConfig(guide_effects=request.param))
    likelihood = design.regression(3.0)
    flat = np.random.default_rng(0).normal(0, 0.5, design.size)
    pi = likelihood.probabilities(likelihood.logits(flat))
    prior = design.prior_precision(PRIORS, np.full((design.rows.n_effects, design.rows.n_days + 1), 6.0))
    return design, likelihood, pi, prior


def test_blocks_are_those_of_the_whole_information(point):
    design, likelihood, pi, _ = point
    places = Places.of(design, "cpu")
    whole = np.pad(likelihood.information(pi), ((0, 1), (0, 1)))
    gene, shared = places.gene.numpy(), places.shared.numpy()
    blocks, border, common = design.information.at(likelihood.bend(pi))
    np.testing.assert_allclose(blocks, whole[gene[:, :, None], gene[:, None, :]], atol=1e-9)
    np.testing.assert_allclose(border, whole[gene[:, :, None], shared], atol=1e-9)
    np.testing.assert_allclose(common, whole[np.ix_(shared, shared)], atol=1e-9)


def test_products_with_the_information_are_those_of_the_whole(point):
    design, likelihood, pi, _ = point
    vectors = np.random.default_rng(1).normal(size=(design.size, 3))
    found = likelihood.squares_times(likelihood.bend(pi), vectors)
    np.testing.assert_allclose(found, likelihood.information(pi) @ vectors, atol=1e-8)


def test_the_approximation_is_the_matrix_that_it_says(point):
    """Put together from its factor, it has the blocks given; what it solves and draws is of that matrix."""
    design, likelihood, pi, prior = point
    places = Places.of(design, "cpu")
    blocks, border, common = places.put(*design.information.at(likelihood.bend(pi)))
    own, fixed = places.of_prior(prior)
    bordered = Bordered.of_parts(blocks + own, border, common + fixed, places)
    eye = torch.eye(design.size, dtype=torch.float64)
    white = places.join(*(each[0] for each in bordered.whiten(*(p[None] for p in places.split(eye)))))
    matrix = (white.T @ white).numpy()
    whole = likelihood.information(pi) + prior.toarray()
    gene, shared = places.gene.numpy()[0], places.shared.numpy()
    np.testing.assert_allclose(matrix[np.ix_(gene, gene)], whole[np.ix_(gene, gene)], atol=1e-8)
    np.testing.assert_allclose(matrix[np.ix_(gene, shared)], whole[np.ix_(gene, shared)], atol=1e-8)
    assert float(bordered.log_volume[0]) == pytest.approx(0.5 * np.linalg.slogdet(matrix)[1])
    vectors = torch.from_numpy(np.random.default_rng(2).normal(size=(design.size, 2)))
    parts = tuple(each[None] for each in places.split(vectors))
    solved = places.join(*(each[0] for each in bordered.solve(*parts))).numpy()
    np.testing.assert_allclose(matrix @ solved, vectors.numpy(), atol=1e-8)
    back = bordered.colour(*bordered.whiten(*parts))
    np.testing.assert_allclose(back[0], parts[0], atol=1e-10)
    inverse = np.linalg.inv(matrix)
    found = bordered.covariances()[0].numpy()
    np.testing.assert_allclose(found[0], inverse[np.ix_(gene, gene)], atol=1e-10)
    _, of_shared = bordered.variances()
    np.testing.assert_allclose(of_shared[0], inverse.diagonal()[shared], rtol=1e-8)
    meat = matrix + np.diag(np.linspace(1, 2, design.size))
    given = [torch.from_numpy(meat[np.ix_(g, g)]) for g in places.gene.numpy()]
    edge = [torch.from_numpy(meat[np.ix_(g, shared)]) for g in places.gene.numpy()]
    inner = torch.from_numpy(meat[np.ix_(shared, shared)])
    between = bordered.sandwich(torch.stack(given), torch.stack(edge), inner)[0].numpy()
    assert np.abs(between - (inverse @ meat @ inverse)[np.ix_(gene, gene)]).max() < 0.02 * between.max()


@pytest.fixture(scope="module")
def both(screen):
    """The fit with a dense precision, and the same with genes nearly independent."""
    design = design_of(screen, ModelConfig())
    fits = {}
    for name, limit in (("dense", 10**9), ("by gene", 0)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(curvature, "MANY_EFFECTS", limit)
            start = None
            if fits:
                held = np.ones_like(fits["dense"].scale_precision, dtype=bool)
                start = InitialValues(fits["dense"].scale_precision, held)
            fits[name] = fit_laplace(design, PRIORS, likelihood_weight=20.0, start=start)
    assert isinstance(fits["dense"].curvature, Dense)
    assert isinstance(fits["by gene"].curvature, ByGene)
    return design, fits["dense"], fits["by gene"]


def test_under_given_scales_the_fits_agree(both):
    design, dense, by_gene = both
    sd = np.sqrt(torch.cholesky_inverse(dense.factor).diagonal().numpy())
    assert np.abs((by_gene.mean - dense.mean) / sd).max() < 0.01
    # without the second term it is off by this much
    second = by_gene.curvature.coupling * design.size / 4
    assert by_gene.curvature.log_volume == pytest.approx(dense.curvature.log_volume, abs=0.3 * second)
    np.testing.assert_allclose(
        by_gene.curvature.prior_share(), dense.curvature.prior_share(), atol=0.05, rtol=0.1
    )
    ours, theirs = by_gene.curvature.scale_squares(), dense.curvature.scale_squares()
    np.testing.assert_allclose(ours, theirs, rtol=0.03)
    np.testing.assert_allclose(by_gene.curvature.factor, dense.factor, atol=1e-2 * float(dense.factor.max()))
    vector = np.random.default_rng(3).normal(size=design.size)
    np.testing.assert_allclose(
        by_gene.curvature.solve(vector), dense.curvature.solve(vector), atol=1e-4 * np.abs(vector).max()
    )


def test_the_search_finds_scales_as_probable(screen):
    design = design_of(screen, ModelConfig())
    evidence = {}
    for limit in (10**9, 0):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(curvature, "MANY_EFFECTS", limit)
            found = fit_laplace(design, PRIORS)
            assert found.converged
            patch.setattr(curvature, "MANY_EFFECTS", 10**9)
            held = np.ones_like(found.scale_precision, dtype=bool)
            again = fit_laplace(design, PRIORS, start=InitialValues(found.scale_precision, held, found.mean))
            evidence[limit] = again.log_evidence[-1]
    assert evidence[0] == pytest.approx(evidence[10**9], abs=1.0)


@pytest.mark.parametrize("rough", [False, True])
def test_effects_with_scales_integrated_out_agree(both, rough):
    design, dense, by_gene = both
    exact = integrate_scales(design, dense, PRIORS, 20.0, 4000, seed=0)
    found = integrate_scales(design, by_gene, PRIORS, 20.0, 4000, seed=0, rough=rough)
    ratio = found.moves.std(axis=0) / exact.moves.std(axis=0)
    for index in (design.theta_index, design.delta_index):
        assert np.median(ratio[index]) == pytest.approx(1, abs=0.01)
        np.testing.assert_allclose(ratio[index], 1, atol=0.1)  # 4,000 draws each, 1.6 % a ratio
    if not rough:
        np.testing.assert_allclose(ratio[design.shared_index], 1, atol=0.06)
    assert found.points_used > 0.5 * len(found.weight)
    scale = [each.log_scale[each.point].std(axis=0) for each in (found, exact)]
    np.testing.assert_allclose(*scale, rtol=0.2)


def test_common_directions_make_draws_those_of_the_whole_precision(both):
    design, _, by_gene = both
    noise, exact = by_gene.curvature.noise, torch.cholesky_inverse(by_gene.factor).numpy()
    eye = torch.eye(design.size, dtype=torch.float64)
    root = noise.colour(eye).numpy()
    covariance = root @ root.T
    ratio = np.sqrt(np.diag(covariance) / np.diag(exact))
    np.testing.assert_allclose(ratio, 1, atol=0.02)
    # what all genes have in common, and shared effects: far off where genes are taken as independent
    level = np.zeros((design.size, design.theta_index[0].size))
    level[design.theta_index.reshape(design.rows.n_genes, -1), np.arange(level.shape[1])] = 1
    along = np.column_stack([level, np.eye(design.size)[:, design.shared_index.ravel()]])
    spread = [np.sqrt(np.einsum("pn,pq,qn->n", along, each, along)) for each in (covariance, exact)]
    np.testing.assert_allclose(*spread, rtol=0.03)
    assert noise.log_volume == pytest.approx(-0.5 * np.linalg.slogdet(covariance)[1])
    own = noise.covariances().numpy()
    for gene, block in zip(own, design.block_index, strict=True):
        np.testing.assert_allclose(gene, covariance[np.ix_(block, block)], atol=1e-10)


def test_a_gene_s_own_precision_is_the_block_of_the_whole(both):
    design, _, by_gene = both
    whole = (by_gene.factor @ by_gene.factor.T).numpy()
    dense = Dense(design, by_gene.factor, torch.empty(0), by_gene.curvature.prior)
    for gene in (0, 17):
        block = design.block_index[gene]
        np.testing.assert_allclose(by_gene.curvature.of_gene(gene), whole[np.ix_(block, block)], atol=1e-8)
        np.testing.assert_allclose(dense.of_gene(gene), whole[np.ix_(block, block)], atol=1e-8)


@pytest.mark.parametrize("n_clusters", [1, 400])
def test_the_weight_by_information_is_that_of_dense_columns(screen, n_clusters, monkeypatch):
    monkeypatch.setattr(curvature, "MANY_EFFECTS", 0)
    cluster = np.random.default_rng(0).integers(0, n_clusters, screen.N)
    screen = replace(screen, cluster=cluster)
    fit = fit_broad(design_of(screen, ModelConfig()), PRIORS, 20.0)
    cells = linearise(screen, Config(), fit, 20.0)
    assert cells.clustered == (n_clusters > 1)
    found, exact = information_weight(cells), information_weight(replace(cells, curvature=None))
    assert found.weight == pytest.approx(exact.weight, rel=0.003)
    assert found.high - found.low == pytest.approx(exact.high - exact.low, rel=0.1)
    assert found.parts == exact.parts


@pytest.mark.parametrize("rough", [False, True])
@pytest.mark.parametrize("likelihood_weight", [1.0, AUTO])
def test_errors_of_free_effects_are_those_of_the_whole_matrix(screen, likelihood_weight, rough, monkeypatch):
    monkeypatch.setattr(curvature, "MANY_EFFECTS", 0)
    cfg = replace(Config(), likelihood_weight=likelihood_weight)
    design = design_of(screen, cfg.model)
    fit = fit_broad(design, cfg.priors, 20.0)
    cells = linearise(screen, cfg, fit, 20.0) if likelihood_weight == AUTO else None
    found = theta_covariance(design, fit, cells, rough=rough)
    dense = replace(fit, curvature=Dense(design, fit.factor, torch.empty(0), fit.curvature.prior))
    exact = theta_covariance(design, dense, cells)
    sd = [np.sqrt(np.diagonal(each.blocks, axis1=1, axis2=2)) for each in (found, exact)]
    np.testing.assert_allclose(*sd, rtol=0.05 if rough else 0.02)
    assert np.median(sd[0] / sd[1]) == pytest.approx(1, abs=0.02 if rough else 0.005)
    n_genes = design.rows.n_genes
    level = np.tile(np.eye(design.theta_index[0].size), (n_genes, 1))
    np.testing.assert_allclose(found.times(level), exact.times(level), atol=1e-4)


@pytest.mark.parametrize(("moi", "n_ntc"), [(1.0, 0), (1.0, 2)])
def test_a_level_that_intercepts_take_up_is_left_to_the_dense_matrix(moi, n_ntc, monkeypatch):
    """One guide a cell: no pair of genes shows it, all genes together do."""
    monkeypatch.setattr(curvature, "MANY_EFFECTS", 0)
    screen = simulated(moi=4.0, n_ntc_guides=max(n_ntc, 1))
    one = np.zeros_like(screen.mask)
    one[np.arange(screen.N), screen.mask.argmax(axis=1)] = True
    one &= screen.mask & (screen.guide_ids > 0)
    keep = one.any(axis=1)
    guides = np.where(one, screen.guide_ids, 0)[keep].max(axis=1, keepdims=True)
    kept = subset(screen, keep)
    n_guides = np.ones(len(guides), dtype=kept.n_guides.dtype)
    single = replace(
        kept, guide_ids=guides.astype(kept.guide_ids.dtype), mask=guides > 0,
        ntc_slots=np.zeros_like(guides), n_guides=n_guides, k_centered=centre_burden(n_guides, kept.day),
    )  # fmt: skip
    fit = fit_broad(design_of(single, ModelConfig()), PRIORS, 20.0)
    assert isinstance(fit.curvature, Dense)
