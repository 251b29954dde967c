"""Whole fits of extreme screens: finite, and what the labels say."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import fatebias as fb
from fatebias.data.synthetic import subset
from fatebias.model.softmax import probabilities
from tests.screens import small_screen

QUICK = {"inference": "laplace", "inference.num_posterior_draws": 500, "device": "cpu"}
CALIBRATED = {"preset": "calibrated", **QUICK}


def effects(screen, **settings):
    fit = fb.fit(screen, progress=False, **settings)
    hits = fb.discover(fit, engine="native")
    for table in (fit.effects, hits.table, hits.calls, fit.marginal):
        numbers = table.select_dtypes("number")
        # NaN where nothing would be called, and on days without cells of the gene
        numbers = numbers.loc[:, ~numbers.columns.str.match("mde|ame")]
        assert np.isfinite(numbers.to_numpy(dtype=float)).all(), numbers.columns[~np.isfinite(numbers).all()]
    se = np.sqrt(np.einsum("lfdfd->lfd", fit.estimates.covariance))
    assert (se > 0).all()
    return fit.estimates.mean, se


@pytest.mark.parametrize("settings", [QUICK, CALIBRATED], ids=["defaults", "calibrated"])
@pytest.mark.parametrize("form", ["one-hot", "all but 1e-8", "all of one fate"])
def test_labels_without_any_doubt(settings, form):
    screen = small_screen(600)
    hard = np.eye(3)[screen.p.argmax(axis=1)]
    if form == "all but 1e-8":
        hard = np.where(hard == 1, 1 - 2e-8, 1e-8)
    elif form == "all of one fate":
        hard = np.eye(3)[np.zeros(screen.N, dtype=int)]
    effects(dataclasses.replace(screen, p=hard), **settings)


@pytest.mark.parametrize("size", [20.0, -20.0])
def test_a_gene_that_decides_every_fate(size):
    """Effects of 20 logits on both fates: a cell with the gene has one fate, whatever else."""
    screen = small_screen(1500)
    gene = (screen.gene_of_guide[screen.guide_ids] == 1).any(axis=1)
    logits = size * np.where(gene[:, None], [1.0, 0.5], 0.0)
    p = np.column_stack([1 - probabilities(logits).sum(axis=1), probabilities(logits)])
    broad = {"priors.s_tau": 20.0, "priors.s_time": 20.0, "priors.s_guide": 1.0}
    mean, se = effects(dataclasses.replace(screen, p=p), likelihood_weight=1000, **QUICK, **broad)
    # towards a fate: both it and the reference are all but certain; away from it: probabilities of 2e-9
    assert (np.sign(mean[0, 0]) == np.sign(size)).all()
    assert (np.abs(mean[0, 0]) > 4).all()
    assert (np.abs(mean[1:]) < 4 * se[1:]).all()


def test_a_gene_with_one_cell():
    screen = small_screen(800)
    held = screen.gene_of_guide[screen.guide_ids] == 1
    held[np.flatnonzero(held.any(axis=1))[0]] = False
    guide_ids, mask = np.where(held, 0, screen.guide_ids), np.where(held, 0, screen.mask)
    order = np.argsort(mask == 0, axis=1, kind="stable")
    slots = {"guide_ids": guide_ids, "mask": mask, "ntc_slots": screen.ntc_slots}
    taken = {name: np.take_along_axis(each, order, axis=1) for name, each in slots.items()}
    sparse = dataclasses.replace(screen, **taken)
    assert sparse.gene_cells()[0].sum() == 1
    for settings in (QUICK, CALIBRATED):
        mean, se = effects(sparse, **settings)
        assert (np.abs(mean[0]) < 3 * se[0]).all()
        assert (se[0] > se[1:].max(axis=0)).all()


def test_a_million_cells_alike_are_one_row():
    few = small_screen(40)
    times = 25_000
    many = subset(few, np.repeat(np.arange(40), times))
    many = dataclasses.replace(many, weight=np.ones(many.N))
    free = QUICK | {"export.estimates": "unshrunken"}  # without the noise of draws
    repeated, _ = effects(many, likelihood_weight=1 / times, **free)
    plain, se = effects(dataclasses.replace(few, weight=np.ones(40)), likelihood_weight=1, **free)
    assert (np.abs(repeated - plain) / se).max() < 0.01


def test_priors_that_leave_no_room():
    screen = small_screen(800)
    narrow = {f"priors.{name}": 1e-6 for name in ("s_tau", "s_time", "s_guide")}
    mean, se = effects(screen, **QUICK, **narrow)
    assert np.abs(mean).max() < 1e-5
    assert se.max() < 1e-4
