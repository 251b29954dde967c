"""The summary counts what a plain count over the file gives, is JSON, and prints short."""

from __future__ import annotations

import json

import numpy as np
import pytest

from fatebias.data.reading.summary import render_summary


def test_counts_against_the_file(parts, load):
    screen = load(parts)
    held, summary = parts.guides.to_numpy(), screen.summary
    table = summary["cells_by_day_and_replicate"]
    for day in ("d0", "d1", "d2"):
        for rep in ("r0", "r1"):
            assert table[day][rep] == int(((parts.obs["day"] == day) & (parts.covar["rep"] == rep)).sum())
    assert summary["guides_per_cell"]["mean"] == held.sum() / 36
    assert summary["guides_per_cell"]["cells_by_number"] == {
        str(n): int((held.sum(axis=1) == n).sum()) for n in (1, 2)
    }
    assert summary["guides"]["assignments"] == held.sum()
    assert summary["guides"]["ntc_share"] == held[:, 4:].sum() / held.sum()
    assert summary["guides"]["cells_with_ntc_only"] == int((held[:, :4].sum(axis=1) == 0).sum())
    for gene, columns in (("GATA2", slice(0, 2)), ("TBXT", slice(2, 4))):
        carries = held[:, columns].any(axis=1)
        by_day = [int(carries[parts.obs["day"].to_numpy() == day].sum()) for day in ("d0", "d1", "d2")]
        entry = summary["genes"]["guides_and_cells"][gene]
        means = entry.pop("mean_probability")
        assert entry == {"guides": 2, "cells": int(carries.sum()), "cells_by_day": by_day}
        expected = parts.fates[carries].groupby(parts.obs["day"].to_numpy()[carries]).mean()
        for fate, by_day in means.items():
            np.testing.assert_allclose(by_day, expected[fate], atol=1e-5)
    assert len(summary["genes"]["guides_and_cells"]) == 2
    assert summary["guide_cells"] == dict(
        zip(parts.guides.columns[:4], held[:, :4].sum(axis=0).tolist(), strict=True)
    )
    means = parts.fates.mean()
    for fate, mean in summary["fates"]["mean_probability"].items():
        np.testing.assert_allclose(mean, means[fate])


def test_cells_without_guides_are_not_cells_of_controls_alone(parts, load):
    guides = parts.guides.copy()
    guides.iloc[:6] = 0
    guides.iloc[:2, 4] = 1
    summary = load(parts.but(guides=guides)).summary
    alone = (guides.iloc[:, :4].sum(axis=1) == 0) & (guides.sum(axis=1) > 0)
    assert summary["guides"]["cells_with_ntc_only"] == alone.sum()
    assert summary["guides_per_cell"]["cells_by_number"]["0"] == 4


def test_json_holds_it(parts, load):
    summary = load(parts).summary
    assert json.loads(json.dumps(summary)) == summary


def test_what_the_terminal_shows(parts, load):
    guides = parts.guides.copy()
    guides.loc["c01"] = 1
    rows = [*parts.guide_map, ["SOX2_sg1", "SOX2", 0]]
    text = render_summary(load(parts.but(guides=guides, guide_map=rows), Kmax=5).summary)
    lines = text.splitlines()
    assert len(lines) < 25
    assert any(line.startswith("cells         35 of 36") for line in lines)
    assert any("dropped 1: more than 5 guides" in line for line in lines)
    assert any(
        line.startswith("fates         MES against EC; columns named by the DataFrame") for line in lines
    )
    assert any(line.startswith("note          1 genes of the map have no guide column") for line in lines)
    header = next(line for line in lines if line.startswith("cells by"))
    row = next(line for line in lines if line.strip().startswith("d1"))
    assert header.split() == ["cells", "by", "day", "r0", "r1"]
    assert row.split() == ["d1", "5", "6"]
    assert len(header) == len(row)


@pytest.mark.parametrize("sign", ["=", "+", "-", "@"])
def test_names_that_a_spreadsheet_would_run_are_told_and_kept(parts, load, sign):
    gene, guide = f"{sign}cmd()", f"{sign}A1"
    guides = parts.guides.rename(columns={"TBXT_sg1": guide})
    of_gene = {"GATA2": gene}
    rows = [[guide if row[0] == "TBXT_sg1" else row[0], of_gene.get(row[1], row[1]), *row[2:]]
            for row in parts.guide_map]  # fmt: skip
    screen = load(parts.but(guides=guides, guide_map=rows))
    (note,) = [note for note in screen.summary["notes"] if "spreadsheet" in note]
    assert f"{gene!r}, {guide!r}; import the tables as text" in note
    assert gene in screen.gene_names
    assert guide in screen.guide_names


def test_plain_names_are_no_formulas(parts, load):
    assert not [note for note in load(parts).summary["notes"] if "spreadsheet" in note]
