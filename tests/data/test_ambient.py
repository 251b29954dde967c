"""Raw UMI counts are told from called guides, and the threshold that is offered is near the best one."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from fatebias.data.reading.ambient import ambient_counts, ambient_threshold
from fatebias.errors import DataError

CELLS, GUIDES = 2000, 60


def drawn(guide_umis, ambient, moi=1.5, seed=0):
    """Counts of cells that differ in depth and guides that differ in abundance, and who holds what."""
    rng = np.random.default_rng(seed)
    depth = rng.gamma(2, 0.5, (CELLS, 1))
    held = rng.random((CELLS, GUIDES)) < moi / GUIDES
    noise = rng.poisson(ambient * depth * rng.gamma(2, 0.5, GUIDES))
    signal = rng.poisson(guide_umis * depth * rng.gamma(2, 0.5, (CELLS, GUIDES)))
    return noise + signal * held, held


@pytest.mark.parametrize("guide_umis", [10, 30, 100, 300])
@pytest.mark.parametrize("ambient", [0.05, 0.2])
@pytest.mark.parametrize("moi", [0.5, 4.0])
def test_the_threshold_errs_little_more_than_the_best_one(guide_umis, ambient, moi):
    counts, held = drawn(guide_umis, ambient, moi)
    found = ambient_counts(sparse.csr_matrix(counts))
    assert found is not None
    assert found.threshold is not None
    wrong = [((counts > t) != held).sum() / held.sum() for t in range(40)]
    assert wrong[found.threshold] < min(wrong) + 0.06
    assert wrong[found.threshold] < wrong[0] - 0.2
    assert found.held == (counts > 0).sum() / CELLS
    assert found.held_above == (counts > found.threshold).sum() / CELLS


@pytest.mark.parametrize("guide_umis", [10, 100])
@pytest.mark.parametrize("moi", [0.5, 4.0])
def test_called_guides_are_not_taken_for_raw_counts(guide_umis, moi):
    counts, held = drawn(guide_umis, 0.2, moi)
    assert ambient_counts(sparse.csr_matrix(counts * held)) is None
    assert ambient_counts(sparse.csr_matrix(held.astype(int))) is None
    assert ambient_counts(sparse.csr_matrix(np.where(counts > 4, counts, 0))) is None
    # Two libraries in one matrix, one called as 0/1, the other with counts: no cell holds both kinds.
    half = np.arange(CELLS)[:, None] < CELLS // 2
    assert ambient_counts(sparse.csr_matrix(np.where(half, held, held * (counts + 20)))) is None


def test_counts_that_no_threshold_parts():
    ambient = np.random.default_rng(0).poisson(0.1, (CELLS, GUIDES))
    assert ambient_threshold(ambient[ambient > 0]) is None
    found = ambient_counts(sparse.csr_matrix(ambient))
    assert found is not None
    assert found.threshold is None


def test_raw_counts_are_refused_with_a_threshold_and_zero_insists(parts, load):
    counts, held = drawn(100, 0.2, moi=1.0)
    cells = [f"c{number}" for number in range(CELLS)]
    names = [f"A{number}_g" for number in range(GUIDES)]
    rng = np.random.default_rng(1)
    raw = parts.but(
        fates=pd.DataFrame(rng.dirichlet([2, 2, 2], CELLS), cells, ["EC", "MES", "NEU"]),
        guides=pd.DataFrame(counts, cells, names),
        covar=pd.DataFrame({"rep": np.arange(CELLS) % 2}, cells),
        obs=pd.DataFrame({"day": np.arange(CELLS) // 2 % 2}, cells),
        guide_map=[[name, name.split("_")[0], int(number < 9)] for number, name in enumerate(names)],
    )
    with pytest.raises(DataError, match="looks like raw UMI counts") as caught:
        load(raw)
    assert f"{(counts == 1).sum() / (counts > 0).sum():.1%} of its entries are 1" in str(caught.value)
    (threshold,) = [t for t in range(9) if f"fix: data.guide_threshold={t}," in str(caught.value)]
    assert threshold > 0
    assert abs(load(raw, guide_threshold=threshold).n_guides.mean() / held.sum(axis=1).mean() - 1) < 0.05
    assert load(raw, guide_threshold=0, Kmax=99).n_guides.sum() == (counts > 0).sum()
