"""A guide table is read however it was saved, and rows that do not fit are named by their lines."""

from __future__ import annotations

import gzip

import pytest

from fatebias.data.reading.guide_map import read_guide_map
from fatebias.data.reading.table_file import read_table
from fatebias.errors import DataError

ROWS = [["g1", "SOX2", "0"], ["g2", 'a "b", c; d', "0"], ["c 1", "non targeting", "1"]]
EXPECTED = {"g1": "SOX2", "g2": 'a "b", c; d', "c 1": "non targeting"}
HEADER = ["guide_name", "gene_name", "is_ntc"]


def quoted(field):
    doubled = field.replace('"', '""')
    return f'"{doubled}"'


def table(separator, *, header=HEADER, numbered=False):
    lines = [separator.join(map(quoted, header))]
    lines += [
        separator.join(map(quoted, [str(n), *row] if numbered else row)) for n, row in enumerate(ROWS, 1)
    ]
    return "\n".join(lines) + "\n"


@pytest.fixture
def read(tmp_path):
    def written(content, **settings):
        path = tmp_path / "guides.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_guide_map(path, **settings)

    return written


@pytest.mark.parametrize("separator", [",", "\t", ";", " "])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_separators_encodings_and_gzip(read, separator, encoding, pack):
    found = read(pack(table(separator).encode(encoding)))
    assert found.gene_of == EXPECTED
    assert found.ntc == {"c 1"}


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_ends_of_lines(read, end):
    assert read(table(";").replace("\n", end)).gene_of == EXPECTED


@pytest.mark.parametrize("separator", [",", "\t", " "])
def test_a_header_one_field_short_as_r_writes_it(read, separator):
    assert read(table(separator, numbered=True)).gene_of == EXPECTED


def test_a_comma_at_the_end_of_every_row_is_no_row_name(read):
    assert read("guide_name,gene_name,is_ntc\ng1,SOX2,0,\nc1,NTC,1,\n").gene_of == {"g1": "SOX2", "c1": "NTC"}


def test_a_header_one_field_short_names_the_right_lines(read):
    short = 'guide_name gene_name is_ntc\n"1" g1 SOX2 FALSE\n\n"2" g2 PAX6 maybe\n"3" g1 PAX6 FALSE\n'
    with pytest.raises(DataError, match=r"two genes\n.*\n  found: g1 \(SOX2, PAX6\) in lines 2, 5\n"):
        read(short)


def test_rows_with_too_many_fields_are_named(read):
    text = "guide_name,gene_name,is_ntc\ng1,SOX2,0\ng2,a gene, with a comma,0\n\ng3,PAX6,0\ng4,SOX2,0,more\n"
    with pytest.raises(DataError, match="rows of the guide map have more fields than its header") as caught:
        read(text)
    assert "found: lines 3, 6\n" in str(caught.value)


def test_a_row_over_two_lines_is_named_by_its_first(read):
    text = 'guide_name,gene_name,is_ntc\ng1,"SOX2",0,"a note\nover two lines"\ng2\ng3,"x\ny"\n'
    with pytest.raises(DataError, match="more fields than its header\n.*\n  found: lines 2\n"):
        read(text)
    with pytest.raises(DataError, match="too short\n.*\n  found: lines 4, 5\n"):
        read(text.replace(',"a note\nover two lines"', "\n"))


def test_an_open_quotation_mark_is_named_by_its_line(read):
    with pytest.raises(DataError, match="unexpected end of data, in the row that begins on line 3"):
        read('guide_name,gene_name,is_ntc\ng1,SOX2,0\ng2,"PAX6,0\ng3,TBXT,0\n')
    assert read('guide_name,gene_name,is_ntc\ng1,SO"X2,0\n').gene_of == {"g1": 'SO"X2'}


def test_a_spreadsheet_is_told_as_one(read):
    with pytest.raises(DataError, match=r"spreadsheets \(.xlsx\)(.|\n)*save the sheet as CSV"):
        read(b"PK\x03\x04" + b"\0" * 30)


@pytest.mark.parametrize(
    ("key", "fix"),
    [("--library", "--library FILE.csv"), ("data.guide_map_csv", "data.guide_map_csv=FILE.csv")],
)
def test_what_is_no_table_is_told_as_what_it_is(tmp_path, key, fix):
    screen = tmp_path / "screen.h5ad"
    screen.write_bytes(b"\x89HDF\r\n\x1a\n")
    for path, found in ((screen, "an HDF5 file"), (tmp_path, "a folder")):
        with pytest.raises(DataError, match=rf"found: {found}[\s\S]*fix: name the table itself: {fix}$"):
            read_table(path, ("id",), "the table", key)


@pytest.mark.parametrize(("key", "equals"), [("--library", " "), ("data.guide_map_csv", "=")])
def test_a_table_in_another_encoding_is_named_with_its_folder(tmp_path, key, equals):
    path = tmp_path / "latin.csv"
    path.write_bytes(b"id\n\xe4\n")
    with pytest.raises(DataError, match=f"then {key}{equals}{path}$"):
        read_table(path, ("id",), "the table", key)


def test_a_torn_gzip(read):
    with pytest.raises(DataError, match="the guide map cannot be read"):
        read(gzip.compress(table(",").encode())[:-12])


def test_commas_decide_where_no_column_is_known(read):
    with pytest.raises(
        DataError, match="lacks guide_name, gene_name, is_ntc\n.*\n  found: columns 'sgRNA id', 'gene'"
    ):
        read("sgRNA id,gene\ng1,SOX2\n")


TWO = "guide_name,gene_name,is_ntc\ng1,SOX2,0\ng1,PAX6,0\ng2,PAX6,0\nc1,NTC,1\n"


def test_two_targets_each_have_a_way_out(read):
    with pytest.raises(DataError, match="one guide is mapped to two genes") as caught:
        read(TWO)
    for choice in ("first", "both", "drop"):
        assert f"data.two_targets={choice}" in str(caught.value)
    assert read(TWO, two_targets="first").gene_of == {"g1": "SOX2", "g2": "PAX6", "c1": "NTC"}
    assert read(TWO, two_targets="both").further_genes == {"g1": ("PAX6",)}
    assert read(TWO, two_targets="drop").left_out == {"g1"}


def test_two_targets_of_which_one_is_control(read):
    text = "guide_name,gene_name,is_ntc\ng1,SOX2,0\ng1,NTC,1\n"
    with pytest.raises(DataError, match="mapped to two genes"):
        read(text, two_targets="both")
    assert read(text, two_targets="first").ntc == frozenset()


@pytest.mark.parametrize("choice", ["first", "both", "drop"])
def test_two_targets_in_the_screen(parts, load, choice):
    """TBXT_sg1 targets SOX2, too: its effects and its burden are those that the choice says."""
    twice = parts.but(guide_map=[*parts.guide_map, ["TBXT_sg1", "SOX2", 0]])
    screen = load(twice, two_targets=choice)
    held = parts.guides.to_numpy()
    carries = parts.guides["TBXT_sg1"].to_numpy() > 0
    gene_of_guide = [screen.gene_names[gene - 1] for gene in screen.gene_of_guide[1:]]
    carried = {
        gene: ((screen.guide_ids > 0) & (screen.gene_of_guide[screen.guide_ids] == number)).sum(axis=1)
        for number, gene in enumerate(screen.gene_names, start=1)
    }
    other = parts.guides["TBXT_sg2"].to_numpy()
    if choice == "first":
        assert screen.fingerprint() == load(parts).fingerprint()
    if choice == "both":
        assert dict(zip(screen.guide_names, gene_of_guide, strict=True)) == {
            "GATA2_sg1": "GATA2", "GATA2_sg2": "GATA2", "TBXT_sg1 [SOX2]": "SOX2", "TBXT_sg1 [TBXT]": "TBXT",
            "TBXT_sg2": "TBXT",
        }  # fmt: skip
        assert (carried["SOX2"] == carries).all()
        assert (carried["TBXT"] == carries + other).all()
    if choice == "drop":
        assert (carried["TBXT"] == other).all()
    burden = held.sum(axis=1) - (carries if choice == "drop" else 0)
    assert (screen.n_guides == burden).all()
    assert any(f"data.two_targets={choice}" in note for note in screen.summary["notes"])
