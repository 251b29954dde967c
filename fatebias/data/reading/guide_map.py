"""The guide map: which gene each CRISPR guide targets, and which guides are non-targeting controls."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path

from fatebias import names
from fatebias.errors import DataError, some

COLUMNS = (names.MAP_GUIDE, names.MAP_GENE, names.MAP_NTC)
TRUTH = {"0": False, "1": True, "0.0": False, "1.0": True, "false": False, "true": True}


@dataclass(frozen=True)
class GuideMap:
    """Guides in the order of the file.

    Parameters
    ----------
    source
        The file, for messages.
    gene_of
        Gene of each guide; the gene is as written, blank where the file leaves it so.
    ntc
        The guides that are non-targeting controls.
    """

    source: str
    gene_of: dict[str, str]
    ntc: frozenset[str]


def read_guide_map(path: Path) -> GuideMap:
    """Read and check a guide map.

    Every field is text: a gene called ``nan`` or ``NA`` stays what it is.

    Parameters
    ----------
    path
        CSV with the columns guide_name, gene_name and is_ntc (0/1, true/false).

    Returns
    -------
    GuideMap
        Each guide once.

    Raises
    ------
    DataError
        When the file is absent or empty, lacks a column, lists a guide twice or without a name,
        pads a name with spaces, gives a gene guide no gene, or has another is_ntc than 0/1.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise DataError("the guide map does not exist", where=path, fix="data.guide_map_csv=PATH") from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            "the guide map cannot be read",
            where=path,
            found=getattr(error, "strerror", None) or error,
            allowed="a CSV file in UTF-8",
            fix="data.guide_map_csv=PATH",
        ) from error
    try:
        rows = [row for row in csv.reader(io.StringIO(text, newline="")) if any(row)]
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
    return parse_guide_map(rows[0], rows[1:], str(path))


def parse_guide_map(header: list[str], rows: list[list[str]], source: str) -> GuideMap:
    """Check the rows of a guide map.

    Parameters
    ----------
    header
        Names of the columns.
    rows
        The fields of each guide.
    source
        The file, for messages.

    Returns
    -------
    GuideMap
        Each guide once.

    Raises
    ------
    DataError
        As `read_guide_map` does.
    """
    _check_header(header, source)
    place = [header.index(column) for column in COLUMNS]
    ragged = [number for number, row in enumerate(rows, start=2) if len(row) <= max(place)]
    if ragged:
        raise DataError("rows of the guide map are too short", where=source, found=f"lines {some(ragged)}")
    table = [(row[place[0]], row[place[1]], row[place[2]]) for row in rows]
    _check_guides(table, source)
    _check_genes(table, source)
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
    return GuideMap(source, {guide: gene for guide, gene, _ in table}, ntc)


def _check_header(header: list[str], source: str) -> None:
    absent = [column for column in COLUMNS if column not in header]
    if not absent:
        return
    alike = {column.strip().strip('"').lower(): column for column in header}
    near = [f"{alike[column]!r} for {column}" for column in absent if column in alike]
    hint = "rename the columns"
    if near:
        hint = f"only case or spaces differ: rename {', '.join(near)}"
    elif len(header) == 1 and any(mark in header[0] for mark in ("\t", ";")):
        hint = "separate the fields with commas"
    raise DataError(
        f"the guide map lacks {', '.join(absent)}",
        where=source,
        found=f"columns {some(header)}",
        allowed=f"columns {', '.join(COLUMNS)}",
        fix=hint,
    )


def _check_guides(table: list[tuple[str, str, str]], source: str) -> None:
    where = f"{source}: column {names.MAP_GUIDE}"
    if not table:
        raise DataError("the guide map has no rows", where=source)
    unnamed = [line for line, (guide, _, _) in enumerate(table, start=2) if not guide.strip()]
    if unnamed:
        raise DataError("guides without a name", where=where, found=f"lines {some(unnamed)}")
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
    twice = {guide: rows for guide, rows in rows_of.items() if len(rows) > 1}
    torn = [
        f"{guide} ({', '.join(g for g, _ in rows)})" for guide, rows in twice.items() if len(set(rows)) > 1
    ]
    if torn:
        raise DataError(
            "one guide is mapped to two genes",
            where=source,
            found="; ".join(torn[:10]),
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


def _check_genes(table: list[tuple[str, str, str]], source: str) -> None:
    padded = sorted({gene for _, gene, _ in table if gene.strip() and gene != gene.strip()})
    if padded:
        raise DataError(
            "gene names begin or end with spaces",
            where=f"{source}: column {names.MAP_GENE}",
            found=some(padded),
            fix="strip them, so that each gene has one name",
        )
