"""Screens made from a screen: shuffles, pseudo-genes, subsets, clusters."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from fatebias.config import DataConfig, PriorsConfig, SimulateConfig
from fatebias.data.clusters import GRAPH_BLOCKS, column_clusters, graph_blocks
from fatebias.data.simulate import simulate_screen
from fatebias.data.transform import permute, pseudo_genes, subset
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
    with pytest.raises(DataError, match="1 cells have no cluster"):
        column_clusters(pd.Series(["a", None, "b"]), "file: obs['lane']")
