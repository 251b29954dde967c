"""Guide calls as text, from Cell Ranger's file or an obs column, give the screen of the matrix."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from fatebias.errors import DataError


def calls_of(parts, between="|", none=""):
    return [between.join(row.index[row > 0]) or none for _, row in parts.guides.iterrows()]


def with_column(parts, values, umis=None):
    obs = parts.obs.assign(feature_call=values)
    return parts.but(guides=None, obs=obs if umis is None else obs.assign(num_umis=umis))


def write_calls(tmp_path, parts, cells=None, calls=None, name="protospacer_calls_per_cell.csv"):
    """The file that Cell Ranger writes: cells without a call have no row."""
    calls = calls_of(parts) if calls is None else calls
    frame = pd.DataFrame(
        {"cell_barcode": cells if cells is not None else parts.obs.index, "feature_call": calls}
    )
    held = frame["feature_call"].str.split("|").str.len()
    frame.insert(1, "num_features", held)
    frame["num_umis"] = ["|".join(["7", "3"][:n]) for n in held]
    path = tmp_path / name
    frame[frame["feature_call"] != ""].to_csv(path, index=False)
    return path


@pytest.mark.parametrize("between", ["|", " || "])
@pytest.mark.parametrize("kind", [object, "category"])
def test_an_obs_column(parts, load, between, kind):
    calls = pd.Series(calls_of(parts, between), parts.obs.index).astype(kind)
    screen = load(with_column(parts, calls), guide_calls="feature_call")
    assert screen.fingerprint() == load(parts).fingerprint()


@pytest.mark.parametrize("none", ["", None, np.nan, "NA", "None", "No call", "negative", "unassigned"])
def test_cells_without_a_call_hold_no_guide(parts, load, none):
    calls = [none, *calls_of(parts)[1:]]
    screen = load(with_column(parts, calls), guide_calls="feature_call")
    guides = parts.guides.copy()
    guides.iloc[0] = 0
    assert screen.fingerprint() == load(parts.but(guides=guides)).fingerprint()


def test_the_file_of_cell_ranger(parts, load, tmp_path):
    path = write_calls(tmp_path, parts)
    screen = load(parts.but(guides=None), guide_calls=str(path))
    assert screen.fingerprint() == load(parts).fingerprint()
    assert "guide calls of 36 of 36 rows belong to cells of the screen" in screen.summary["notes"]


def test_cells_and_rows_that_the_other_lacks_are_told(parts, load, tmp_path):
    cells = [f"other{i}" if i < 4 else cell for i, cell in enumerate(parts.obs.index)]
    path = write_calls(tmp_path, parts, cells)
    screen = load(parts.but(guides=None), guide_calls=str(path))
    guides = parts.guides.copy()
    guides.iloc[:4] = 0
    assert screen.fingerprint() == load(parts.but(guides=guides)).fingerprint()
    notes = screen.summary["notes"]
    assert "guide calls of 32 of 36 rows belong to cells of the screen" in notes
    assert "4 cells have no row in protospacer_calls_per_cell.csv: they hold no guide" in notes


def test_one_row_a_guide(parts, load, tmp_path):
    """The layout of crispat and others, tab-separated."""
    long = parts.guides.stack().loc[lambda held: held > 0].index.to_frame(index=False, name=["cell", "gRNA"])
    long["UMI_counts"] = 5
    long.to_csv(tmp_path / "assignments.tsv", sep="\t", index=False)
    screen = load(parts.but(guides=None), guide_calls=str(tmp_path / "assignments.tsv"))
    assert screen.fingerprint() == load(parts).fingerprint()


def test_a_threshold_takes_the_umis(parts, load, tmp_path):
    path = write_calls(tmp_path, parts)
    first = np.array([[i == list(row[row > 0].index).index(g) if row[g] else False for g in row.index]
                      for i, row in ((0, row) for _, row in parts.guides.iterrows())])  # fmt: skip
    expected = load(parts.but(guides=parts.guides * first)).fingerprint()
    assert load(parts.but(guides=None), guide_calls=str(path), guide_threshold=5).fingerprint() == expected
    umis = ["|".join(["7", "3"][: call.count("|") + 1]) for call in calls_of(parts)]
    column = with_column(parts, calls_of(parts), umis)
    assert load(column, guide_calls="feature_call", guide_threshold=5).fingerprint() == expected
    assert load(column, guide_calls="feature_call").fingerprint() == load(parts).fingerprint()
    for wrong in (None, ["7"] * 36, ["7|x"] * 36):
        with pytest.raises(DataError, match="data.guide_threshold=5 asks for UMIs"):
            load(with_column(parts, calls_of(parts), wrong), guide_calls="feature_call", guide_threshold=5)


def test_other_barcodes_are_refused_with_a_hint(parts, load, tmp_path):
    path = write_calls(tmp_path, parts, [f"ACGTACGTACGT{i}-1" for i in range(36)])
    with pytest.raises(DataError, match="no barcode of the guide calls is a cell of the screen") as caught:
        load(parts.but(guides=None), guide_calls=str(path))
    assert "cells 'c00', 'c01', 'c02'" in str(caught.value)


def test_a_call_that_the_map_lacks_is_refused(parts, load):
    calls = ["GATA2_sg1|SOX2_sg1", *calls_of(parts)[1:]]
    with pytest.raises(DataError, match="1 guides of the matrix are not in the guide map") as caught:
        load(with_column(parts, calls), guide_calls="feature_call")
    assert "found: 'SOX2_sg1', held by 1 cells" in str(caught.value)
    assert "obs['feature_call']" in str(caught.value)


def test_neither_column_nor_file(parts, load):
    with pytest.raises(
        DataError, match="neither an obs column nor a file\n  where: calls.csv\n  found: obs has day"
    ):
        load(parts, guide_calls="calls.csv")


def test_a_file_without_calls(parts, load, tmp_path):
    (tmp_path / "calls.csv").write_text("cell_barcode,num_features\nc00,1\n")
    with pytest.raises(DataError, match="has no column feature_call\n.*\n  found: columns 'cell_barcode'"):
        load(parts.but(guides=None), guide_calls=str(tmp_path / "calls.csv"))


@pytest.mark.parametrize("between", ["|", ";", ",", "+", " || "])
@pytest.mark.parametrize("form", ["frame", "csr"])
def test_calls_that_were_turned_into_columns_are_guides(parts, load, between, form):
    """pandas.get_dummies of the calls: a column named A|B is both guides, not one that the map lacks."""
    dummies = pd.get_dummies(pd.Series(calls_of(parts, between), parts.obs.index)).astype(int)
    guides = dummies if form == "frame" else sparse.csr_matrix(dummies.to_numpy())
    names = {"guide_names": np.array(dummies.columns, dtype=object)}
    screen = load(parts.but(guides=guides, uns=names))
    assert screen.fingerprint() == load(parts).fingerprint()
    assert any(
        "guide columns name several guides, each of which counts" in n for n in screen.summary["notes"]
    )


def test_a_guide_whose_own_name_has_a_bar_stays_one(parts, load):
    new = {"GATA2_sg1": "GATA2|1", "GATA2_sg2": "GATA2|2"}
    renamed = parts.but(
        guides=parts.guides.rename(columns=new),
        guide_map=[[new.get(guide, guide), gene, ntc] for guide, gene, ntc in parts.guide_map],
    )
    assert load(renamed).guide_names[:2] == ("GATA2|1", "GATA2|2")


def test_a_column_with_one_known_guide_names_the_other(parts, load):
    with pytest.raises(DataError, match="1 guides of the matrix are not in the guide map") as caught:
        load(parts.but(guides=parts.guides.rename(columns={"TBXT_sg1": "TBXT_sg1|SOX2_sg1"})))
    assert "found: 'SOX2_sg1', held by" in str(caught.value)
