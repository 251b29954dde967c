"""Guides: entries checked, columns matched with the map, every cell's guides in its slots."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from fatebias.config import DataConfig
from fatebias.data.reading.guide_entries import guide_counts
from fatebias.data.reading.reader import read_raw
from fatebias.errors import DataError


def with_entry(parts, value, cell="c05"):
    guides = parts.guides.astype(float)
    guides.loc[cell, "NTC_sg2"] = value
    return parts.but(guides=guides)


def matrix(parts, names, values=None):
    """The guides as CSR with other names in uns."""
    held = sparse.csr_matrix(parts.guides.to_numpy() if values is None else values)
    return parts.but(guides=held, uns={"guide_names": np.array(names, dtype=object)})


@pytest.mark.parametrize("value", [np.nan, -1.0, np.inf])
@pytest.mark.parametrize("threshold", [None, 0.5])
def test_entries_that_are_no_counts(parts, load, value, threshold):
    with pytest.raises(
        DataError, match="1 entries of the guide matrix are NaN, infinite or negative"
    ) as caught:
        load(with_entry(parts, value), guide_threshold=threshold)
    assert "obsm['guide']" in str(caught.value)
    assert f"found: {value}; first cells 'c05'" in str(caught.value)


def test_fractions_need_a_threshold(parts, load):
    fractions = parts.but(guides=parts.guides * 0.9)
    with pytest.raises(
        DataError, match=f"{parts.guides.to_numpy().sum()} entries of the guide matrix are fractions"
    ) as caught:
        load(fractions)
    assert "data.guide_threshold=0.5 if these are assignment probabilities" in str(caught.value)
    assert load(fractions, guide_threshold=0.5).fingerprint() == load(parts).fingerprint()


def test_whole_numbers_as_floats_are_counts(parts, load):
    assert load(parts.but(guides=parts.guides * 3.0)).fingerprint() == load(parts).fingerprint()


def test_present_means_above_the_threshold(parts, load):
    counts = parts.guides * 5
    counts.iloc[0] = [4, 5, 0, 1, 0, 0]
    screen = load(parts.but(guides=counts), guide_threshold=4)
    assert screen.n_guides[0] == 1
    assert screen.guide_names[screen.guide_ids[0, 0] - 1] == "GATA2_sg2"


def test_counts_are_told_with_the_share_of_single_umis(parts, load):
    counts = parts.guides.copy()
    counts.iloc[:9] *= 7
    single = (counts == 1).to_numpy().sum() / (counts > 0).to_numpy().sum()
    notes = load(parts.but(guides=counts)).summary["notes"]
    assert notes[0].startswith(f"the guide matrix holds counts up to 7; {single:.1%} of its entries are 1")
    assert load(parts).summary["notes"] == []


def test_stored_zeros_are_zeros(parts, load):
    held = parts.guides.to_numpy()
    explicit = sparse.csr_matrix(np.ones_like(held))
    explicit.data[:] = held.ravel()
    assert explicit.nnz == held.size
    names = {"guide_names": np.array(parts.guides.columns, dtype=object)}
    screen = load(parts.but(guides=explicit, uns=names))
    assert screen.fingerprint() == load(parts).fingerprint()


def test_an_entry_stored_twice_is_one_entry(parts, load):
    held = sparse.csr_matrix(parts.guides.to_numpy())
    twice = (np.repeat(held.data, 2), np.repeat(held.indices, 2), held.indptr * 2)
    doubled = sparse.csr_matrix(twice, shape=held.shape)
    assert doubled.nnz == 2 * held.nnz
    names = {"guide_names": np.array(parts.guides.columns, dtype=object)}
    assert load(parts.but(guides=doubled, uns=names)).fingerprint() == load(parts).fingerprint()


def test_duplicate_names(parts, load):
    names = ["GATA2_sg1", "GATA2_sg1", "TBXT_sg1", "TBXT_sg2", "NTC_sg1", "NTC_sg2"]
    with pytest.raises(DataError, match="guide columns share a name") as caught:
        load(matrix(parts, names))
    assert "uns['guide_names']" in str(caught.value)
    assert "found: 'GATA2_sg1'" in str(caught.value)


@pytest.mark.parametrize("missing", ["", " ", "nan"])
def test_missing_names(parts, load, missing):
    with pytest.raises(DataError, match="1 guide columns have no name") as caught:
        load(matrix(parts, [*parts.guides.columns[:5], missing]))
    assert "columns 5 (counted from 0)" in str(caught.value)


def test_padded_names_would_match_stripped(parts, load):
    with pytest.raises(DataError, match="2 guide names begin or end with spaces") as caught:
        load(matrix(parts, [" GATA2_sg1", "GATA2_sg2 ", *parts.guides.columns[2:]]))
    assert "found: ' GATA2_sg1', 'GATA2_sg2 '" in str(caught.value)
    assert "stripping would match 2 of 2" in str(caught.value)


def test_another_number_of_names(parts, load):
    with pytest.raises(DataError, match="5 guide names for 6 guide columns"):
        load(matrix(parts, list(parts.guides.columns[:5])))


def test_no_names(parts, load):
    with pytest.raises(DataError, match="names of the guide columns are unknown") as caught:
        load(parts.but(guides=parts.guides.to_numpy(), uns={"other": 1}))
    assert "uns has other" in str(caught.value)
    assert "adata.uns['guide_names'] =" in str(caught.value)


def test_names_of_the_guide_key_itself_come_first(parts, write):
    names = np.array(parts.guides.columns, dtype=object)
    adata = parts.but(uns={"guide_names": names[::-1].copy(), "assigned_names": names}).adata()
    adata.obsm["assigned"] = parts.guides.to_numpy()
    guide_map = Path(write(parts).guide_map_csv)
    raw = read_raw(adata, guide_map, DataConfig(guide_key="assigned"))
    assert raw.guide_columns_from == "uns['assigned_names']"
    assert raw.guide_columns == tuple(names)


def test_guides_that_the_map_lacks(parts, load):
    lacking = parts.but(guide_map=[row for row in parts.guide_map if row[0] != "TBXT_sg2"])
    held = int(parts.guides["TBXT_sg2"].sum())
    with pytest.raises(DataError, match="1 guides of the matrix are not in the guide map") as caught:
        load(lacking)
    assert f"found: 'TBXT_sg2', held by {held} cells" in str(caught.value)
    assert "data.unmapped_guides=ignore" in str(caught.value)

    screen = load(lacking, unmapped_guides="ignore")
    assert "TBXT_sg2" not in screen.guide_names
    assert screen.n_guides.sum() == parts.guides.to_numpy().sum() - held
    assert screen.summary["guides"]["ignored_not_in_map"] == {"TBXT_sg2": held}
    assert f"1 guides that the map lacks were ignored; {held} cells hold one" in screen.summary["notes"]


def test_no_guide_in_common(parts, load):
    other = parts.but(guide_map=[[guide.lower(), gene, ntc] for guide, gene, ntc in parts.guide_map])
    for ignored in ("refuse", "ignore"):
        with pytest.raises(DataError, match="no guide of the matrix is in the guide map") as caught:
            load(other, unmapped_guides=ignored)
        assert "matrix 'GATA2_sg1'" in str(caught.value)
        assert "map 'gata2_sg1'" in str(caught.value)
        assert "6 would match if case were ignored" in str(caught.value)


def test_only_controls(parts, load):
    with pytest.raises(DataError, match="no guide of the matrix targets a gene"):
        load(parts.but(guide_map=[[guide, "NTC", 1] for guide, _, _ in parts.guide_map]))


def test_no_control_is_warned_of_and_every_guide_gets_an_effect(parts, load):
    screen = load(parts.but(guide_map=[[guide, gene, 0] for guide, gene, _ in parts.guide_map]))
    assert screen.gene_names == ("GATA2", "NTC", "TBXT")
    assert screen.ntc_guide_names == ()
    assert not screen.ntc_slots.any()
    assert screen.summary["warnings"][0].startswith("no NTC guide in the guide map")


def test_controls_without_a_column_are_warned_of(parts, load):
    without = parts.but(guides=parts.guides.iloc[:, :4])
    assert load(without).summary["warnings"][0].startswith("no NTC guide of the guide map has a column")


def test_a_gene_with_controls_and_targets_is_warned_of(parts, load):
    mixed = [[g, "NTC" if g == "TBXT_sg2" else gene, ntc] for g, gene, ntc in parts.guide_map]
    assert (
        "genes with both NTC and targeting guides in the map: 'NTC'"
        in load(parts.but(guide_map=mixed)).summary["warnings"]
    )


def test_genes_of_the_map_without_a_column_are_left_out_and_counted(parts, load):
    more = [*parts.guide_map, ["SOX2_sg1", "SOX2", 0], ["GATA2_sg3", "GATA2", 0]]
    screen = load(parts.but(guide_map=more))
    assert screen.fingerprint() == load(parts).fingerprint()
    assert screen.summary["genes"]["without_guide_column"] == ["SOX2"]
    assert screen.summary["guides"]["without_column"] == ["SOX2_sg1", "GATA2_sg3"]
    assert "1 genes of the map have no guide column and are left out: 'SOX2'" in screen.summary["notes"]


def test_a_text_column_is_refused(parts, load):
    with pytest.raises(DataError, match="a column that must hold numbers does not") as caught:
        load(parts.but(guides=parts.guides.assign(TBXT_sg1=["yes"] * 36)))
    assert "obsm['guide']['TBXT_sg1']" in str(caught.value)


@pytest.mark.parametrize("seed", range(5))
def test_slots_are_what_a_loop_over_cells_gives(parts, load, seed):
    """Slots against the plain definition, with columns in random order and some cells without guides."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(6)
    held = pd.DataFrame(
        (rng.random((36, 6)) < 0.4).astype(int), parts.guides.index, parts.guides.columns[order]
    )
    screen = load(parts.but(guides=held))
    gene_of = {guide: gene for guide, gene, _ in parts.guide_map}
    assert screen.guide_names == ("GATA2_sg1", "GATA2_sg2", "TBXT_sg1", "TBXT_sg2")
    assert screen.gene_of_guide.tolist() == [0, 1, 1, 2, 2]
    for cell in range(36):
        names = sorted(held.columns[held.iloc[cell] > 0])
        real = [name for name in names if gene_of[name] != "NTC"]
        ntc = [name for name in names if gene_of[name] == "NTC"]
        padding = [0] * (screen.K - len(names))
        ids = [screen.guide_names.index(name) + 1 for name in real]
        slots = [screen.ntc_guide_names.index(name) + 1 for name in ntc]
        assert screen.guide_ids[cell].tolist() == ids + [0] * len(ntc) + padding
        assert screen.ntc_slots[cell].tolist() == [0] * len(real) + slots + padding
        assert screen.mask[cell].tolist() == [1] * len(names) + padding
    assert screen.K == held.sum(axis=1).max()
    np.testing.assert_array_equal(screen.n_guides, held.sum(axis=1))


def test_counts_of_a_raw_matrix_are_kept_with_the_threshold():
    found_in = sparse.csr_matrix(np.array([[1, 0, 7], [1, 40, 2], [0, 0, 9]]))
    found = guide_counts(found_in, 4)
    assert found["threshold"] == 4
    assert sum(found["entries"]) == found_in.nnz
    at = dict(zip(found["from"], found["entries"], strict=True))
    assert [at[count] for count in (1, 2, 3, 7)] == [2, 1, 0, 1]
    assert max(start for start, number in at.items() if number) <= 40
    assert guide_counts(sparse.csr_matrix(np.eye(2)), None) is None
    assert guide_counts(sparse.csr_matrix(np.array([[0.5, 3.0]])), 0.4) is None
