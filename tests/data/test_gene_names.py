"""Names that merge two genes or split one are refused with their rows; those that may are told."""

from __future__ import annotations

import re

import pandas as pd
import pytest

from fatebias.data.reading.guide_map import read_guide_map
from fatebias.errors import DataError


def read(genes, ntc=()):
    """A guide map with one guide a row, for these genes in this order."""
    flags = [gene in ntc for gene in genes]
    guides = [f"g{number}" for number in range(len(genes))]
    return read_guide_map(pd.DataFrame({"guide_name": guides, "gene_name": genes, "is_ntc": flags}))


@pytest.mark.parametrize(
    "made",
    [
        "1-Mar", "01-Mar", "Mar-01", "Sep-02", "2-Sep", "1-Dec", "1. Mrz", "2-Okt", "1-Mar-24", "3/1/2024",
        "01.03.2024", "2024-03-01", "2024-03-01 00:00:00", "2.31E+19", "2,31E+19", "2E+05", "#N/A", "#NAME?",
        "#REF!",
    ],
)  # fmt: skip
def test_names_that_a_spreadsheet_made_are_refused(made):
    with pytest.raises(DataError, match="gene names that a spreadsheet made of other names") as caught:
        read(["SOX2", made, "PAX6", made])
    assert f"found: {made!r} (rows 1, 3)\n" in str(caught.value)


def test_dates_in_a_frame_are_refused():
    with pytest.raises(DataError, match="a spreadsheet made"):
        read(["SOX2", pd.Timestamp("2024-03-01")])


@pytest.mark.parametrize(
    "name",
    ["MARCH1", "MARCHF1", "SEPT2", "DEC1", "DEC-1", "OCT4", "MAR1", "NOV", "1e5", "2310009E13Rik", "7SK",
     "HLA-A", "NKX2-5", "H2-K1", "Sep15", "5-8S", "7-Mart"],
)  # fmt: skip
def test_names_of_genes_are_taken(name):
    assert read(["SOX2", name]).gene_of["g1"] == name
    assert read(["SOX2", name]).warnings == ()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("GATA2", "Gata2"),
        ("HLA-A", "HLA\N{NON-BREAKING HYPHEN}A"),
        ("HLA-A", "HLA\N{EN DASH}A"),
        ("SOX 2", "SOX\N{NO-BREAK SPACE}2"),
        ("SOX2", "SOX\N{ZERO WIDTH SPACE}2"),
        ("SOX2", "ＳＯＸ２"),
    ],
)
def test_two_spellings_of_one_gene_are_refused_with_their_rows(one, other):
    with pytest.raises(DataError, match="two spellings of one gene") as caught:
        read([one, "PAX6", other, one])
    assert f"found: {one!r} (rows 0, 3), {other!r} (rows 2)\n" in str(caught.value)
    assert re.search(r"where: the guide map \(DataFrame\): column gene_name", str(caught.value))


def test_controls_may_be_spelt_in_any_way():
    assert read(["SOX2", "NTC", "ntc", "1-Mar"], ntc=("NTC", "ntc", "1-Mar")).warnings == ()


def test_lines_of_a_file_are_named(tmp_path):
    path = tmp_path / "guides.csv"
    path.write_text("guide_name,gene_name,is_ntc\ng1,Sox2,0\n\ng2,SOX2,0\n")
    with pytest.raises(DataError, match=r"'Sox2' \(lines 2\), 'SOX2' \(lines 4\)"):
        read_guide_map(path)


def test_what_may_be_wrong_is_told(parts, load):
    (hyphen,) = read(["NKX2-5", "NKX2.5", "SOX2"]).warnings
    assert (
        "differ only in hyphens, points or underscores are two genes: 'NKX2-5' (rows 0), 'NKX2.5'" in hyphen
    )
    (number,) = read(["SOX2", "44256", "44256"]).warnings
    assert "gene names that are numbers" in number
    assert "'44256' (rows 1, 2)" in number
    assert read(["6657", "5080"]).warnings == ()  # Entrez identifiers
    (missing,) = read(["SOX2", "NA"]).warnings
    assert "usually mean a missing value: 'NA' (rows 1)" in missing
    renamed = [[g, {"TBXT": "44256"}.get(gene, gene), ntc] for g, gene, ntc in parts.guide_map]
    assert "gene names that are numbers" in load(parts.but(guide_map=renamed)).summary["warnings"][0]
