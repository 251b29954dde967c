"""Screens made from a screen: shuffles, pseudo-genes, subsets, clusters."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from fatebias.config import DataConfig, PriorsConfig, SimulateConfig
from fatebias.data.reading.clusters import GRAPH_BLOCKS, column_clusters, graph_blocks
from fatebias.data.simulation.simulate import simulate_screen
from fatebias.data.synthetic import permute, pseudo_genes, spike_in, subset, tilt_cells
from fatebias.errors import DataError


@pytest.fixture(scope="module")
def screen():
    simulate = SimulateConfig(n_cells=1500, n_genes=8, n_ntc_guides=12, neighbours=3)
    return simulate_screen(simulate, DataConfig(source="simulated"), PriorsConfig())[0]


def test_a_shuffle_moves_guides_within_day_and_replicate(screen):
    moved = permute(screen, 1)
    assert not np.array_equal(moved.guide_ids, screen.guide_ids)
    assert np.array_equal(moved.p, screen.p)
    for d in range(screen.D):
        for r in range(screen.R):
            here = (screen.day == d) & (screen.rep == r)
            held = [np.bincount(s.guide_ids[here].ravel(), minlength=screen.G + 1) for s in (screen, moved)]
            np.testing.assert_array_equal(*held)
    np.testing.assert_allclose(np.bincount(screen.day, moved.k_centered), 0, atol=1e-9)


def test_a_shuffle_keeps_common_burdens_and_is_the_same_for_the_same_number(screen):
    moved = permute(screen, 1)
    assert (moved.n_guides == screen.n_guides).mean() > 0.95
    assert moved.fingerprint() == permute(screen, 1).fingerprint() != permute(screen, 2).fingerprint()


def test_pseudo_genes_take_ntc_guides_and_leave_the_rest_alone(screen):
    parts = [pseudo_genes(screen, part=part) for part in (0, 1)]
    for made in parts:
        assert made.gene_names[: screen.L] == screen.gene_names
        assert made.gene_names[screen.L :] == ("NTC_pseudo_1",)
        assert list(made.gene_of_guide[screen.G + 1 :]) == [screen.L + 1] * 4
        np.testing.assert_array_equal(made.mask.sum(axis=1), screen.mask.sum(axis=1))
        for guide in range(1, screen.G + 1):
            np.testing.assert_array_equal(
                (made.guide_ids == guide).any(axis=1), (screen.guide_ids == guide).any(axis=1)
            )
        for place, name in enumerate(made.guide_names[screen.G :]):
            ntc = screen.ntc_guide_names.index(name) + 1
            np.testing.assert_array_equal(
                (made.guide_ids == screen.G + 1 + place).any(axis=1), (screen.ntc_slots == ntc).any(axis=1)
            )
    assert not set(parts[0].guide_names[screen.G :]) & set(parts[1].guide_names[screen.G :])


def test_too_few_ntc_guides_make_no_pseudo_genes():
    simulate = SimulateConfig(n_cells=400, n_genes=3, n_ntc_guides=5)
    few = simulate_screen(simulate, DataConfig(source="simulated"), PriorsConfig())[0]
    with pytest.raises(DataError, match="too few NTC guides"):
        pseudo_genes(few, part=0)


def test_a_subset_keeps_all_that_is_numbered(screen):
    some = subset(screen, screen.rep == 0)
    assert some.N == int((screen.rep == 0).sum())
    assert (some.L, some.G, some.D, some.R) == (screen.L, screen.G, screen.D, screen.R)
    np.testing.assert_array_equal(some.k_centered, screen.k_centered[screen.rep == 0])


def test_graph_blocks_are_close_and_stay_within_their_group():
    """Cells in a ring, in random order: a block is a stretch of the ring, so few links leave it."""
    rng = np.random.default_rng(0)
    place = rng.permutation(1000)
    near = [((place + step) % 1000) for step in (-1, 1)]
    where = np.argsort(place)
    rows = np.tile(np.arange(1000), 2)
    graph = sparse.csr_matrix((np.ones(2000), (rows, where[np.concatenate(near)])), shape=(1000, 1000))
    group = (place < 400).astype(int)
    block = graph_blocks(graph, group)
    assert len(np.unique(block)) == 5
    assert all(len(np.unique(group[block == b])) == 1 for b in np.unique(block))
    links = graph.tocoo()
    assert (block[links.row] != block[links.col]).mean() < 0.02


def test_clusters_come_from_the_graph_where_there_is_one(screen):
    assert screen.cluster_source == GRAPH_BLOCKS


def test_a_cell_without_cluster_is_refused():
    with pytest.raises(DataError, match="1 of 3 cells have no cluster"):
        column_clusters(pd.Series(["a", None, "b"]), "file: obs['lane']")


def spiked_effects(screen, size=0.8):
    """The first gene's guides with `size` on every day, the second's with its opposite on the last."""
    effects = np.zeros((screen.G + 1, screen.D))
    effects[screen.gene_of_guide == 1] = size
    effects[screen.gene_of_guide == 2, -1] = -size
    effects[0] = 0
    return effects


def test_a_spike_changes_labels_and_weights_of_its_cells_alone(screen):
    made = spike_in(screen, spiked_effects(screen))
    gene = screen.gene_of_guide[screen.guide_ids]
    last = screen.day[:, None] == screen.D - 1
    hit = ((gene == 1) | ((gene == 2) & last)).any(axis=1)
    assert 50 < hit.sum() < screen.N / 2
    for name in ("p", "weight"):
        np.testing.assert_array_equal(getattr(made, name)[~hit], getattr(screen, name)[~hit])
    assert (made.p[hit] != screen.p[hit]).any(axis=1).mean() > 0.95  # opposite effects in a cell cancel
    np.testing.assert_allclose(made.p.sum(axis=1), 1)
    assert made.weight[hit].mean() == pytest.approx(1, abs=0.05)
    for name in ("guide_ids", "mask", "day", "gene_of_guide"):
        assert getattr(made, name) is getattr(screen, name)


def test_log_odds_move_by_the_effects_of_all_guides_of_a_cell(screen):
    effects = np.random.default_rng(0).normal(size=(screen.G + 1, screen.D))
    effects[0] = 0
    made = spike_in(screen, effects)
    contrast = screen.contrast_index + 1

    def odds(p):
        return np.log(p[:, contrast] / p[:, 0])

    total = effects[screen.guide_ids, screen.day[:, None]].sum(axis=1)
    np.testing.assert_allclose(odds(made.p) - odds(screen.p), total, atol=1e-6)
    np.testing.assert_allclose(made.p[:, 2] * screen.p[:, 0], made.p[:, 0] * screen.p[:, 2], atol=1e-12)


def test_spikes_compose_and_none_is_none(screen):
    one, other = spiked_effects(screen, 0.8), spiked_effects(screen, -0.3)
    together, apart = spike_in(screen, one + other), spike_in(spike_in(screen, one), other)
    np.testing.assert_allclose(together.p, apart.p, atol=1e-12)
    assert spike_in(screen, 0 * one).fingerprint() == screen.fingerprint()


def test_a_tilt_back_undoes_a_tilt(screen):
    """Weights too, but for what they are scaled by: the mean label of day and replicate."""
    b = np.random.default_rng(0).normal(0, 0.5, (screen.N, 2)) * (np.arange(screen.N) % 3 == 0)[:, None]
    there = tilt_cells(screen, b)
    back = tilt_cells(there, b, back=True)
    np.testing.assert_allclose(back.p, screen.p, atol=1e-12)
    assert back.weight.mean() == pytest.approx(1, abs=0.02)
    assert np.abs(back.weight - screen.weight).max() < 0.2
    assert np.abs(there.weight - screen.weight).max() > 0.2


@pytest.mark.parametrize("concentration", [1e-9, 1.0, 50.0])
@pytest.mark.parametrize("size", [-0.7, 1.0])
def test_the_score_of_a_spiked_label_has_mean_zero_and_the_scatter_that_is_said(concentration, size):
    """Labels of two fates with one pi, by definition: one-hot, flat and narrow."""
    simulate = SimulateConfig(n_cells=8, n_genes=2, n_days=1, n_replicates=1)
    data = DataConfig(source="simulated", fates=["EC", "MES"])
    few = simulate_screen(simulate, data, PriorsConfig())[0]
    n, pi = 200_000, 0.3
    rng = np.random.default_rng(0)
    one_hot = concentration < 1e-6
    p = (
        (rng.random(n) < pi).astype(float)
        if one_hot
        else rng.beta(concentration * pi, concentration * 0.7, n)
    )
    cells = {
        name: np.resize(getattr(few, name)[:1], (n, *getattr(few, name).shape[1:]))
        for name in ("guide_ids", "mask", "ntc_slots", "n_guides", "k_centered", "day", "rep", "weight")
    }
    cells["guide_ids"] = np.where(np.arange(few.K) == 0, 1, 0)[None].repeat(n, axis=0)
    cells["mask"] = cells["guide_ids"]
    many = dataclasses.replace(few, p=np.stack([1 - p, p], axis=1), **cells)
    effects = np.zeros((few.G + 1, 1))
    effects[1] = size
    made = spike_in(many, effects)
    whole = 1 + pi * (np.exp(size) - 1)
    moved = pi * np.exp(size) / whole
    score = made.weight * (made.p[:, 1] - moved)
    assert abs(score.mean()) < 4 * score.std() / np.sqrt(n)
    scatter = moved * (1 - moved) * (1 if one_hot else 1 / (concentration + 1))
    assert score.var() / scatter == pytest.approx(np.exp(size) / whole**2, rel=0.03)
    plain = made.p[:, 1] - moved  # without its weight the label would be off
    assert concentration > 10 or abs(plain.mean()) > 10 * plain.std() / np.sqrt(n)
