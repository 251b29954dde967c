import dataclasses

import numpy as np
import pytest

from fatebias.data import collapse as module
from fatebias.data.collapse import collapse, each_cell
from tests.screens import small_screen


@pytest.fixture(scope="module")
def screen():
    return small_screen()


def test_rows_hold_every_cell_once(screen):
    rows = collapse(screen)
    assert rows.n_rows < screen.N
    assert rows.n_cells.sum() == screen.N
    np.testing.assert_allclose(rows.p.sum(axis=0), screen.p.sum(axis=0))
    assert np.all(np.diff(rows.day * rows.n_reps + rows.rep) >= 0)


def test_cells_of_a_row_agree_in_all_that_the_model_sees(screen):
    def described(day, rep, k, guides):
        return (int(day), int(rep), round(float(k), 9), tuple(sorted(guides)))

    by_cell: dict[tuple, np.ndarray] = {}
    for i in range(screen.N):
        ids = screen.guide_ids[i][screen.guide_ids[i] > 0]
        key = described(screen.day[i], screen.rep[i], screen.k_centered[i], ids)
        by_cell[key] = by_cell.get(key, 0) + screen.p[i]
    rows = collapse(screen)
    assert rows.n_rows == len(by_cell)
    for m in range(rows.n_rows):
        ids = rows.guides[rows.indptr[m] : rows.indptr[m + 1]]
        np.testing.assert_allclose(
            rows.p[m], by_cell[described(rows.day[m], rows.rep[m], rows.k_centered[m], ids)]
        )


def test_the_order_of_guides_in_a_cell_does_not_matter(screen):
    ids, mask = screen.guide_ids[:, ::-1], screen.mask[:, ::-1]
    turned = collapse(dataclasses.replace(screen, guide_ids=ids, mask=mask))
    rows = collapse(screen)
    assert turned.n_rows == rows.n_rows
    np.testing.assert_allclose(turned.p, rows.p)


def test_ntc_guides_keep_cells_of_different_burden_apart():
    screen = small_screen(40)
    ids = np.zeros((40, 2), dtype=np.int32)
    count = np.tile([1, 2], 20).astype(np.int32)
    mask = (np.arange(2) < count[:, None]).astype(np.uint8)
    one_day = dataclasses.replace(
        screen,
        guide_ids=ids,
        mask=mask,
        n_guides=count,
        k_centered=count - 1.5,
        day=np.zeros(40, dtype=np.int32),
        rep=np.zeros(40, dtype=np.int32),
    )
    rows = collapse(one_day)
    assert rows.n_rows == 2
    assert rows.n_cells.tolist() == [20, 20]


def test_weights_scale_the_labels(screen):
    weight = np.linspace(0.5, 1.5, screen.N)
    rows = collapse(dataclasses.replace(screen, weight=weight))
    np.testing.assert_allclose(rows.p.sum(), weight.sum())


def test_a_hash_collision_is_noticed_and_resolved(screen, monkeypatch):
    expected = collapse(screen)

    class ZeroCoefficients:
        def integers(self, *args, size, **kwargs):
            return np.zeros(size, dtype=np.uint64)

    def constant(seed):
        return ZeroCoefficients()

    monkeypatch.setattr(module.np.random, "default_rng", constant)
    # coefficients of 1 for every column: a sum, under which many different rows collide
    found = module.collapse(screen)
    assert found.n_rows == expected.n_rows
    np.testing.assert_allclose(np.sort(found.p.sum(axis=1)), np.sort(expected.p.sum(axis=1)))


def test_each_cell_gives_cells_in_their_own_order(screen):
    rows = each_cell(screen)
    assert rows.n_rows == screen.N
    np.testing.assert_array_equal(rows.day, screen.day)
    np.testing.assert_allclose(rows.p, screen.p)
    np.testing.assert_array_equal(np.diff(rows.indptr), (screen.guide_ids > 0).sum(axis=1))
