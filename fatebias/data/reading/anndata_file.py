"""AnnData and MuData as stores to read from: a file, a folder or an object, checked for its layout."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fatebias.data.reading.open_file import not_anndata, open_root
from fatebias.data.reading.stores import FileStore, MemoryStore, Modalities, Store
from fatebias.errors import DataError

if TYPE_CHECKING:
    from anndata import AnnData


@contextlib.contextmanager
def open_store(source: Path | AnnData) -> Iterator[Store | Modalities]:
    """Open a file, a .zarr folder or an object for reading by element."""
    if not isinstance(source, Path):
        _check_object(source)
        if hasattr(source, "mod"):
            parts = {str(name): MemoryStore(part, f"mod[{name!r}]") for name, part in source.mod.items()}
            yield Modalities("the MuData object", MemoryStore(source, "the MuData object"), parts)
        else:
            yield MemoryStore(source)
        return
    with open_root(source) as root:
        _check_layout(root, source)
        whole = FileStore(root, str(source))
        if "mod" not in root:
            yield whole
            return
        groups = root["mod"]
        files = {name: FileStore(groups[name], f"{source}: mod[{name!r}]") for name in sorted(groups)}
        yield Modalities(str(source), whole, files)


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
