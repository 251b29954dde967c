"""The guide map is read as written, and refused where it says too little or two things."""

from __future__ import annotations

import pytest

from fatebias.data.reading.guide_map import read_guide_map
from fatebias.errors import DataError

HEADER = "guide_name,gene_name,is_ntc\n"


@pytest.fixture
def read(tmp_path):
    def written(text, encoding="utf-8"):
        path = tmp_path / "guides.csv"
        path.write_bytes(text.encode(encoding))
        return read_guide_map(path)

    return written


def test_columns_in_any_order_with_others_beside(read):
    found = read("well,is_ntc,guide_name,gene_name\nA1,0,g1,SOX2\nA2,1,c1,\n")
    assert found.gene_of == {"g1": "SOX2", "c1": ""}
    assert found.ntc == {"c1"}


@pytest.mark.parametrize(
    ("yes", "no"), [("1", "0"), ("true", "false"), ("True", "FALSE"), ("1.0", "0.0"), (" 1 ", "0 ")]
)
def test_ways_to_write_is_ntc(read, yes, no):
    assert read(f"{HEADER}g1,SOX2,{no}\nc1,NTC,{yes}\n").ntc == {"c1"}


def test_text_is_taken_as_written(read):
    found = read(f'\ufeff{HEADER}g1,nan,0\r\ng2,NA,0\n"g,3","a ""b""",0\n007,1e5,0\n')
    assert found.gene_of == {"g1": "nan", "g2": "NA", "g,3": 'a "b"', "007": "1e5"}


def test_blank_lines_are_skipped_but_counted(read):
    assert len(read(f"{HEADER}\ng1,SOX2,0\n,,\n\n").gene_of) == 1
    with pytest.raises(DataError, match="too short\n.*\n  found: lines 5"):
        read(f"{HEADER}\ng1,SOX2,0\n\ng2\n")


def test_a_field_too_many_is_harmless(read):
    assert read(f"{HEADER}g1,SOX2,0,\ng2,PAX6,0\n").gene_of == {"g1": "SOX2", "g2": "PAX6"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "guide_name,gene_name\ng1,SOX2\n",
            "the guide map lacks is_ntc\n.*\n  found: columns 'guide_name', 'gene_name'",
        ),
        (
            "Guide_name,gene_name ,is_ntc\ng1,SOX2,0\n",
            "rename 'Guide_name' to guide_name, 'gene_name ' to gene_name",
        ),
        (f"{HEADER}g1,SOX2,0\ng1,SOX2,0\n", "duplicate guides in the guide map\n.*\n  found: 'g1'"),
        (
            f"{HEADER}g1,SOX2,0\ng1,PAX6,0\n",
            r"one guide is mapped to two genes\n.*\n  found: g1 \(SOX2, PAX6\)",
        ),
        (
            f"{HEADER}g1,SOX2,maybe\ng2,PAX6,2\n",
            "is_ntc of the guide map is not boolean\n.*\n  found: '2', 'maybe'\n  allowed: 0, 1, true, false",
        ),
        (f"{HEADER}g1,SOX2,\n", "is_ntc of the guide map is not boolean\n.*\n  found: ''"),
        (f"{HEADER}g1,,0\n", "guides of the guide map have no gene\n.*\n  found: 'g1'"),
        (f"{HEADER},SOX2,0\n", "guides without a name\n.*\n  found: lines 2"),
        (f"{HEADER} g1,SOX2,0\n", "guide names begin or end with spaces\n.*\n  found: ' g1'"),
        (f"{HEADER}g1,SOX2 ,0\n", "gene names begin or end with spaces\n.*\n  found: 'SOX2 '"),
        (f"{HEADER}g1,SOX2\n", "rows of the guide map are too short\n.*\n  found: lines 2"),
        (HEADER, "the guide map has no rows"),
        ("", "the guide map is empty"),
    ],
)
def test_what_is_refused(read, text, message):
    with pytest.raises(DataError, match=message) as caught:
        read(text)
    assert "guides.csv" in str(caught.value)


def test_no_such_map(tmp_path):
    with pytest.raises(
        DataError, match="the guide map does not exist\n  where: .*none.csv\n  fix: data.guide_map_csv"
    ):
        read_guide_map(tmp_path / "none.csv")


def test_a_map_that_is_no_text(read, tmp_path):
    with pytest.raises(
        DataError, match="the guide map cannot be read\n.*\n.*\n  allowed: a CSV file in UTF-8"
    ):
        read(f"{HEADER}g1,\xe4,0\n", encoding="latin-1")
    with pytest.raises(DataError, match="the guide map cannot be read"):
        read_guide_map(tmp_path)


def test_a_quotation_mark_that_is_not_closed(tmp_path):
    path = tmp_path / "guides.csv"
    rows = "".join(f"A_sg{number},A,0\n" for number in range(20_000))
    path.write_text(f'guide_name,gene_name,is_ntc\n"B_sg1,B,0\n{rows}')
    with pytest.raises(DataError, match=r"cannot be read(.|\n)*opened and not closed"):
        read_guide_map(path)
