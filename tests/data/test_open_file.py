"""Locks, compressed files and zipped zarr: read, or told what to do."""

from __future__ import annotations

import bz2
import errno
import gzip
import lzma
import shlex
import subprocess
import zipfile
from pathlib import Path

import h5py
import pytest

from fatebias.config import DataConfig, PriorsConfig
from fatebias.data.load import load_screen
from fatebias.errors import DataError


@pytest.fixture
def read(parts, write, tmp_path):
    """Read a file at another path with the sound guide map."""
    guide_map = write(parts).guide_map_csv

    def at(path):
        data = DataConfig(source="anndata", adata_path=str(path), guide_map_csv=guide_map)
        return load_screen(data, PriorsConfig(), tmp_path)

    return at


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP])
def test_a_file_system_without_locks_is_read(parts, write, load, read, monkeypatch, number):
    """Network file systems refuse locks; reading needs none."""
    path = write(parts).adata_path
    expected = load(parts).fingerprint()
    asked = []

    def without_locks(name, mode, locking=None, opener=h5py.File):
        asked.append(locking)
        if locking is not False:
            raise OSError(number, f"Unable to open file (unable to lock file, errno = {number})")
        return opener(name, mode, locking=False)

    monkeypatch.setattr(h5py, "File", without_locks)
    assert read(path).fingerprint() == expected
    assert asked == [None, False]


def test_a_lock_that_another_program_holds_is_told_as_one(parts, write, read, monkeypatch):
    path = write(parts).adata_path

    def held(*_, **__):
        raise BlockingIOError(errno.EAGAIN, "Unable to open file (unable to lock file, errno = 11)")

    monkeypatch.setattr(h5py, "File", held)
    with pytest.raises(DataError, match="the file cannot be opened\n.*\n  found: .*unable to lock") as caught:
        read(path)
    assert "HDF5_USE_FILE_LOCKING=FALSE in front of the command" in str(caught.value)


@pytest.mark.parametrize(
    ("suffix", "pack", "command"),
    [(".gz", gzip.compress, "gunzip"), (".bz2", bz2.compress, "bunzip2"), (".xz", lzma.compress, "unxz")],
)
def test_a_compressed_file_is_told_what_to_do(parts, write, load, read, tmp_path, suffix, pack, command):
    """The line is pasted: it unpacks the file under the name that the setting has."""
    packed = tmp_path / f"my (1) screen.h5ad{suffix}"
    packed.write_bytes(pack(Path(write(parts).adata_path).read_bytes()))
    with pytest.raises(DataError, match="the file is compressed as a whole") as caught:
        read(packed)
    line = str(caught.value).rpartition("fix: ")[2]
    assert line.startswith(f"{command} --keep ")
    unpack, _, word = line.rpartition(", then ")
    subprocess.run(shlex.split(unpack), check=True, timeout=60)
    (pasted,) = shlex.split(word)
    assert pasted == f'data.adata_path="{packed.with_suffix("")}"'
    assert read(packed.with_suffix("")).fingerprint() == load(parts).fingerprint()


@pytest.mark.filterwarnings("ignore::UserWarning")  # anndata's zarr writer
@pytest.mark.parametrize("inside", ["", "screen.zarr/"])
def test_a_zipped_zarr_is_read(parts, write, load, read, tmp_path, inside):
    folder = Path(write(parts, ".zarr").adata_path)
    packed = tmp_path / "screen.zarr.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, inside + path.relative_to(folder).as_posix())
    assert read(packed).fingerprint() == load(parts).fingerprint()


def test_a_zip_of_something_else(parts, write, read, tmp_path):
    packed = tmp_path / "screen.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.write(write(parts).adata_path, "screen.h5ad")
    with pytest.raises(DataError, match="compressed as a whole(.|\n)*fix: unzip "):
        read(packed)
