"""Names of the fate columns: from the most trusted source that has them, checked with terminal cells."""

from __future__ import annotations

import re

import numpy as np

from fatebias.config import DataConfig
from fatebias.data.reading.labels import means_missing
from fatebias.data.reading.raw import RawScreen
from fatebias.errors import DataError, some
from fatebias.pasted import setting

# Terminal cells are one-hot in their own fate's column. A mean above this in another column says that the
# columns are in another order than their names.
CONTRADICTION = 0.9
# CellRank 1 named its columns of terminal states otherwise.
CELLRANK_1 = {"to_terminal_states": "terminal_states", "from_initial_states": "initial_states"}


def name_columns(raw: RawScreen, data: DataConfig) -> tuple[tuple[str, ...], str]:
    """Return the names of the columns, from the most trusted source that has them."""
    where = raw.at("obsm", data.fate_prob_key)
    count = raw.fate_values.shape[1]
    placeholders = [f"NAME{i + 1}" for i in range(count)]
    settle = f"{setting('data.fate_columns', placeholders)} in the order of the columns"
    if data.fate_columns is not None:
        if len(data.fate_columns) != count:
            raise DataError(
                f"data.fate_columns names {len(data.fate_columns)} columns, the screen has {count}",
                where=where,
                found=data.fate_columns,
                allowed=f"{count} names",
                fix=settle,
            )
        return tuple(data.fate_columns), "data.fate_columns"
    states: tuple[str, ...] = ()
    if raw.terminal is not None:  # a category "nan" is that of the cells which are not terminal
        states = tuple(str(state) for state in raw.terminal.categories if not means_missing(str(state)))
    if len(states) == count:
        settle += f"; the terminal states, in their own order, are {', '.join(states)}"
    for origin, found in raw.fate_names:
        if len(found) != count:
            raise DataError(
                f"{origin} names {len(found)} fates, the matrix has {count} columns",
                where=where,
                found=found,
                fix=settle,
            )
        if all(re.fullmatch(r"\d+(\.0)?", name) for name in found):
            raise DataError("the fate columns have numbers for names", where=where, found=found, fix=settle)
        if len(set(found)) != count:
            raise DataError("fate columns share a name", where=where, found=found, fix=settle)
        missing = [name for name in found if means_missing(name)]
        if missing:
            raise DataError(
                f"the name of a fate column means a missing value: {some(missing)}",
                where=where,
                found=found,
                allowed="a name for every fate",
                fix=f"{settle}, with the name that is meant in place of {some(missing)}",
            )
        return found, origin
    if raw.terminal is None:
        raise DataError(
            "the names of the fate columns are unknown",
            where=where,
            found=f"{count} columns without names, no uns[{data.fate_prob_key + '_names'!r}], "
            f"no categories in obs[{terminal_keys(data.fate_prob_key)[0]!r}]",
            allowed="columns named in the screen or by data.fate_columns, never taken by position",
            fix=settle,
        )
    key = raw.terminal_key
    if len(states) != count:
        more = "fewer" if len(states) < count else "more"
        raise DataError(
            f"obs[{key!r}] has {more} categories than there are fate columns",
            where=where,
            found=f"{count} columns without names, categories {some(states) or 'none'}",
            allowed="one category a column; subsetting cells can empty categories",
            fix=settle,
        )
    return states, f"obs[{key!r}]"


def terminal_keys(fate_prob_key: str) -> tuple[str, ...]:
    """Return the obs columns that CellRank writes beside a matrix of fate probabilities, its own first."""
    backward = fate_prob_key.endswith("_bwd") or fate_prob_key.startswith("from_")
    keys = ("term_states_bwd", "initial_states") if backward else ("term_states_fwd", "terminal_states")
    return keys[::-1] if fate_prob_key in CELLRANK_1 else keys


def _by_terminal_cells(columns: tuple[str, ...], seen: dict[str, str]) -> list[str]:
    """Return the names that terminal cells give the columns, the others left over in their own order."""
    name_of = {column: state for state, column in seen.items()}
    free = iter(name for name in columns if name not in seen)
    return [name_of[column] if column in name_of else next(free) for column in columns]


def against_terminal_states(
    columns: tuple[str, ...], columns_from: str, raw: RawScreen, data: DataConfig
) -> list[str]:
    """Check the columns' names on terminal cells, which are one-hot in their own fate's column."""
    if raw.terminal is None:
        return []
    states = [str(state) for state in raw.terminal.categories]
    codes = np.asarray(raw.terminal.codes)
    seen: dict[str, str] = {}
    for code, state in enumerate(states):
        members = raw.fate_values[codes == code]
        if state in columns and len(members):
            mean = np.asarray(members, dtype=np.float64).mean(axis=0)
            best = int(np.argmax(mean))
            if mean[best] > CONTRADICTION and columns[best] != state:
                seen[state] = columns[best]
    if not seen:
        return []
    what = "terminal cells contradict the order of the fate columns"
    found = ", ".join(f"cells of {state} lie in the column named {column}" for state, column in seen.items())
    if columns_from.startswith("obs["):
        raise DataError(
            what,
            where=raw.at("obsm", data.fate_prob_key),
            found=f"{found}; names from {columns_from}",
            fix=setting("data.fate_columns", _by_terminal_cells(columns, seen))
            + ", as the terminal cells say",
        )
    return [f"{what}: {found}; the names from {columns_from} were used unchanged"]
