"""Files of a run: where they stand, whole or not at all, and what is said when they cannot be written."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fatebias.errors import OutputError
from fatebias.files.atomic import atomic_json, atomic_path, atomic_text, digest, sha256_file
from fatebias.files.outputs import PLACES
from fatebias.files.paths import RunPaths, prepare_out_dir, safe_name


def test_every_path_of_a_run_is_its_own_name_under_the_root(tmp_path: Path):
    paths = RunPaths(tmp_path)
    own = [name for name, kind in vars(RunPaths).items() if isinstance(kind, property)]
    found = [getattr(paths, name) for name in (*own, *PLACES)]
    assert len(found) >= 11
    assert len(set(found)) == len(found)
    assert {path.parent for path in found} == {tmp_path}


def test_the_names_that_the_format_prescribes(tmp_path: Path):
    paths = RunPaths(tmp_path)
    assert paths.gene_summary.name == "gene_summary_for_mash.csv"
    assert paths.mash_out.name == "gene_summary_mash_out.csv"
    assert paths.hits.name == "hits_ranked.csv"


def test_names_of_folders_are_taken_as_they_are_or_made_their_own():
    plain = ["NEU", "MES (late)", "NEU+-MES", "基因", "A.1", "a"]
    assert [safe_name(name) for name in plain] == plain
    odd = ["F/1", "F_1", "f/1", "F:1", "F\\1", "..", ".", " F_1", "x" * 200, "x" * 201, "基" * 90]
    made = [safe_name(name) for name in odd]
    assert len({name.lower() for name in made}) == len(odd)
    assert made[0].startswith("F_1-")
    assert all(len(name.encode()) < 120 and not set(name) & set("/\\:") for name in made)
    assert not {".", ".."} & set(made)


def test_a_file_appears_whole_and_nothing_beside_it(tmp_path: Path):
    atomic_text(tmp_path / "a.txt", "naïve\n")
    assert (tmp_path / "a.txt").read_bytes() == "naïve\n".encode()
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_who_reads_the_older_file_goes_on_reading_it_whole(tmp_path: Path):
    (tmp_path / "a.txt").write_text("older")
    with (tmp_path / "a.txt").open() as reader:
        atomic_text(tmp_path / "a.txt", "newer")
        assert reader.read() == "older"
    assert (tmp_path / "a.txt").read_text() == "newer"


def test_the_draft_has_the_suffix_of_the_final_name(tmp_path: Path):
    # numpy and matplotlib choose the format by it, or append their own.
    with atomic_path(tmp_path / "posterior.npz") as draft:
        assert (draft.parent, draft.suffix) == (tmp_path, ".npz")
        assert draft.name.startswith(".")
        np.savez(draft, x=np.arange(3))
    assert np.load(tmp_path / "posterior.npz")["x"].tolist() == [0, 1, 2]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_older_file_stays_and_no_draft_is_left_when_writing_fails(tmp_path: Path, error):
    final = tmp_path / "a.txt"
    final.write_text("older")

    def fail():
        with atomic_path(final) as draft:
            draft.write_text("half")
            raise error("in the middle")

    with pytest.raises(error):
        fail()
    assert final.read_text() == "older"
    assert list(tmp_path.iterdir()) == [final]


def test_a_full_disk_is_one_clear_error_and_the_older_file_stays(tmp_path: Path):
    # RLIMIT_FSIZE plays the full disk: the kernel refuses to write beyond 100 bytes.
    code = (
        "import resource, sys; from pathlib import Path; from fatebias.files.atomic import atomic_text\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        f"atomic_text(Path({str(tmp_path / 'a.txt')!r}), 'x' * 1000)"
    )
    (tmp_path / "a.txt").write_text("older")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "OutputError: a.txt could not be written\n" in done.stderr
    assert "found: File too large\n  fix: free some room" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "older"


@pytest.mark.parametrize(
    ("folder", "why"), [("missing", "No such file or directory"), ("file", "Not a directory")]
)
def test_a_folder_that_cannot_be_written_to_is_one_clear_error(tmp_path: Path, folder, why):
    (tmp_path / "file").touch()
    with pytest.raises(
        OutputError, match=rf"a.txt could not be written\n  where: .*a.txt\n  found: {why}\n  fix: "
    ):
        atomic_text(tmp_path / folder / "a.txt", "x")


def test_json_takes_paths_and_numpy_numbers(tmp_path: Path):
    atomic_json(tmp_path / "a.json", {"path": Path("x"), "n": np.int64(3), "x": np.float32(0.5), "ü": None})
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert json.loads(text) == {"path": "x", "n": 3, "x": 0.5, "ü": None}
    assert "ü" in text


def test_preparing_out_dir_makes_its_parents_and_leaves_nothing_in_it(tmp_path: Path):
    paths = prepare_out_dir(tmp_path / "a" / "b c")
    assert paths.root == tmp_path / "a" / "b c"
    assert paths.root.is_dir()
    assert not list(paths.root.iterdir())


def test_preparing_an_out_dir_that_is_there_keeps_what_is_in_it(tmp_path: Path):
    (tmp_path / "run.json").write_text("{}")
    prepare_out_dir(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


@pytest.mark.parametrize(("root", "why"), [("file", "File exists"), ("file/below", "Not a directory")])
def test_an_out_dir_that_cannot_be_made_is_refused(tmp_path: Path, root, why):
    (tmp_path / "file").touch()
    with pytest.raises(
        OutputError,
        match=f"out_dir cannot be written\n  where: {tmp_path}/{root}\n  found: {why}\n  fix: .*out_dir=PATH",
    ):
        prepare_out_dir(tmp_path / root)


def test_an_out_dir_that_is_there_but_takes_no_file_is_refused():
    # Nobody, root included, makes files in /proc.
    with pytest.raises(OutputError, match="out_dir cannot be written\n  where: /proc/self\n"):
        prepare_out_dir(Path("/proc/self"))


def test_hashes_are_sha256(tmp_path: Path):
    (tmp_path / "abc").write_bytes(b"abc")
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256_file(tmp_path / "abc") == known


def test_a_digest_depends_on_content_not_on_the_order_of_keys():
    assert digest({"a": 1, "b": [2, 3]}) == digest({"b": [2, 3], "a": 1})
    assert digest({"a": 1, "b": [2, 3]}) != digest({"a": 1, "b": [3, 2]})
    assert digest({"p": Path("x"), "n": np.int64(1)}) == digest({"p": "x", "n": 1})
