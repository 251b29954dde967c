"""From file to screen: what is dropped, what is centred and scaled, and what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from fatebias.errors import DataError


def crowd(parts, cells):
    guides = parts.guides.copy()
    guides.loc[cells] = 1
    return parts.but(guides=guides)


def test_shapes_and_types(parts, load):
    screen = load(parts)
    assert (screen.N, screen.K, screen.G, screen.L, screen.D, screen.R, screen.n_fates_star) == (
        36,
        2,
        4,
        2,
        3,
        2,
        2,
    )
    shapes = {
        "p": ((36, 3), np.float64),
        "guide_ids": ((36, 2), np.int32),
        "mask": ((36, 2), np.uint8),
        "ntc_slots": ((36, 2), np.int32),
        "n_guides": ((36,), np.int32),
        "k_centered": ((36,), np.float64),
        "day": ((36,), np.int32),
        "rep": ((36,), np.int32),
        "weight": ((36,), np.float64),
        "gene_of_guide": ((5,), np.int32),
    }
    for name, (shape, dtype) in shapes.items():
        array = getattr(screen, name)
        assert (array.shape, array.dtype) == (shape, np.dtype(dtype)), name
    np.testing.assert_array_equal(screen.mask.sum(axis=1), screen.n_guides)
    assert screen.gene_names == ("GATA2", "TBXT")
    assert (screen.weight == 1).all()


def test_burden_is_centred_by_day_over_kept_cells(parts, load):
    screen = load(crowd(parts, ["c00", "c03"]), Kmax=5)
    assert screen.N == 34
    for d in range(3):
        of_day = screen.day == d
        expected = screen.n_guides[of_day] - screen.n_guides[of_day].mean()
        np.testing.assert_allclose(screen.k_centered[of_day], expected, atol=1e-12)


def test_cells_above_kmax_are_dropped_and_counted(parts, load):
    screen = load(crowd(parts, ["c00", "c07"]), Kmax=5)
    assert screen.K == 2
    assert not {"c00", "c07"} & set(screen.cells)
    assert screen.summary["cells"] == {"in_file": 36, "kept": 34, "dropped": {"more than 5 guides": 2}}
    assert screen.summary["warnings"][0].startswith("5.6% of the cells hold more than data.Kmax=5 guides")
    assert load(crowd(parts, ["c00", "c07"]), Kmax=6).K == 6


def test_all_cells_above_kmax(parts, load):
    with pytest.raises(DataError, match="all 36 cells hold more than data.Kmax=1 guides") as caught:
        load(crowd(parts, parts.guides.index), Kmax=1)
    assert "from 6 to 6 guides a cell" in str(caught.value)
    assert "a higher data.guide_threshold leaves out ambient ones; else data.Kmax=6" in str(caught.value)


def test_every_cell_dropped_for_one_reason_or_another(parts, load):
    parts.fates.iloc[:18] = np.nan
    with pytest.raises(DataError, match="no cell is left"):
        load(crowd(parts, parts.guides.index[18:]), bad_cells="drop", Kmax=3)


def test_a_day_emptied_by_drops(parts, load):
    with pytest.raises(DataError, match="no cell is left of day d1") as caught:
        load(crowd(parts, parts.obs.index[parts.obs["day"] == "d1"]), Kmax=4)
    assert "dropped: 12 cells with more than 4 guides" in str(caught.value)


def test_a_replicate_emptied_by_drops(parts, load):
    parts.fates.loc[parts.covar["rep"] == "r1"] = 0.0
    with pytest.raises(DataError, match="no cell is left of replicate r1") as caught:
        load(parts, bad_cells="drop")
    assert "18 cells with fate values that are no probabilities" in str(caught.value)


def test_a_gene_without_a_cell_is_left_out_and_warned_of(parts, load):
    guides = parts.guides.assign(SOX2_sg1=0, SOX2_sg2=0)
    rows = [*parts.guide_map, ["SOX2_sg1", "SOX2", 0], ["SOX2_sg2", "SOX2", 0]]
    screen = load(parts.but(guides=guides, guide_map=rows))
    assert screen.gene_names == ("GATA2", "TBXT")
    assert screen.fingerprint() == load(parts).fingerprint()
    assert screen.summary["genes"]["without_cells"] == ["SOX2"]
    assert screen.summary["warnings"] == ["1 genes with guide columns but no kept cell are left out: 'SOX2'"]


def test_a_gene_whose_cells_are_all_dropped_is_left_out_too(parts, load):
    guides = parts.guides.assign(AAA_sg1=0)
    guides.loc["c08"] = 1
    screen = load(parts.but(guides=guides, guide_map=[*parts.guide_map, ["AAA_sg1", "AAA", 0]]), Kmax=6)
    assert screen.gene_names == ("GATA2", "TBXT")
    assert screen.gene_of_guide.tolist() == [0, 1, 1, 2, 2]
    held = (parts.guides.drop("c08").to_numpy() > 0).sum()
    assert screen.mask.sum() == held
    assert screen.guide_ids.max() == 4


def test_a_guide_without_a_cell_stays_with_its_gene(parts, load):
    screen = load(parts.but(guides=parts.guides.assign(TBXT_sg2=0)))
    assert screen.guide_names[3] == "TBXT_sg2"
    assert screen.summary["guide_cells"]["TBXT_sg2"] == 0
    assert "1 guide is held by no cell: 'TBXT_sg2'" in screen.summary["notes"]


def test_no_cell_holds_a_guide(parts, load):
    with pytest.raises(DataError, match="no kept cell holds a guide\n") as caught:
        load(parts, guide_threshold=1)
    assert "data.guide_threshold=1" in str(caught.value)


def test_only_controls_are_held(parts, load):
    guides = parts.guides.copy()
    guides.iloc[:, :4] = 0
    with pytest.raises(DataError, match="no kept cell holds a guide that targets a gene"):
        load(parts.but(guides=guides))


def test_cells_without_guides_are_kept_and_told(parts, load):
    guides = parts.guides.copy()
    guides.iloc[:4] = 0
    screen = load(parts.but(guides=guides))
    assert screen.N == 36
    assert not screen.mask[:4].any()
    assert screen.summary["notes"] == ["4 cells hold no guide: they are kept, as cells without any effect"]


def test_weights_are_scaled_to_mean_one_over_kept_cells(parts, load):
    weight = np.arange(36.0)
    screen = load(
        crowd(parts.but(obs=parts.obs.assign(w=weight)), ["c35"]), cell_weights="column", weights="w", Kmax=5
    )
    np.testing.assert_allclose(screen.weight, weight[:35] / weight[:35].mean(), rtol=1e-15)
    assert screen.weight.mean() == pytest.approx(1, rel=1e-15)


def test_weights_of_any_number_type(parts, load):
    column = np.arange(36)
    for values in (column.astype(np.float32), column, pd.array(column, dtype="Int64")):
        screen = load(parts.but(obs=parts.obs.assign(w=values)), cell_weights="column", weights="w")
        np.testing.assert_allclose(screen.weight, column / column.mean(), rtol=1e-6)


@pytest.mark.parametrize("value", [np.nan, -1.0, np.inf])
def test_weights_that_are_none(parts, load, value):
    weight = np.ones(36)
    weight[7] = value
    with pytest.raises(
        DataError, match="1 cells have a weight that is missing, infinite or negative"
    ) as caught:
        load(parts.but(obs=parts.obs.assign(w=weight)), cell_weights="column", weights="w")
    assert "obs['w']" in str(caught.value)
    assert f"found: {value}; first cells 'c07'" in str(caught.value)


def test_weights_all_zero_or_text(parts, load):
    with pytest.raises(DataError, match="all weights are zero"):
        load(parts.but(obs=parts.obs.assign(w=0.0)), cell_weights="column", weights="w")
    with pytest.raises(DataError, match="a column that must hold numbers does not"):
        load(parts.but(obs=parts.obs.assign(w="high")), cell_weights="column", weights="w")


def test_fingerprint_follows_what_the_model_sees(parts, load):
    prints = {
        load(parts).fingerprint(),
        load(parts, contrast_fate="NEU").fingerprint(),
        load(parts, ref_fate="NEU").fingerprint(),
        load(
            parts.but(fates=parts.fates.rename(columns={"NEU": "X"})), fates=["EC", "MES", "X"]
        ).fingerprint(),
        load(
            parts.but(obs=parts.obs.assign(w=np.arange(36.0))), cell_weights="column", weights="w"
        ).fingerprint(),
        load(parts.but(covar=parts.covar.replace("r0", "a"))).fingerprint(),
        load(parts.but(obs=parts.obs.replace("d2", "d3"))).fingerprint(),
        load(parts.but(fates=parts.fates.iloc[::-1].set_axis(parts.fates.index))).fingerprint(),
        load(parts.but(guides=parts.guides.iloc[::-1].set_axis(parts.guides.index))).fingerprint(),
    }
    assert len(prints) == 9
    assert load(parts).fingerprint() in prints


def test_mean_fate_probabilities_of_each_gene_are_those_of_its_cells(parts, load):
    screen = load(parts)
    fates, genes = screen.summary["fates"], screen.summary["genes"]["guides_and_cells"]
    for number, gene in enumerate(screen.gene_names, start=1):
        carries = (screen.gene_of_guide[screen.guide_ids] == number).any(axis=1)
        for day in range(screen.D):
            chosen = carries & (screen.day == day)
            means = [genes[gene]["mean_probability"][fate][day] for fate in screen.fates]
            if chosen.any():
                np.testing.assert_allclose(means, screen.p[chosen].mean(axis=0), atol=1e-5)
            else:
                assert means == [None] * len(screen.fates)
    everyone = [fates["mean_probability_by_day"][fate][0] for fate in screen.fates]
    np.testing.assert_allclose(everyone, screen.p[screen.day == 0].mean(axis=0), atol=1e-5)
    assert screen.summary["guide_counts"] is None  # calls, no counts
