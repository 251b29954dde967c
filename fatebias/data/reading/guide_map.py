"""The guide map: which gene each CRISPR guide targets, and which guides are non-targeting controls (NTC)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fatebias import names
from fatebias.data.reading.gene_names import check_gene_names
from fatebias.data.reading.table_file import TableRows, absent_table, read_table
from fatebias.errors import DataError, some
from fatebias.pasted import setting

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (names.MAP_GUIDE, names.MAP_GENE, names.MAP_NTC)
TRUTH = {"0": False, "1": True, "0.0": False, "1.0": True, "false": False, "true": True}
WHAT, KEY = "the guide map", "data.guide_map_csv"
FRAME = f"{WHAT} (DataFrame)"
TWO_TARGETS = {
    "first": "count for the first of them",
    "both": "have an effect of each, and count once in the burden",
    "drop": "are left out, as effect and as burden",
}
Entry = tuple[int, str, str, str]  # row, guide, gene, flag


@dataclass(frozen=True)
class GuideMap:
    """Each guide once, in the order of the file."""

    source: str  # the file's path or "the guide map (DataFrame)", for messages
    gene_of: dict[str, str]  # guide to gene as written, "" where the map leaves the gene of an NTC blank
    ntc: frozenset[str]  # the non-targeting guides
    further_genes: dict[str, tuple[str, ...]] = field(default_factory=dict)  # data.two_targets=both
    left_out: frozenset[str] = frozenset()  # guides with two targets, data.two_targets=drop
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def read_guide_map(guides: Path | pd.DataFrame, two_targets: str = "refuse") -> GuideMap:
    """Read the columns guide_name, gene_name and is_ntc of a text table or DataFrame, and check every row.

    All fields are text: a gene called ``nan`` or ``NA`` keeps its name. In a DataFrame a missing value
    (NaN, None) is a blank field.
    """
    if isinstance(guides, Path):
        rows = read_table(guides, COLUMNS, WHAT, KEY)
    else:
        rows = _read_frame(guides)
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
    table = [(number, row[place[0]], row[place[1]], row[place[2]]) for number, row in rows.fields]
    return map_of_entries(table, rows, two_targets)


def check_there(path: Path) -> None:
    """Refuse the path of a guide map at which nothing is."""
    if not path.exists():
        raise absent_table(path, WHAT, KEY)


def map_of_entries(table: list[Entry], rows: TableRows, two_targets: str) -> GuideMap:
    """Check rows of guide, gene and flag, and make them the guide map."""
    _check_guides(table, rows)
    twice = _several_targets(table, rows, two_targets)
    _check_genes(table, rows.source)
    ntc = _controls(table, rows.source)
    rows_of: dict[str, list[int]] = {}
    for number, guide, gene, _ in table:
        if guide not in ntc:
            rows_of.setdefault(gene, []).append(number)
    warnings = check_gene_names(rows_of, rows.counted, f"{rows.source}: column {names.MAP_GENE}")
    gene_of: dict[str, str] = {}
    for _, guide, gene, _ in table:
        gene_of.setdefault(guide, gene)
    both, drop = two_targets == "both", two_targets == "drop"
    told = TWO_TARGETS.get(two_targets, "")
    return GuideMap(
        rows.source,
        gene_of,
        ntc - frozenset(twice if drop else ()),
        further_genes={guide: genes[1:] for guide, genes in twice.items()} if both else {},
        left_out=frozenset(twice if drop else ()),
        notes=(f"{len(twice)} guides with two targets {told} (data.two_targets={two_targets})",)
        if twice
        else (),
        warnings=warnings,
    )


def _read_frame(frame: pd.DataFrame) -> TableRows:
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
    fields = [[as_field(value) for value in row] for row in frame.itertuples(index=False, name=None)]
    return TableRows(FRAME, [str(column) for column in frame.columns], "rows", list(enumerate(fields)))


def as_field(value: Any) -> str:
    """Return a value of a DataFrame as the text of a field, blank where it is missing."""
    import pandas as pd

    return "" if pd.isna(value) else str(value)


def _check_header(rows: TableRows) -> None:
    header = rows.header
    absent = [column for column in COLUMNS if column not in header]
    if not absent:
        return
    alike = {column.strip().strip('"').lower(): column for column in header}
    near = [f"{alike[column]!r} to {column}" for column in absent if column in alike]
    fix = f"rename the columns to {', '.join(COLUMNS)}"
    if absent == ["is_ntc"]:
        fix = "add is_ntc, true for controls and false for others; fatebias prepare finds controls by name"
    if near:
        fix = f"only case or spaces differ: rename {', '.join(near)}"
    raise DataError(
        f"the guide map lacks {', '.join(absent)}",
        where=rows.source,
        found=f"columns {some(header)}",
        allowed=f"columns {', '.join(COLUMNS)}",
        fix=fix,
    )


def _check_guides(table: list[Entry], rows: TableRows) -> None:
    where = f"{rows.source}: column {names.MAP_GUIDE}"
    if not table:
        raise DataError(
            "the guide map has no rows",
            where=rows.source,
            allowed="one row a guide",
            fix="add the guides of the screen",
        )
    unnamed = [number for number, guide, _, _ in table if not guide.strip()]
    if unnamed:
        raise DataError(
            "guides without a name",
            where=where,
            found=f"{rows.counted} {some(unnamed)}",
            allowed="a name in every row",
            fix="name these guides or remove their rows",
        )
    padded = [guide for _, guide, _, _ in table if guide != guide.strip()]
    if padded:
        raise DataError(
            "guide names begin or end with spaces",
            where=where,
            found=some(padded),
            fix="strip them, so that they match the names of the guide matrix",
        )


def _several_targets(table: list[Entry], rows: TableRows, two_targets: str) -> dict[str, tuple[str, ...]]:
    """Return the genes of each guide that has several, and refuse repeated rows."""
    rows_of: dict[str, list[tuple[int, str, str]]] = {}
    for number, guide, gene, flag in table:
        rows_of.setdefault(guide, []).append((number, gene, flag.strip().lower()))
    twice = {guide: repeats for guide, repeats in rows_of.items() if len(repeats) > 1}
    differing = {guide: repeats for guide, repeats in twice.items() if len({r[1:] for r in repeats}) > 1}
    flags = [guide for guide, repeats in differing.items() if len({flag for _, _, flag in repeats}) > 1]
    if differing and (two_targets == "refuse" or (flags and two_targets == "both")):
        genes = (
            f"{guide} ({', '.join(gene for _, gene, _ in repeats)}) in "
            f"{rows.counted} {', '.join(str(number) for number, _, _ in repeats)}"
            for guide, repeats in differing.items()
        )
        raise DataError(
            "one guide is mapped to two genes",
            where=rows.source,
            found="; ".join(list(genes)[:10]),
            allowed="one row a guide",
            fix=f"keep the row that is right; or {setting('data.two_targets', 'first')} takes the first row, "
            + (f"{setting('data.two_targets', 'both')} an effect of each gene, " if not flags else "")
            + f"{setting('data.two_targets', 'drop')} leaves the guide out",
        )
    if set(twice) - set(differing):
        raise DataError(
            "duplicate guides in the guide map",
            where=f"{rows.source}: column {names.MAP_GUIDE}",
            found=some(twice),
            allowed="one row a guide",
            fix="remove the repeated rows",
        )
    return {
        guide: tuple(dict.fromkeys(gene for _, gene, _ in repeats)) for guide, repeats in differing.items()
    }


def _check_genes(table: Iterable[Entry], source: str) -> None:
    padded = sorted({gene for _, _, gene, _ in table if gene.strip() and gene != gene.strip()})
    if padded:
        raise DataError(
            "gene names begin or end with spaces",
            where=f"{source}: column {names.MAP_GENE}",
            found=some(padded),
            fix="strip them, so that each gene has one name",
        )


def _controls(table: list[Entry], source: str) -> frozenset[str]:
    odd = sorted({flag for _, _, _, flag in table if flag.strip().lower() not in TRUTH})
    if odd:
        raise DataError(
            f"{names.MAP_NTC} of the guide map is not boolean",
            where=f"{source}: column {names.MAP_NTC}",
            found=some(odd),
            allowed="0, 1, true, false",
            fix="write 1 for non-targeting control guides and 0 for all others",
        )
    first: dict[str, bool] = {}
    for _, guide, _, flag in table:
        first.setdefault(guide, TRUTH[flag.strip().lower()])
    ntc = frozenset(guide for guide, control in first.items() if control)
    blank = [guide for _, guide, gene, _ in table if not gene.strip() and guide not in ntc]
    if blank:
        raise DataError(
            "guides of the guide map have no gene",
            where=f"{source}: column {names.MAP_GENE}",
            found=some(blank),
            allowed=f"a gene for every guide whose {names.MAP_NTC} is 0",
            fix=f"fill in the gene, or set {names.MAP_NTC} to 1 for non-targeting guides",
        )
    return ntc
