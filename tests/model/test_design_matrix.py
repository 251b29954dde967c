import numpy as np
import pytest
import torch

from fatebias.data.collapse import collapse
from fatebias.model.design_matrix import DesignMatrix, walk_steps
from fatebias.model.effects import centre_within_genes, guide_day_table
from fatebias.model.tensors import design_tensors
from tests.screens import NARROW, small_screen, with_covariates


@pytest.fixture(scope="module", params=[False, True], ids=["random", "centred"])
def design(request):
    return DesignMatrix(collapse(small_screen(500)), centred=request.param)


def test_sizes(design):
    rows = design.rows
    assert design.per_fate == 6 * 3 + 18 + 3 + 2 + 1
    assert design.matrix.shape == (rows.n_rows, design.per_fate)
    theta, delta, shared = design.split(np.zeros((4, design.size)))
    assert (theta.shape, delta.shape, shared.shape) == ((4, 6, 2, 3), (4, 18, 2), (4, 6, 2))


def test_the_matrix_gives_the_logits_of_the_embedding_sum(design):
    flat = np.random.default_rng(0).normal(size=design.size)
    theta, delta, shared = (torch.from_numpy(np.ascontiguousarray(x)) for x in design.split(flat))
    tensors = design_tensors(design.rows, dtype=torch.float64)
    if design.centred:
        delta = centre_within_genes(delta, tensors.guide_gene)
    expected = tensors.logits(guide_day_table(theta, delta, tensors.guide_gene), shared)
    np.testing.assert_allclose(design.logits(flat).T, expected.numpy(), atol=1e-12)


@pytest.mark.parametrize("more", [False, True], ids=["plain", "covariates"])
def test_products_are_those_of_the_matrix(design, more):
    rows = small_screen(500)
    design = DesignMatrix(collapse(with_covariates(rows) if more else rows), design.centred)
    rng = np.random.default_rng(0)
    columns, by_row = rng.normal(size=(design.per_fate, 3)), rng.normal(size=(design.rows.n_rows, 3))
    dense, products = design.matrix.toarray(), design.products
    np.testing.assert_allclose(products.times(columns), dense @ columns, atol=1e-12)
    np.testing.assert_allclose(products.back(by_row), dense.T @ by_row, atol=1e-12)
    # several vectors at once, fate by fate
    flat, slopes = rng.normal(size=(design.size, 4)), rng.normal(size=(design.rows.n_rows, 2, 4))
    for k in range(4):
        np.testing.assert_allclose(products.logits(flat, 2)[..., k], design.logits(flat[:, k]), atol=1e-12)
        back = (dense.T @ slopes[..., k]).T.ravel()
        np.testing.assert_allclose(products.slopes(slopes)[:, k], back, atol=1e-12)


def test_indices_are_where_split_finds_things(design):
    flat = np.arange(design.size)
    theta, delta, shared = design.split(flat)
    np.testing.assert_array_equal(flat[design.theta_index], theta)
    np.testing.assert_array_equal(flat[design.delta_index], delta)
    np.testing.assert_array_equal(flat[design.shared_index], shared)


def test_blocks_hold_every_gene_effect_once(design):
    blocks = design.block_index
    taken = blocks[blocks < design.size]
    everything = np.concatenate([taken, design.shared_index.ravel()])
    np.testing.assert_array_equal(np.sort(everything), np.arange(design.size))
    gene = design.rows.guide_gene
    for g in range(len(gene)):
        assert set(design.delta_index[g]) <= set(blocks[gene[g]])


def test_prior_precision_is_that_of_the_random_walk(design):
    precision = np.array([[4.0, 9.0, 16.0, 2.0], [1.0, 2.0, 3.0, 5.0]])
    flat = np.random.default_rng(1).normal(size=design.size)
    theta, delta, shared = design.split(flat)
    expected = 0.0
    for f in range(2):
        steps = np.diff(theta[:, f], axis=1, prepend=0)
        expected += (steps**2 * precision[f, :3]).sum() + precision[f, 3] * (delta[:, f] ** 2).sum()
    fixed = np.array([NARROW.s_alpha] * 3 + [NARROW.s_rep] * 2 + [NARROW.s_gamma])
    expected += ((shared / fixed[:, None]) ** 2).sum()
    assert flat @ (design.prior_precision(NARROW, precision) @ flat) == pytest.approx(expected)


def test_scale_squares_are_expectations(design):
    rng = np.random.default_rng(2)
    flat = rng.normal(size=design.size)
    spread = rng.normal(size=(50, design.size))
    found = design.scale_squares(flat[None]) + design.scale_squares(spread)
    draws = flat + np.concatenate([spread, -spread])  # mirrored, so that the mean is exact
    theta, delta, _ = design.split(draws)
    steps = theta @ walk_steps(3).T
    expected = np.concatenate(
        [(steps**2).sum(axis=1).mean(axis=0), (delta**2).sum(axis=1).mean(axis=0)[:, None]], axis=1
    )
    np.testing.assert_allclose(found, expected, rtol=1e-10)
