"""Opening .h5ad files, .zarr folders and compressed ones; what cannot be opened is told with what to do."""

from __future__ import annotations

import bz2
import contextlib
import errno
import gzip
import lzma
import shlex
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from fatebias.data.reading.elements import without_warnings
from fatebias.errors import DataError
from fatebias.files.atomic import NO_LOCKS
from fatebias.pasted import setting

# What a file begins with, what opens it as the file that was packed, and the command that unpacks it.
PACKED: dict[bytes, tuple[Callable[[Path], Any] | None, str]] = {
    b"\x1f\x8b": (gzip.open, "gunzip --keep"),
    b"BZh": (bz2.open, "bunzip2 --keep"),
    b"\xfd7zXZ": (lzma.open, "unxz --keep"),
    b"\x28\xb5\x2f\xfd": (None, "unzstd"),
}
ZIP, HDF5 = b"PK\x03\x04", b"\x89HDF\r\n\x1a\n"
BLOCK_BYTES = 1 << 24
ROOTS = ("zarr.json", ".zgroup")  # of zarr 3 and 2


@contextlib.contextmanager
def open_root(path: Path) -> Iterator[Any]:
    """Open the root group of an .h5ad, .h5mu, .zarr or .zarr.zip for reading."""
    check_there(path)
    with contextlib.ExitStack() as opened:
        with without_warnings():
            try:
                root = _open(path, opened)
            except DataError:
                raise
            except (PermissionError, BlockingIOError) as error:
                raise DataError(
                    "the file cannot be opened",
                    where=path,
                    found=error,
                    fix="give yourself the right to read it, or wait until no other program writes to it; "
                    "if none does, put HDF5_USE_FILE_LOCKING=FALSE in front of the command",
                ) from error
            except Exception as error:  # h5py and zarr raise whatever their layers below do
                raise not_anndata(path, f"it cannot be opened: {error}") from error
        yield root


def check_there(path: Path) -> None:
    """Refuse a path at which nothing is."""
    if not path.exists():
        raise DataError(
            "no such file", where=path, fix="data.adata_path=PATH to an .h5ad file or .zarr folder"
        )


def _open(path: Path, opened: contextlib.ExitStack) -> Any:
    if path.is_dir():
        import zarr

        return zarr.open_group(str(path), mode="r")
    with path.open("rb") as handle:
        head = handle.read(8)
    for begin, (unpacked, command) in PACKED.items():
        if head.startswith(begin):
            return opened.enter_context(contextlib.closing(_open_packed(path, unpacked, command)))
    if head.startswith(ZIP):
        return _open_zip(path, opened)
    return opened.enter_context(contextlib.closing(_open_hdf5(path)))


def _open_packed(path: Path, unpacked: Callable[[Path], Any] | None, command: str) -> Any:
    """Open an HDF5 file that was compressed as a whole, through a copy in TMPDIR.

    The copy has no name any more once it is open: whatever ends the process, nothing of it is left.
    """
    if unpacked is None:
        raise _packed(path, command)
    try:
        with tempfile.TemporaryDirectory(prefix="fatebias-") as folder, unpacked(path) as content:
            head = content.read(len(HDF5))
            if head != HDF5:  # a tar, perhaps
                raise _packed(path, command)
            copy = Path(folder) / "screen.h5ad"
            with copy.open("wb") as handle:
                handle.write(head)
                shutil.copyfileobj(content, handle, BLOCK_BYTES)
            return _open_hdf5(copy)
    except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
        raise not_anndata(path, f"it cannot be unpacked to its end: {error}") from error
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise _packed(path, command, f"no room to unpack it in {tempfile.gettempdir()}") from error


def _open_hdf5(path: Path) -> Any:
    """Open an HDF5 file, without a lock where the file system has none: reading needs none."""
    import h5py

    try:
        return h5py.File(path, "r")
    except OSError as error:
        if error.errno not in NO_LOCKS and "lock" not in str(error):
            raise
        if isinstance(error, BlockingIOError):
            raise
        return h5py.File(path, "r", locking=False)


def _open_zip(path: Path, opened: contextlib.ExitStack) -> Any:
    """Open a zipped zarr, whose root may lie in a folder of the archive."""
    import zarr

    with zipfile.ZipFile(path) as archive:
        roots = sorted((name for name in archive.namelist() if name.rpartition("/")[2] in ROOTS), key=len)
    if not roots:
        raise _packed(path, "unzip")
    store = zarr.storage.ZipStore(str(path), mode="r")
    opened.callback(store.close)
    return zarr.open_group(store, mode="r", path=roots[0].rpartition("/")[0])


def _packed(path: Path, command: str, found: str | None = None) -> DataError:
    command = "tar -xf" if ".tar" in path.name or path.suffix == ".tgz" else command
    unpacked = setting("data.adata_path", str(path.with_suffix("")))
    return DataError(
        "the file is compressed as a whole, and its parts cannot be read one by one",
        where=path,
        found=found,
        allowed="an .h5ad file, also as .h5ad.gz, .bz2 or .xz; a .zarr folder or a .zarr.zip",
        fix=f"{command} {shlex.quote(str(path))}, then {unpacked}",
    )


def not_anndata(path: Path, found: str) -> DataError:
    """Return the error for a file that holds something else."""
    return DataError(
        "not an AnnData file",
        where=path,
        found=found,
        allowed="an .h5ad file or .zarr folder that anndata wrote",
        fix="data.adata_path=screen.h5ad",
    )
