"""What run.json tells about where its numbers come from: commit, versions, memory."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fatebias.files import provenance


def test_git_state_tells_commit_and_changes(tmp_path: Path):
    assert provenance.git_state(tmp_path) == {"commit": None, "dirty": None}

    def git(*words: str) -> str:
        identity = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
        done = subprocess.run(
            ["git", "-C", str(tmp_path), *identity, *words], capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    git("init", "-q")
    (tmp_path / "a").write_text("1")
    git("add", "a")
    git("commit", "-qm", "one")
    assert provenance.git_state(tmp_path) == {"commit": git("rev-parse", "HEAD"), "dirty": False}
    (tmp_path / "a").write_text("2")
    assert provenance.git_state(tmp_path)["dirty"] is True


CODE_OF = """
import sys
from fatebias.files import provenance
from fatebias.sweep.snapshot import describe_submission
from fatebias.tracking.describe import code_version, describe_run
from fatebias.config import Config
assert provenance.__file__.startswith(sys.argv[1]), provenance.__file__
print(provenance.git_state(provenance.Path(provenance.__file__).parents[1])["commit"])
print(describe_submission(provenance.Path.cwd())["git"]["commit"])
print(describe_run(Config(), [], {}).tags.get("mlflow.source.git.commit"))
print(code_version().startswith("fatebias "))
"""


@pytest.mark.parametrize("ignored", [True, False])
def test_an_installed_package_is_no_part_of_the_repository_around_it(tmp_path: Path, ignored):
    site = tmp_path / "analysis" / ".venv" / "lib" / "site-packages"
    shutil.copytree(Path(provenance.__file__).parents[1], site / "fatebias")
    repository = tmp_path / "analysis"
    if ignored:
        (repository / ".gitignore").write_text(".venv\n")
    (repository / "notes.txt").write_text("my own")
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
    for words in (["init", "-q"], ["add", "notes.txt"], ["commit", "-qm", "mine"]):
        subprocess.run(["git", "-C", str(repository), *identity, *words], check=True)
    done = subprocess.run(
        [sys.executable, "-P", "-c", CODE_OF, str(site)],
        cwd=repository,
        env=os.environ | {"PYTHONPATH": str(site), "GIT_DIR": str(repository / ".git")},  # as in a hook
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["None", "None", "None", "True"], done.stderr


def test_versions_name_python_and_leave_out_what_is_not_installed(monkeypatch):
    monkeypatch.setattr(provenance, "RECORDED_PACKAGES", ("numpy", "no-such-package"))
    assert provenance.package_versions() == {
        "python": ".".join(map(str, sys.version_info[:3])),
        "numpy": np.__version__,
    }


def test_peak_memory_is_this_program_s_own_in_megabytes():
    held = b"x" * 600_000_000  # by the process that starts it; ru_maxrss would count it
    code = "from fatebias.files.record import peak_memory_mb; x = b'x' * 300_000_000; print(peak_memory_mb())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 300 < float(done.stdout) < 400
    assert len(held) == 600_000_000
