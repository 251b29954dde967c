"""What killed runs leave is removed, what is anybody else's stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from fatebias.errors import OutputError
from fatebias.files.atomic import atomic_text
from fatebias.files.paths import RunPaths, remove_drafts


def test_drafts_and_folders_of_r_are_removed_and_nothing_else(tmp_path: Path) -> None:
    left = [".hits_ranked.0123abcd.csv", "contrasts/NEU/.hits.0123abcd.png", ".rscript-x1/in.csv"]
    kept = [".lock", ".hydra/config.yaml", ".notes.txt", "hits_ranked.csv", ".hits.csv", ".a.0123abcd.bak"]
    kept += ["another_run/.hits_ranked.0123abcd.csv"]  # at work, perhaps
    for name in (*left, *kept):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("content")
    remove_drafts(RunPaths(tmp_path))
    assert not any((tmp_path / name).exists() for name in left)
    assert not (tmp_path / ".rscript-x1").exists()
    assert all((tmp_path / name).exists() for name in kept)


def test_a_folder_without_the_right_to_write_is_said_with_its_owner(tmp_path: Path, nobody) -> None:
    tmp_path.chmod(0o755)
    with nobody(), pytest.raises(OutputError, match="denied: .* belongs to .*\n  fix: ask for the right"):
        atomic_text(tmp_path / "a.txt", "content")
