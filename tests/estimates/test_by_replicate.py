"""Each replicate's own estimate: against closed forms, and what follows from it being held around the fit."""

import dataclasses

import numpy as np
import pytest

from fatebias.config import ModelConfig
from fatebias.estimates.by_replicate import WIDE, replicate_effects
from fatebias.model.design_matrix import design_of
from tests.screens import small_screen


@pytest.fixture(scope="module")
def screen():
    return small_screen(3000, n_genes=3, guides_per_gene=2, moi=1.0)


def estimates(screen, flat=None, weight=1.0):
    design = design_of(screen, ModelConfig())
    flat = np.zeros(design.size) if flat is None else flat
    betahat = np.arange(screen.L * screen.D, dtype=float).reshape(screen.L, screen.D)
    given = np.zeros((screen.L, screen.n_fates_star, screen.D))
    given[:, screen.contrast_index] = betahat
    return replicate_effects(design, flat, weight, given, screen)[screen.contrast], betahat


def by_replicate(table, prefix, screen):
    columns = [f"{prefix}{d}" for d in range(screen.D)]
    return table[columns].to_numpy(dtype=float).reshape(screen.L, screen.R, screen.D)


def test_around_a_flat_fit_it_is_the_log_odds_of_the_replicates_own_mean(screen):
    """With all else at zero the mode of a cell class with one guide has the class's mean probabilities."""
    alone = screen.n_guides == 1
    one = dataclasses.replace(
        screen,
        **{name: getattr(screen, name)[alone] for name in (
            "p", "guide_ids", "mask", "ntc_slots", "n_guides", "k_centered", "day", "rep", "weight", "cells",
            "cluster",
        )},
    )  # fmt: skip
    table, betahat = estimates(one, weight=50.0)
    found = by_replicate(table, "betahat_d", one)
    f = one.contrast_index + 1
    for gene in range(one.L):
        for day in range(one.D):
            carries = (one.gene_of_guide[one.guide_ids] == gene + 1).any(axis=1) & (one.day == day)
            means = [one.p[carries & (one.rep == rep)].mean(axis=0) for rep in range(one.R)]
            all_of_them = one.p[carries].mean(axis=0)
            odds = [np.log(each[f] / each[0]) for each in (*means, all_of_them)]
            expected = betahat[gene, day] + np.array(odds[:-1]) - odds[-1]
            np.testing.assert_allclose(found[gene, :, day], expected, atol=2e-3)  # the wide normal pulls


def test_the_error_is_that_of_the_labels_and_falls_with_their_weight(screen):
    (one, _), (four, _) = estimates(screen), estimates(screen, weight=4.0)
    se = [by_replicate(table, "se_d", screen) for table in (one, four)]
    assert np.nanmax(se[0]) < WIDE
    np.testing.assert_allclose(se[0] / se[1], 2.0, rtol=0.02)


def test_replicates_that_are_copies_say_what_the_gene_says(screen):
    half = dataclasses.replace(screen, rep=np.zeros_like(screen.rep))
    names = (
        "p", "guide_ids", "mask", "ntc_slots", "n_guides", "k_centered", "day", "rep", "weight", "cells",
        "cluster",
    )  # fmt: skip
    twice = {name: np.concatenate([getattr(half, name)] * 2) for name in names}
    twice["rep"] = np.repeat([0, 1], screen.N).astype(screen.rep.dtype)
    table, betahat = estimates(dataclasses.replace(screen, **twice), weight=3.0)
    found = by_replicate(table, "betahat_d", screen)
    np.testing.assert_allclose(
        found, np.broadcast_to(betahat[:, None, :], found.shape), atol=1e-3
    )  # the wide normal pulls


def test_few_cells_are_no_estimate_and_one_replicate_is_none(screen):
    cell, gene = screen.gene_holdings()
    seen = cell[(gene == 0) & (screen.day[cell] == 0) & (screen.rep[cell] == 1)]
    rep = screen.rep.copy()
    rep[seen[9:]] = 0
    table, _ = estimates(dataclasses.replace(screen, rep=rep))
    row = table[(table["gene"] == screen.gene_names[0]) & (table["replicate"] == screen.rep_labels[1])]
    assert row["cells_d0"].tolist() == [9]
    assert row[["betahat_d0", "se_d0"]].isna().all(axis=None)
    assert row[["betahat_d1", "se_d1"]].notna().all(axis=None)
    single = dataclasses.replace(screen, rep=np.zeros_like(screen.rep), rep_labels=("all",))
    table, _ = estimates(single)
    assert len(table) == 0
    assert {"gene", "replicate", "betahat_d0", "se_d2", "cells_d1"} <= set(table)


def test_each_fate_has_its_own_table_and_that_of_the_contrast_is_none_of_the_others(screen):
    design = design_of(screen, ModelConfig())
    flat, given = np.zeros(design.size), np.zeros((screen.L, screen.n_fates_star, screen.D))
    found = replicate_effects(design, flat, 2.0, given, screen)
    assert list(found) == list(screen.fates[1:])
    turned = dataclasses.replace(
        screen, p=screen.p[:, [0, 2, 1]], fates=(screen.fates[0], screen.fates[2], screen.fates[1])
    )
    again = replicate_effects(design_of(turned, ModelConfig()), flat, 2.0, given, turned)
    for fate in screen.fates[1:]:
        one, other = (by_replicate(each[fate], "betahat_d", screen) for each in (found, again))
        np.testing.assert_allclose(one, other, atol=1e-8)
    mes, neu = (by_replicate(found[fate], "betahat_d", screen) for fate in screen.fates[1:])
    assert np.abs(mes - neu).max() > 0.01
