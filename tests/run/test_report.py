"""The closing lines: what speaks against the screen, and the likelihood weight."""

import pytest

from fatebias.files.paths import RunPaths
from fatebias.run.report import closing_lines

SUGGESTED = "suggested likelihood_weight 21.2 by dispersion (dispersion 21.2, information 21.5)"


def lines(tmp_path, used, asked):
    fit = {
        "likelihood_weight": used,
        "suggested_weight": 21.2,
        "calibration": SUGGESTED,
        "settings": {"likelihood_weight": asked},
        "notes": ["guides do not vary"],
    }
    return closing_lines(RunPaths(tmp_path), {"stages": {"fit": fit}}).splitlines()


def test_a_weight_from_the_data_is_said_once(tmp_path):
    found = lines(tmp_path, 21.2, "auto")
    assert "used likelihood_weight 21.2 by dispersion (dispersion 21.2, information 21.5)" in found
    assert found[0] == "note: guides do not vary"


@pytest.mark.parametrize(("used", "told"), [(1.0, True), (100.0, True), (21.0, False), (18.0, False)])
def test_a_suggested_weight_that_was_not_used_comes_with_the_setting_that_uses_it(tmp_path, used, told):
    found = lines(tmp_path, used, used)
    assert f"likelihood_weight {used:.3g} was used; {SUGGESTED}" in found
    assert any("likelihood_weight=auto" in line for line in found) == told


def test_warnings_of_the_screen_are_said_again(tmp_path):
    fit = {
        "screen": {"warnings": ["no NTC guide", "one replicate"], "day_labels": ["d0"]},
        "notes": ["a note"],
    }
    found = closing_lines(RunPaths(tmp_path), {"stages": {"fit": fit}}).splitlines()
    assert found[:3] == ["warning: no NTC guide", "warning: one replicate", "note: a note"]
