"""Cells by gene and day, and a gene that has none on some days."""

import anndata
import numpy as np
import pandas as pd
import pytest

import fatebias as fb
from fatebias.config import DataConfig, PriorsConfig, SimulateConfig
from fatebias.data.load import source_files
from fatebias.estimates.days import Days, gene_days
from tests.screens import small_screen


def test_a_cell_counts_once_for_each_gene_that_it_holds_a_guide_of():
    screen = small_screen(moi=4.0)
    counted = np.zeros((screen.L, screen.D), dtype=int)
    for cell in range(screen.N):
        held = {int(screen.gene_of_guide[guide]) for guide in screen.guide_ids[cell] if guide > 0}
        for gene in held:
            counted[gene - 1, screen.day[cell]] += 1
    found = gene_days(screen, 1)
    np.testing.assert_array_equal(found.cells, counted)
    assert found.labels == screen.day_labels
    assert found.unseen is None
    assert gene_days(screen, int(counted.min()) + 1).unseen.sum() == (counted == counted.min()).sum()


def test_which_genes_lack_cells_is_said():
    cells = np.array([[3, 0, 0], [4, 5, 6], [9, 0, 2]])
    days = Days(("day 0", "day 2", "day 9"), cells)
    assert days.note(["A", "B", "C"]).startswith("no cells: A on day 2, day 9; C on day 2; their postmean")
    assert days.note(["A", "B", "C"], most=1).startswith("no cells: A on day 2, day 9 and 1 more genes; ")
    assert Days(days.labels, cells, least=3).note(["A", "B", "C"]).startswith("fewer than 3 cells: A on")
    assert Days(days.labels, cells + 1).note(["A", "B", "C"]) is None
    table = pd.DataFrame({"gene": ["A", "B", "C"], "best_day": [0, 2, 1]})
    assert list(days.labelled(table)["best_day"]) == ["day 0", "day 9", "day 2"]


@pytest.fixture(scope="module")
def hits(tmp_path_factory):
    """A strong lasting effect of a gene whose cells on the last two days are taken away."""
    folder = tmp_path_factory.mktemp("screen")
    simulate = SimulateConfig(
        n_cells=2400, n_genes=10, n_ntc_guides=6, design="persistent", effect_min=1.5, effect_max=1.6,
        active_share=0.3, seed=3,
    )  # fmt: skip
    files = source_files(DataConfig(source="simulated", simulate=simulate), PriorsConfig(), folder)
    truth = pd.read_csv(files.truth)
    adata = anndata.read_h5ad(files.adata)
    guide_map = pd.read_csv(files.guide_map)
    strong = truth.loc[truth["theta"].abs().where(truth["contrast"] == "MES", 0).idxmax(), "gene"]
    own = guide_map.loc[guide_map["gene_name"] == strong, "guide_name"]
    of_strong = np.isin(np.asarray(adata.uns["guide_names"]), own)
    held = np.asarray(adata.obsm["guide"][:, of_strong].sum(axis=1)).ravel() > 0
    late = adata.obs["day"].astype(str).isin(["d2", "d3"]).to_numpy()
    screen = fb.read_screen(adata[~(held & late)].copy(), guides=guide_map)
    fit = fb.fit(screen, preset="calibrated", inference="laplace", progress=False)
    return strong, fit, fb.discover(fit), folder


def row(table, gene):
    return table.set_index("gene").loc[gene]


def test_a_gene_is_not_called_on_a_day_without_cells_of_it(hits):
    strong, fit, found, _ = hits
    ranked, calls = row(found.table, strong), row(found.calls, strong)
    assert list(ranked[["lfsr_d2", "lfsr_d3"]]) == [1.0, 1.0]
    assert (ranked[["lfsr_d0", "lfsr_d1"]].astype(float) < 0.05).all()
    assert calls["active_days"] == "d0;d1"
    assert calls["no_data"] == "d2;d3"
    assert list(calls[["cells_d2", "cells_d3"]]) == [0, 0]
    assert ranked["best_day"] in ("d0", "d1")
    assert calls["course"] == "persistent"
    assert found.report.expected_false < 1
    marginal = row(fit.marginal, strong)
    assert marginal[["ame_d2", "ame_se_d3", "ame_NEU_d2"]].isna().all()
    assert marginal[["ame_d0", "ame_NEU_d1"]].notna().all()
    assert any(f"no cells: {strong} on d2, d3" in note for note in fit.notes)


def test_other_genes_are_judged_as_ever(hits):
    strong, _, found, _ = hits
    others = found.calls[found.calls["gene"] != strong]
    assert (others["no_data"] == "").all()
    assert others["hit_anyday"].any()


def test_a_saved_fit_remembers_the_days(hits):
    _, fit, found, folder = hits
    again = fb.discover(fb.load(fit.save(folder / "saved")))
    pd.testing.assert_frame_equal(again.calls, found.calls)
    pd.testing.assert_frame_equal(again.table, found.table)
