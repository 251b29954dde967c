"""The audit of pinned versions: what is found fails, a database that does not answer only says so."""

from __future__ import annotations

import importlib.util
import subprocess
from pathlib import Path

import pytest

FILE = Path(__file__).parents[1] / ".ci" / "audit.py"


@pytest.fixture
def audit():
    spec = importlib.util.spec_from_file_location("audit", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def answers(audit, monkeypatch):
    """Put an answer in place of pip-audit's."""

    def put(text: str, stderr: str = "") -> None:
        def run(words, **_):
            if text:
                Path(words[words.index("--output") + 1]).write_text(text)
            return subprocess.CompletedProcess(words, 1, "", stderr)

        monkeypatch.setattr(subprocess, "run", run)

    return put


SOUND = '{"name": "a", "version": "1", "vulns": []}'
WEAK = '{"name": "b", "version": "2", "vulns": [{"id": "CVE-1", "fix_versions": ["2.1"]}]}'
SKIPPED = '{"name": "c", "skip_reason": "not found on PyPI"}'


@pytest.mark.parametrize(
    ("found", "code", "words"),
    [
        ([SOUND, SKIPPED], 0, "1 of 2 pinned packages audited, 0 known vulnerabilities"),
        ([SOUND, WEAK], 1, "b 2: CVE-1, mended in 2.1\n2 of 2 pinned packages audited, 1 known"),
        ([SKIPPED], 0, "not audited: the database knows none of the pinned packages"),
    ],
)
def test_what_is_found_decides(audit, answers, capsys, found, code, words):
    answers(f'{{"dependencies": [{", ".join(found)}], "fixes": []}}')
    assert audit.main() == code
    assert words in capsys.readouterr().out


@pytest.mark.parametrize(
    ("stderr", "code", "words"),
    [
        ("requests.exceptions.ConnectionError: no route", 0, "not audited: the database cannot be reached"),
        ("ERROR: could not connect\nTip: your network may be blocking this service", 0, "not audited"),
        ("ERROR: invalid requirement: constraints.txt:3", 1, "pip-audit has failed: ERROR: invalid"),
        ("", 1, "pip-audit has failed: exit code 1"),
    ],
)
def test_a_database_that_is_away_fails_nothing_and_anything_else_does(
    audit, answers, capsys, stderr, code, words
):
    answers("", stderr)
    assert audit.main() == code
    said = capsys.readouterr()
    assert words in said.out + said.err
