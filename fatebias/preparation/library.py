"""The library of guides: a table in any of the layouts that people have, as a guide map with kinds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fatebias.data.reading.guide_map import Entry, GuideMap, as_field, map_of_entries
from fatebias.data.reading.table_file import TableRows, read_table
from fatebias.errors import ConfigError, DataError, some
from fatebias.preparation.kinds import CONTROLS, FLAGS, NON_TARGETING, UNCLEAR, kind_of

if TYPE_CHECKING:
    import pandas as pd

# Names of columns, in any case: this project's guide map, Cell Ranger's feature reference, IGVF's guide
# metadata, CRISPick, Broad and Addgene tables.
GUIDE = (
    "guide_name", "guide_id", "sgrna_id", "sgrna_name", "sgrna", "grna_id", "grna", "guide", "id", "name",
    "protospacer_id",
)  # fmt: skip
GENE = (
    "gene_name", "target_gene_name", "intended_target_name", "target_gene", "target_gene_symbol",
    "gene_symbol", "gene", "symbol", "target", "target_gene_id", "gene_id",
)  # fmt: skip
SAID = ("type", "guide_type", "control_type", "kind", "class", "category", "role")
IS_CONTROL, IS_TARGETING = ("is_ntc", "is_control", "ntc"), ("targeting", "is_targeting")
WHAT, KEY = "the guide library", "--library"


@dataclass(frozen=True)
class Library:
    """Guides with what they target, and what they are for."""

    source: str
    guide_map: GuideMap  # the controls that were asked for are its NTC
    kind_of: Mapping[str, str]  # of each guide

    def guides_of(self, kind: str) -> list[str]:
        """Return the guides of a kind."""
        return [guide for guide, found in self.kind_of.items() if found == kind]


def read_library(
    library: Path | pd.DataFrame, held: Collection[str], controls: Sequence[str], two_targets: str
) -> Library:
    """Read a library; of several columns that may name its guides, that with most of the names in `held`."""
    rows = _rows(library)
    place = {
        name.strip().strip('"').casefold(): number for number, name in reversed(list(enumerate(rows.header)))
    }
    guide_columns = [place[name] for name in GUIDE if name in place]
    gene_columns = [place[name] for name in GENE if name in place]
    if not guide_columns or not gene_columns:
        lacking, names = ("guides", GUIDE) if not guide_columns else ("genes", GENE)
        raise DataError(
            f"{WHAT} has no column that names its {lacking}",
            where=rows.source,
            found=f"columns {some(rows.header)}",
            allowed=f"one of {', '.join(names)}",
            fix=f"rename the column to {names[0]}",
        )
    used = [*guide_columns, *gene_columns]
    short = [number for number, row in rows.fields if len(row) <= max(used)]
    if short:
        raise DataError(
            f"rows of {WHAT} are too short",
            where=rows.source,
            found=f"{rows.counted} {some(short)}",
            allowed=f"a field for each of {', '.join(filter(None, rows.header))}",
            fix="fill in the missing fields",
        )

    def field(row: Sequence[str], names: Sequence[str]) -> str:
        at = next((place[name] for name in names if name in place), len(row))
        return row[at] if at < len(row) else ""

    _check_flags(rows)
    matching = {column: sum(row[column] in held for _, row in rows.fields) for column in guide_columns}
    guide = max(guide_columns, key=lambda column: matching[column])
    gene = gene_columns[0]
    kinds = [
        kind_of(row[guide], row[gene], field(row, SAID), field(row, IS_CONTROL), field(row, IS_TARGETING))
        for _, row in rows.fields
    ]
    table = [(number, row[guide], row[gene], "") for number, row in rows.fields]
    return _as_library(table, kinds, rows, controls, two_targets)


def library_of_map(found: GuideMap, controls: Sequence[str], two_targets: str) -> Library:
    """Return the library that a screen brings with it."""
    table: list[Entry] = []
    kinds = []
    for number, (guide, gene) in enumerate(found.gene_of.items()):
        for each in (gene, *found.further_genes.get(guide, ())):
            if guide not in found.left_out:
                table.append((number, guide, each, ""))
                kinds.append(kind_of(guide, each, "", str(guide in found.ntc), ""))
    return _as_library(table, kinds, TableRows(found.source, [], "rows", []), controls, two_targets)


def _as_library(
    table: Sequence[Entry], kinds: Sequence[str], rows: TableRows, controls: Sequence[str], two_targets: str
) -> Library:
    genes = Counter(gene for _, _, gene, _ in table)
    unknown = [name for name in controls if name not in (*CONTROLS, UNCLEAR) and name not in genes]
    if unknown or not controls:
        raise ConfigError(
            f"--controls names no kind of control and no gene of the library: {some(unknown) or 'nothing'}",
            where=rows.source,
            found=", ".join(controls) or "nothing",
            allowed=f"{', '.join(CONTROLS)}, or genes of the library, separated by commas",
            fix=f"--controls {NON_TARGETING}",
        )
    entries: list[Entry] = []
    for (number, guide, gene, _), kind in zip(table, kinds, strict=True):
        control = kind in controls or gene in controls
        # Controls without a role count as one gene: libraries often name each after its own place.
        name = kind if kind in CONTROLS and not control else gene
        entries.append((number, guide, name, str(control)))
    found = map_of_entries(entries, rows, two_targets)
    of_guide = {guide: kind for (_, guide, _, _), kind in zip(table, kinds, strict=True)}
    return Library(rows.source, found, of_guide)


def _check_flags(rows: TableRows) -> None:
    for place, name in enumerate(rows.header):
        if name.strip().casefold() not in (*IS_CONTROL, *IS_TARGETING):
            continue
        values = {row[place].strip() for _, row in rows.fields if place < len(row)}
        odd = sorted(value for value in values if value and value.lower() not in FLAGS)
        if odd:
            raise DataError(
                f"a column of {WHAT} says neither true nor false",
                where=f"{rows.source}: column {name}",
                found=some(odd),
                allowed="0, 1, true, false, yes, no, or nothing",
                fix="correct these rows, or remove the column: controls are found by name, too",
            )


def _rows(library: Path | pd.DataFrame) -> TableRows:
    if isinstance(library, Path):
        return read_table(library, (*GUIDE, *GENE), WHAT, KEY)
    if not hasattr(library, "itertuples"):
        raise DataError(
            f"{WHAT} is neither a file nor a DataFrame",
            where="library",
            found=f"an object of type {type(library).__name__}",
            allowed="the path of a table, or a pandas DataFrame",
            fix='library="library.csv"',
        )
    if library.index.name is not None and library.index.name not in library.columns:
        library = library.reset_index()
    fields = [[as_field(value) for value in row] for row in library.itertuples(index=False, name=None)]
    return TableRows(
        f"{WHAT} (DataFrame)", [str(name) for name in library.columns], "rows", list(enumerate(fields))
    )
