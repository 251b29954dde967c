"""Elements of an AnnData object, on disk or in memory, read one by one: never X, layers, var or raw."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fatebias.data.reading.elements import is_old_frame, plain, read_element
from fatebias.data.reading.open_file import not_anndata, open_root
from fatebias.errors import DataError

if TYPE_CHECKING:
    from anndata import AnnData

IN_MEMORY = "the AnnData object"


class MemoryStore:
    """An AnnData object of the session; only obs, obsm, uns and the neighbour graph in obsp are read."""

    absent_hint = ""

    def __init__(self, adata: AnnData) -> None:
        self.source = IN_MEMORY
        self._adata = adata

    def cells(self) -> NDArray[Any]:
        """Return the names of the cells, (N,)."""
        return np.asarray(self._adata.obs_names, dtype=object)

    def keys(self, part: str) -> list[str]:
        """Return the keys of ``obs``, ``obsm``, ``obsp`` or ``uns``."""
        return [str(key) for key in getattr(self._adata, part)]

    def value(self, part: str, key: str) -> Any:
        """Return one element as anndata holds it."""
        return getattr(self._adata, part)[key]

    def raw_element(self, key: str) -> Any:
        """Return one obsm element."""
        return self._adata.obsm[key]


class FileStore:
    """The obs, obsm, obsp and uns of an open .h5ad or .zarr, read element by element."""

    absent_hint = "; if it should be there, check that the file was written to its end"

    def __init__(self, root: Any, source: str) -> None:
        self.source = source
        self._root = root

    def cells(self) -> NDArray[Any]:
        """Return the names of the cells, (N,)."""
        obs = self._root["obs"]
        return np.asarray(self._read(obs[plain(obs.attrs["_index"])], "obs index"), dtype=object)

    def keys(self, part: str) -> list[str]:
        """Return the keys of ``obs``, ``obsm``, ``obsp`` or ``uns``."""
        if part not in self._root:
            return []
        group = self._root[part]
        if part == "obs":
            return [plain(name) for name in group.attrs["column-order"]]
        return sorted(group)

    def value(self, part: str, key: str) -> Any:
        """Return one element as anndata reads it."""
        if part == "obs" and is_old_frame(self._root["obs"]):
            return self._read(self._root["obs"], "obs")[key]
        return self._read(self._root[part][key], f"{part}[{key!r}]")

    def raw_element(self, key: str) -> Any:
        """Return one obsm element, unread unless its columns cannot be read one by one."""
        element = self._root["obsm"][key]
        return self._read(element, f"obsm[{key!r}]") if is_old_frame(element) else element

    def _read(self, element: Any, name: str) -> Any:
        return read_element(element, f"{self.source}: {name}")


Store = MemoryStore | FileStore


@contextlib.contextmanager
def open_store(source: Path | AnnData) -> Iterator[Store]:
    """Open an .h5ad file, a .zarr folder or an AnnData object for reading by element."""
    if not isinstance(source, Path):
        _check_object(source)
        yield MemoryStore(source)
        return
    with open_root(source) as root:
        _check_layout(root, source)
        yield FileStore(root, str(source))


def _check_object(source: Any) -> None:
    lacking = [part for part in ("obs", "obs_names", "obsm", "obsp", "uns") if not hasattr(source, part)]
    if lacking:
        raise DataError(
            "neither a path nor an AnnData object",
            where="the screen to read",
            found=f"an object of type {type(source).__name__} without {', '.join(lacking)}",
            allowed="the path of an .h5ad file or .zarr folder, or an AnnData object",
            fix='give the path, as in read_screen("screen.h5ad", guides="guides.csv")',
        )


def _check_layout(root: Any, path: Path) -> None:
    here = sorted(root)
    if "obs" not in here:
        raise not_anndata(path, f"it holds {', '.join(here) or 'nothing'}")
    attributes = getattr(root["obs"], "attrs", {})
    if "_index" not in attributes or "column-order" not in attributes:
        raise DataError(
            "the file was written by an anndata older than 0.7, or its obs is incomplete",
            where=f"{path}: obs",
            allowed="files of anndata 0.7 and newer",
            fix=f"read it with anndata and write it again: "
            f"import anndata; anndata.read_h5ad({str(path)!r}).write_h5ad({str(path)!r})",
        )
