"""The guide map: which gene each CRISPR guide targets, and which guides are non-targeting controls (NTC)."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fatebias import names
from fatebias.data.reading.gene_names import check_gene_names
from fatebias.errors import DataError, some

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (names.MAP_GUIDE, names.MAP_GENE, names.MAP_NTC)
TRUTH = {"0": False, "1": True, "0.0": False, "1.0": True, "false": False, "true": True}
FRAME = "the guide map (DataFrame)"


@dataclass(frozen=True)
class GuideMap:
    """Each guide once, in the order of the file."""

    source: str  # the file's path or "the guide map (DataFrame)", for messages
    gene_of: dict[str, str]  # guide to gene as written, "" where the map leaves the gene of an NTC blank
    ntc: frozenset[str]  # the non-targeting guides
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Rows:
    """A guide map as text, before it is checked."""

    source: str
    header: list[str]
    counted: str  # what the numbers of `fields` count: lines of the file, or rows of the DataFrame
    fields: list[tuple[int, list[str]]]


def read_guide_map(guides: Path | pd.DataFrame) -> GuideMap:
    """Read the columns guide_name, gene_name and is_ntc of a CSV file or DataFrame, and check every row.

    All fields are text: a gene called ``nan`` or ``NA`` keeps its name. In a DataFrame a missing value
    (NaN, None) is a blank field.
    """
    rows = _read_csv(guides) if isinstance(guides, Path) else _read_frame(guides)
    _check_header(rows)
    place = [rows.header.index(column) for column in COLUMNS]
    short = [number for number, row in rows.fields if len(row) <= max(place)]
    if short:
        raise DataError(
            "rows of the guide map are too short",
            where=rows.source,
            found=f"{rows.counted} {some(short)}",
            allowed=f"a field for each of {', '.join(rows.header)}",
            fix="fill in the missing fields",
        )
    table = [(row[place[0]], row[place[1]], row[place[2]]) for _, row in rows.fields]
    _check_guides(table, rows)
    _check_genes(table, rows.source)
    ntc = _controls(table, rows.source)
    rows_of: dict[str, list[int]] = {}
    for (number, _), (guide, gene, _) in zip(rows.fields, table, strict=True):
        if guide not in ntc:
            rows_of.setdefault(gene, []).append(number)
    warnings = check_gene_names(rows_of, rows.counted, f"{rows.source}: column {names.MAP_GENE}")
    return GuideMap(rows.source, {guide: gene for guide, gene, _ in table}, ntc, warnings)


# pandas.read_csv would refuse a row with a field too many, which is harmless, and take a row with a field
# too few for one with a blank flag; csv.reader tells them apart.
def _read_csv(path: Path) -> _Rows:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise DataError(
            "the guide map does not exist", where=path, fix="data.guide_map_csv=guides.csv"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            "the guide map cannot be read",
            where=path,
            found=getattr(error, "strerror", None) or error,
            allowed="a CSV file in UTF-8",
            fix="data.guide_map_csv=guides.csv",
        ) from error
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        rows = [(reader.line_num, row) for row in reader if any(row)]
    except csv.Error as error:
        raise DataError(
            "the guide map cannot be read",
            where=path,
            found=error,
            allowed="a CSV file in UTF-8",
            fix="look for a quotation mark that is opened and not closed",
        ) from error
    if not rows:
        raise DataError("the guide map is empty", where=path, allowed=f"columns {', '.join(COLUMNS)}")
    return _Rows(str(path), rows[0][1], "lines", rows[1:])


def _read_frame(frame: pd.DataFrame) -> _Rows:
    if not hasattr(frame, "itertuples"):
        raise DataError(
            "the guide map is neither a file nor a DataFrame",
            where="guides",
            found=f"an object of type {type(frame).__name__}",
            allowed="the path of a CSV file, or a pandas DataFrame",
            fix='guides="guides.csv"',
        )
    if frame.index.name in COLUMNS and frame.index.name not in frame.columns:
        frame = frame.reset_index()
    fields = [[_text(value) for value in row] for row in frame.itertuples(index=False, name=None)]
    return _Rows(FRAME, [str(column) for column in frame.columns], "rows", list(enumerate(fields)))


def _text(value: Any) -> str:
    import pandas as pd

    return "" if pd.isna(value) else str(value)


def _check_header(rows: _Rows) -> None:
    header = rows.header
    absent = [column for column in COLUMNS if column not in header]
    if not absent:
        return
    alike = {column.strip().strip('"').lower(): column for column in header}
    near = [f"{alike[column]!r} to {column}" for column in absent if column in alike]
    fix = f"rename the columns to {', '.join(COLUMNS)}"
    if near:
        fix = f"only case or spaces differ: rename {', '.join(near)}"
    elif len(header) == 1 and any(mark in header[0] for mark in ("\t", ";")):
        fix = "separate the fields with commas"
    raise DataError(
        f"the guide map lacks {', '.join(absent)}",
        where=rows.source,
        found=f"columns {some(header)}",
        allowed=f"columns {', '.join(COLUMNS)}",
        fix=fix,
    )


def _check_guides(table: list[tuple[str, str, str]], rows: _Rows) -> None:
    where = f"{rows.source}: column {names.MAP_GUIDE}"
    if not table:
        raise DataError(
            "the guide map has no rows",
            where=rows.source,
            allowed="one row a guide",
            fix="add the guides of the screen",
        )
    numbers = [number for number, _ in rows.fields]
    unnamed = [number for number, (guide, _, _) in zip(numbers, table, strict=True) if not guide.strip()]
    if unnamed:
        raise DataError(
            "guides without a name",
            where=where,
            found=f"{rows.counted} {some(unnamed)}",
            allowed="a name in every row",
            fix="name these guides or remove their rows",
        )
    padded = [guide for guide, _, _ in table if guide != guide.strip()]
    if padded:
        raise DataError(
            "guide names begin or end with spaces",
            where=where,
            found=some(padded),
            fix="strip them, so that they match the names of the guide matrix",
        )
    rows_of: dict[str, list[tuple[str, str]]] = {}
    for guide, gene, flag in table:
        rows_of.setdefault(guide, []).append((gene, flag))
    twice = {guide: repeats for guide, repeats in rows_of.items() if len(repeats) > 1}
    differing = {guide: repeats for guide, repeats in twice.items() if len(set(repeats)) > 1}
    if differing:
        genes = (f"{guide} ({', '.join(g for g, _ in repeats)})" for guide, repeats in differing.items())
        raise DataError(
            "one guide is mapped to two genes",
            where=rows.source,
            found="; ".join(list(genes)[:10]),
            allowed="one row a guide",
            fix="keep the row that is right",
        )
    if twice:
        raise DataError(
            "duplicate guides in the guide map",
            where=where,
            found=some(twice),
            allowed="one row a guide",
            fix="remove the repeated rows",
        )


def _check_genes(table: Iterable[tuple[str, str, str]], source: str) -> None:
    padded = sorted({gene for _, gene, _ in table if gene.strip() and gene != gene.strip()})
    if padded:
        raise DataError(
            "gene names begin or end with spaces",
            where=f"{source}: column {names.MAP_GENE}",
            found=some(padded),
            fix="strip them, so that each gene has one name",
        )


def _controls(table: list[tuple[str, str, str]], source: str) -> frozenset[str]:
    odd = sorted({flag for _, _, flag in table if flag.strip().lower() not in TRUTH})
    if odd:
        raise DataError(
            f"{names.MAP_NTC} of the guide map is not boolean",
            where=f"{source}: column {names.MAP_NTC}",
            found=some(odd),
            allowed="0, 1, true, false",
            fix="write 1 for non-targeting control guides and 0 for all others",
        )
    ntc = frozenset(guide for guide, _, flag in table if TRUTH[flag.strip().lower()])
    blank = [guide for guide, gene, _ in table if not gene.strip() and guide not in ntc]
    if blank:
        raise DataError(
            "guides of the guide map have no gene",
            where=f"{source}: column {names.MAP_GENE}",
            found=some(blank),
            allowed=f"a gene for every guide whose {names.MAP_NTC} is 0",
            fix=f"fill in the gene, or set {names.MAP_NTC} to 1 for non-targeting guides",
        )
    return ntc
