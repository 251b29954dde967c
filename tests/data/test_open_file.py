"""Locks, compressed files and zipped zarr: read, or told what to do."""

from __future__ import annotations

import bz2
import errno
import gzip
import lzma
import shlex
import shutil
import subprocess
import tarfile
import tempfile
import zipfile
from pathlib import Path

import h5py
import pytest

from fatebias.config import DataConfig, PriorsConfig
from fatebias.data.load import load_screen
from fatebias.data.reading.open_file import open_root
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


PACKED = [(".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress)]


@pytest.fixture
def copies(tmp_path, monkeypatch):
    """The folder where a compressed file is unpacked, empty before and after."""
    folder = tmp_path / "copies"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert not list(folder.iterdir())


@pytest.mark.parametrize(("suffix", "pack"), PACKED)
def test_a_compressed_file_is_read_and_no_copy_stays(
    parts, write, load, read, tmp_path, copies, suffix, pack
):
    packed = tmp_path / f"screen.h5ad{suffix}"
    packed.write_bytes(pack(Path(write(parts).adata_path).read_bytes()))
    assert read(packed).fingerprint() == load(parts).fingerprint()


def test_the_copy_has_no_name_while_it_is_open(parts, write, tmp_path, copies):
    """So that a process which is killed leaves nothing."""
    packed = tmp_path / "screen.h5ad.gz"
    packed.write_bytes(gzip.compress(Path(write(parts).adata_path).read_bytes()))
    with open_root(packed) as root:
        assert "obs" in root
        assert not list(copies.iterdir())


@pytest.mark.parametrize(("suffix", "pack"), PACKED)
def test_a_compressed_file_that_was_cut_off(parts, write, read, tmp_path, copies, suffix, pack):
    packed = tmp_path / f"screen.h5ad{suffix}"
    packed.write_bytes(pack(Path(write(parts).adata_path).read_bytes())[:-2000])
    with pytest.raises(DataError, match="not an AnnData file\n.*\n  found: it cannot be unpacked to its end"):
        read(packed)


def test_a_tar_is_told_what_to_do(parts, write, load, read, tmp_path, copies):
    """The line is pasted: it unpacks the file under the name that the setting has."""
    packed = tmp_path / "my (1) screen.h5ad.tar.gz"
    content = Path(write(parts).adata_path)
    with tarfile.open(packed, "w:gz") as archive:
        archive.add(content, "my (1) screen.h5ad.tar")
    with pytest.raises(DataError, match="the file is compressed as a whole") as caught:
        read(packed)
    line = str(caught.value).rpartition("fix: ")[2]
    assert line.startswith("tar -xf ")
    unpack, _, word = line.rpartition(", then ")
    subprocess.run(shlex.split(unpack), check=True, timeout=60, cwd=tmp_path)
    (pasted,) = shlex.split(word)
    assert pasted == f'data.adata_path="{packed.with_suffix("")}"'
    assert read(packed.with_suffix("")).fingerprint() == load(parts).fingerprint()


def test_no_room_for_the_copy(parts, write, read, tmp_path, copies, monkeypatch):
    packed = tmp_path / "screen.h5ad.gz"
    packed.write_bytes(gzip.compress(Path(write(parts).adata_path).read_bytes()))

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfileobj", full)
    with pytest.raises(DataError, match=r"found: no room to unpack it in .*\n.*\n  fix: gunzip --keep"):
        read(packed)


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
