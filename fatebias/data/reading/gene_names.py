"""Gene names that are no names: made by a spreadsheet, spelt in two ways, or text that means missing."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence

from fatebias.data.reading.labels import means_missing
from fatebias.errors import DataError, few

# MARCH1 and MARC1 both become 1-Mar, SEPT2 2-Sep, DEC1 1-Dec: English, German and French spellings.
MONTH = (
    "jan|feb|fév|mar|mrz|mär|mars|apr|avr|may|mai|jun|juin|jul|juil|aug|août|sep|sept|oct|okt|nov|dec|dez|déc"
)
DATE = re.compile(
    rf"\d{{1,2}}[-./ ]+(?:{MONTH})\.?(?:[-./ ]+\d{{2,4}})?"  # 1-Mar, 1-Mar-24
    rf"|(?:{MONTH})\.?-\d{{2,4}}"  # Mar-01
    r"|\d{4}-\d{2}-\d{2}(?:[ T]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?)?"  # 2024-03-01 00:00:00
    r"|\d{1,2}[/.]\d{1,2}[/.]\d{2,4}",  # 3/1/2024
    re.IGNORECASE,
)
POWER = re.compile(r"\d(?:[.,]\d+)?E\+\d{2,}", re.IGNORECASE)  # 2310009E13Rik becomes 2.31E+19
FAILED = re.compile(r"#(?:N/A|NAME\?|REF!|VALUE!|DIV/0!|NUM!|NULL!)", re.IGNORECASE)
NUMBER = re.compile(r"\d+(?:\.\d+)?")


def check_gene_names(rows_of: Mapping[str, Sequence[int]], counted: str, where: str) -> tuple[str, ...]:
    """Refuse names that merge or split genes, and return warnings of those that may.

    `rows_of` has the rows of each gene's guides, `counted` what their numbers count (lines, rows).
    """

    def shown(genes: Sequence[str]) -> str:
        return few([f"{gene!r} ({counted} {few(list(map(str, rows_of[gene])), 5)})" for gene in genes])

    made = [gene for gene in rows_of if any(kind.fullmatch(gene) for kind in (DATE, POWER, FAILED))]
    if made:
        raise DataError(
            "gene names that a spreadsheet made of other names",
            where=where,
            found=shown(made),
            allowed="the names of the library: MARCH1 and MARC1 both become 1-Mar, and would be one gene",
            fix="take these rows from the library's own table; tell the spreadsheet that the column is text",
        )
    for spelling in _several_spellings(rows_of, _letters):
        raise DataError(
            "two spellings of one gene: only case, spaces or look-alike signs differ",
            where=where,
            found=shown(spelling),
            allowed="one spelling, else the guides count for two genes",
            fix=f"write {spelling[0]} in all these rows, or make the names clearly different",
        )
    warnings = [
        f"gene names that differ only in hyphens, points or underscores are two genes: {shown(spelling)}"
        for spelling in _several_spellings(rows_of, lambda gene: re.sub(r"[-._ ]+", "-", _letters(gene)))
    ]
    numbers = [gene for gene in rows_of if NUMBER.fullmatch(gene)]
    if numbers and len(numbers) < len(rows_of):  # numbers alone are identifiers (Entrez)
        warnings.append(
            f"gene names that are numbers, as a spreadsheet makes of dates: {shown(numbers)}; read as written"
        )
    missing = [gene for gene in rows_of if means_missing(gene)]
    if missing:
        warnings.append(
            f"gene names that usually mean a missing value: {shown(missing)}; their guides count as one gene"
        )
    return tuple(warnings)


def _letters(gene: str) -> str:
    """Return a name without what the eye does not see: case, spaces, kinds of hyphens and of letters."""
    plain = unicodedata.normalize("NFKC", gene).casefold()
    plain = "".join("-" if unicodedata.category(sign) == "Pd" else sign for sign in plain)
    return "".join(sign for sign in plain if unicodedata.category(sign) not in ("Cf", "Zs", "Cc"))


def _several_spellings(rows_of: Mapping[str, Sequence[int]], same: Callable[[str], str]) -> list[list[str]]:
    alike: dict[str, list[str]] = {}
    for gene in rows_of:
        alike.setdefault(same(gene), []).append(gene)
    return [genes for genes in alike.values() if len(genes) > 1]
