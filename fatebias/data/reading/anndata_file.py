"""Elements of an AnnData object, on disk or in memory, read one by one: never X, layers, var or raw."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fatebias.data.reading.elements import is_old_frame, plain, quiet, read_element
from fatebias.errors import DataError

if TYPE_CHECKING:
    from anndata import AnnData


class MemoryStore:
    """An AnnData object of the running session.

    Parameters
    ----------
    adata
        The object; only obs, obsm, uns and the neighbour graph in obsp are touched.
    source
        What to call it in messages.
    """

    def __init__(self, adata: AnnData, source: str = "AnnData in memory") -> None:
        self.source = source
        self._adata = adata

    def cells(self) -> NDArray[Any]:
        """Names of the cells, (N,)."""
        return np.asarray(self._adata.obs_names, dtype=object)

    def keys(self, part: str) -> list[str]:
        """Keys of ``obs``, ``obsm``, ``obsp`` or ``uns``."""
        return [str(key) for key in getattr(self._adata, part)]

    def value(self, part: str, key: str) -> Any:
        """One element as anndata holds it."""
        return getattr(self._adata, part)[key]

    def raw_element(self, key: str) -> Any:
        """One obsm element, unread where it lies on disk."""
        return self._adata.obsm[key]


class FileStore:
    """The obs, obsm and uns of an open .h5ad or .zarr, read element by element.

    Parameters
    ----------
    root
        The open file or group.
    source
        Its path.
    """

    def __init__(self, root: Any, source: str) -> None:
        self.source = source
        self._root = root

    def cells(self) -> NDArray[Any]:
        """Names of the cells, (N,)."""
        obs = self._root["obs"]
        return np.asarray(self._read(obs[plain(obs.attrs["_index"])], "obs index"), dtype=object)

    def keys(self, part: str) -> list[str]:
        """Keys of ``obs``, ``obsm``, ``obsp`` or ``uns``."""
        if part not in self._root:
            return []
        group = self._root[part]
        if part == "obs":
            return [plain(name) for name in group.attrs["column-order"]]
        return sorted(group)

    def value(self, part: str, key: str) -> Any:
        """One element as anndata reads it."""
        if part == "obs" and is_old_frame(self._root["obs"]):
            return self._read(self._root["obs"], "obs")[key]
        return self._read(self._root[part][key], f"{part}[{key!r}]")

    def raw_element(self, key: str) -> Any:
        """One obsm element, unread unless its columns cannot be read one by one."""
        element = self._root["obsm"][key]
        return self._read(element, f"obsm[{key!r}]") if is_old_frame(element) else element

    def _read(self, element: Any, name: str) -> Any:
        return read_element(element, f"{self.source}: {name}")


Store = MemoryStore | FileStore


@contextlib.contextmanager
def open_store(path: Path) -> Iterator[FileStore]:
    """Open an AnnData file for reading by element.

    Parameters
    ----------
    path
        An .h5ad file, or a .zarr folder.

    Yields
    ------
    FileStore
        Valid until the block ends.

    Raises
    ------
    DataError
        When there is no such file, it cannot be opened, or it is not an AnnData.
    """
    if not path.exists():
        raise DataError(
            "no such file", where=path, fix="data.adata_path=PATH to an .h5ad file or .zarr folder"
        )
    with quiet():
        try:
            root = _open_zarr(path) if path.is_dir() else _open_h5ad(path)
        except (PermissionError, BlockingIOError) as error:
            raise DataError(
                "the file cannot be opened",
                where=path,
                found=error,
                fix="give yourself the right to read it, or wait until no other program writes to it",
            ) from error
        except Exception as error:  # h5py and zarr raise whatever their layers below do
            raise _not_anndata(path, f"it cannot be opened: {error}") from error
    try:
        _check_layout(root, path)
        yield FileStore(root, str(path))
    finally:
        if hasattr(root, "close"):
            root.close()


def _open_h5ad(path: Path) -> Any:
    import h5py

    return h5py.File(path, "r")


def _open_zarr(path: Path) -> Any:
    import zarr

    return zarr.open_group(str(path), mode="r")


def _check_layout(root: Any, path: Path) -> None:
    here = sorted(root)
    if "obs" not in here:
        raise _not_anndata(path, f"it holds {', '.join(here) or 'nothing'}")
    attributes = getattr(root["obs"], "attrs", {})
    if "_index" not in attributes or "column-order" not in attributes:
        raise DataError(
            "the file was written by an anndata older than 0.7, or its obs is torn",
            where=f"{path}: obs",
            allowed="files of anndata 0.7 and newer",
            fix="read it with anndata and write it again: anndata.read_h5ad(PATH).write_h5ad(PATH)",
        )


def _not_anndata(path: Path, found: str) -> DataError:
    return DataError(
        "not an AnnData file",
        where=path,
        found=found,
        allowed="an .h5ad file or .zarr folder that anndata wrote",
        fix="data.adata_path=PATH",
    )
