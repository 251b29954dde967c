"""SIGKILLs of real runs at random moments: every run continues and ends with the same bytes."""

from __future__ import annotations

import pytest

from benchmarks.faults import kills

pytestmark = [pytest.mark.slow, pytest.mark.soak]
NUMBER = 20


def test_fits_killed_at_random_moments_end_with_the_same_bytes(tmp_path, capsys):
    outcome = kills(NUMBER, tmp_path, seed=1, tracking="off")
    assert f"{NUMBER} killed" in capsys.readouterr().out
    assert outcome["OTHER BYTES"] == 0
    assert outcome["same bytes"] >= 1
    assert outcome["went on from a checkpoint"] >= 1
