"""Tables as text, however they were saved: commas, tabs, semicolons or spaces, UTF-8 or UTF-16, gzip."""

from __future__ import annotations

import csv
import gzip
import io
import shlex
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fatebias.errors import DataError, some
from fatebias.pasted import setting

SEPARATORS = (",", "\t", ";", " ")
GZIP, ZIP, HDF5 = b"\x1f\x8b", b"PK", b"\x89HDF"
UTF16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class TableRows:
    """A table as text: a header, and rows that may be shorter than it."""

    source: str
    header: list[str]
    counted: str  # what the numbers of `fields` count: lines of the file, or rows of a DataFrame
    fields: list[tuple[int, list[str]]]


def read_table(path: Path, wanted: Sequence[str], what: str, key: str) -> TableRows:
    """Read a text table; `wanted` are the columns by which the separator is known, `what` and `key` name it.

    A header that is one field shorter than every row lacks the name of the row names (R's write.table).
    """
    text = _decoded(path, what, key)
    separator = _separator(text, wanted)
    rows = _parsed(text, separator, path, what)
    if not rows:
        raise DataError(f"{what} is empty", where=path, allowed=f"columns {', '.join(wanted)}")
    header, fields = rows[0][1], rows[1:]
    longer = {len(row) - len(header) for _, row in fields}
    if longer == {1} and any(row[-1].strip() for _, row in fields):
        header = ["", *header]
    ragged = [number for number, row in fields if any(field.strip() for field in row[len(header) :])]
    if ragged:
        raise DataError(
            f"rows of {what} have more fields than its header",
            where=path,
            found=f"lines {some(ragged)}",
            allowed=f"a field for each of {', '.join(filter(None, header))}",
            fix="put fields that hold the separator in quotation marks, or remove the fields too many",
        )
    return TableRows(str(path), header, "lines", fields)


def absent_table(path: Path, what: str, key: str) -> DataError:
    """Return the error for a table that is not there."""
    return DataError(f"{what} does not exist", where=path, fix=_given(key))


def _given(key: str, file: str = "FILE.csv") -> str:
    """Return what names a table: an option of a command or a setting."""
    return f"{key} {shlex.quote(file)}" if key.startswith("--") else setting(key, file)


def _decoded(path: Path, what: str, key: str) -> str:
    try:
        if path.is_dir():
            raise _no_table(path, what, key, "a folder")
        content = path.read_bytes()
        if content.startswith(GZIP):
            content = gzip.decompress(content)
        if content.startswith(HDF5):
            raise _no_table(path, what, key, "an HDF5 file, as .h5ad and .h5 are")
        if content.startswith(ZIP):
            raise DataError(
                f"{what} cannot be read",
                where=path,
                found="a zip archive, as spreadsheets (.xlsx) are",
                allowed="a text table",
                fix="save the sheet as CSV UTF-8 and name that file",
            )
        return content.decode("utf-16" if content.startswith(UTF16) else "utf-8-sig")
    except FileNotFoundError as error:
        raise absent_table(path, what, key) from error
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise DataError(
            f"{what} cannot be read",
            where=path,
            found=getattr(error, "strerror", None) or error,
            allowed="a CSV file in UTF-8, or one with tabs or semicolons, in UTF-16, or in gzip",
            fix=f"save it as CSV UTF-8, then {_given(key, str(path))}",
        ) from error


def _no_table(path: Path, what: str, key: str, found: str) -> DataError:
    return DataError(
        f"{what} cannot be read",
        where=path,
        found=found,
        allowed="a CSV file in UTF-8, or one with tabs or semicolons, in UTF-16, or in gzip",
        fix=f"name the table itself: {_given(key)}",
    )


def _separator(text: str, wanted: Sequence[str]) -> str:
    """Return what parts the header into most of the wanted columns, else into most fields."""
    header = next((line for line in text.splitlines() if line.strip()), "")

    def parted(separator: str) -> tuple[int, int]:
        names = [name.strip().casefold() for name in next(csv.reader([header], delimiter=separator), [])]
        fields = len(names) if separator != " " else 0  # a header of words is no table
        return sum(name.casefold() in names for name in wanted), fields

    return max(SEPARATORS, key=parted)


def _parsed(text: str, separator: str, path: Path, what: str) -> list[tuple[int, list[str]]]:
    """Return the rows that hold anything, each with the line on which it begins."""
    rows: list[tuple[int, list[str]]] = []
    for strict in (True, False):
        reader = csv.reader(
            io.StringIO(text, newline=""),
            delimiter=separator,
            strict=strict,
            skipinitialspace=separator == " ",
        )
        rows.clear()
        begun = 1
        try:
            for row in reader:
                if any(row):
                    rows.append((begun, row))
                begun = reader.line_num + 1
        except csv.Error as error:
            # Strict reading alone sees a quotation mark that is never closed, and refuses harmless ones too.
            if strict and "unexpected end" not in str(error) and "field larger" not in str(error):
                continue
            raise DataError(
                f"{what} cannot be read",
                where=path,
                found=f"{error}, in the row that begins on line {begun}",
                allowed="a CSV file in UTF-8",
                fix="look for a quotation mark that is opened and not closed",
            ) from error
        break
    return rows
