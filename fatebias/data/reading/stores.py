"""The parts of an AnnData or MuData, on disk or in memory, read one by one: never the expression matrix."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fatebias.data.reading.elements import as_series, is_old_frame, plain, read_element

IN_MEMORY = "the AnnData object"


class MemoryStore:
    """An AnnData object of the session, element by element."""

    absent_hint = ""

    def __init__(self, adata: Any, source: str = IN_MEMORY) -> None:
        self.source = source
        self._adata = adata

    def names(self, part: str = "obs") -> NDArray[Any]:
        """Return the names of the cells, (N,), or those of ``var``."""
        return np.asarray(getattr(self._adata, f"{part}_names"), dtype=object)

    def keys(self, part: str) -> list[str]:
        """Return the keys of ``obs``, ``obsm``, ``obsp``, ``uns``, ``var`` or ``layers``."""
        return [str(key) for key in getattr(self._adata, part, ())]

    def value(self, part: str, key: str) -> Any:
        """Return one element as anndata holds it."""
        return getattr(self._adata, part)[key]

    def raw_element(self, key: str, part: str = "obsm") -> Any:
        """Return one element of obsm or layers, or X."""
        return self._adata.X if part == "X" else getattr(self._adata, part)[key]


class FileStore:
    """The parts of an open .h5ad or .zarr, read element by element."""

    absent_hint = "; if it should be there, check that the file was written to its end"

    def __init__(self, root: Any, source: str) -> None:
        self.source = source
        self._root = root

    def names(self, part: str = "obs") -> NDArray[Any]:
        """Return the names of the cells, (N,), or those of ``var``."""
        frame = self._root[part]
        return np.asarray(self._read(frame[plain(frame.attrs["_index"])], f"{part} index"), dtype=object)

    def keys(self, part: str) -> list[str]:
        """Return the keys of ``obs``, ``obsm``, ``obsp``, ``uns``, ``var`` or ``layers``."""
        if part not in self._root:
            return []
        group = self._root[part]
        if part in ("obs", "var"):
            return [plain(name) for name in group.attrs["column-order"]]
        return sorted(group)

    def value(self, part: str, key: str) -> Any:
        """Return one element as anndata reads it."""
        if part in ("obs", "var") and is_old_frame(self._root[part]):
            return self._read(self._root[part], part)[key]
        return self._read(self._root[part][key], f"{part}[{key!r}]")

    def raw_element(self, key: str, part: str = "obsm") -> Any:
        """Return one element of obsm or layers, or X, unread unless its columns cannot be read one by one."""
        element = self._root["X"] if part == "X" else self._root[part][key]
        return self._read(element, f"{part}[{key!r}]") if is_old_frame(element) else element

    def _read(self, element: Any, name: str) -> Any:
        return read_element(element, f"{self.source}: {name}")


class JoinedStore:
    """A modality of a MuData, and beside it what the MuData holds of the same cells."""

    def __init__(
        self, own: MemoryStore | FileStore, whole: MemoryStore | FileStore, masks: Collection[str]
    ) -> None:
        self.source, self.absent_hint = own.source, own.absent_hint
        self._own, self._whole, self._masks = own, whole, masks

    def names(self, part: str = "obs") -> NDArray[Any]:
        """Return the names of the modality's cells, (N,), or those of ``var``."""
        return self._own.names(part)

    def keys(self, part: str) -> list[str]:
        """Return the keys of a part, the modality's own first."""
        own = self._own.keys(part)
        if part not in ("obs", "obsm", "uns"):
            return own
        return own + [key for key in self._whole.keys(part) if key not in own and key not in self._masks]

    def value(self, part: str, key: str) -> Any:
        """Return one element, that of the MuData for the modality's cells."""
        if part not in ("obs", "obsm", "uns") or key in self._own.keys(part):
            return self._own.value(part, key)
        found = self._whole.value(part, key)
        if part == "uns":
            return found
        return (
            as_series(found).iloc[self._rows].reset_index(drop=True)
            if part == "obs"
            else self._of_cells(found)
        )

    def raw_element(self, key: str, part: str = "obsm") -> Any:
        """Return one element of obsm or layers, or X; one of the MuData is read."""
        if part != "obsm" or key in self._own.keys("obsm"):
            return self._own.raw_element(key, part)
        return self._of_cells(self._whole.value("obsm", key))

    def _of_cells(self, element: Any) -> Any:
        return element.iloc[self._rows] if hasattr(element, "iloc") else element[self._rows]

    @cached_property
    def _rows(self) -> NDArray[np.intp]:
        """Rows of the MuData that are the modality's cells, (N,)."""
        place = {str(cell): row for row, cell in enumerate(self._whole.names())}
        return np.array([place[str(cell)] for cell in self.names()], dtype=np.intp)


Plain = MemoryStore | FileStore
Store = MemoryStore | FileStore | JoinedStore


@dataclass(frozen=True)
class Modalities:
    """A MuData: what it holds of all cells, and its modalities by name."""

    source: str
    whole: Plain
    parts: Mapping[str, Plain]
