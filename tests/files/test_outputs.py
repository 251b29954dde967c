"""The one table of output files, and the page that explains them."""

from __future__ import annotations

from pathlib import Path

import pytest

from fatebias.config import STAGES
from fatebias.files.outputs import OUTPUTS, of_stage
from fatebias.files.paths import RunPaths

PAGE = (Path(__file__).parents[2] / "docs" / "outputs.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("output", OUTPUTS, ids=lambda output: output.name)
def test_every_file_is_explained_and_belongs_to_a_stage(output):
    assert f"`{output.file}`" in PAGE
    assert output.stage in ("", *STAGES)


def test_names_and_files_are_unique():
    assert (
        len({output.name for output in OUTPUTS}) == len({output.file for output in OUTPUTS}) == len(OUTPUTS)
    )


def test_paths_are_those_of_the_table(tmp_path):
    paths = RunPaths(tmp_path)
    assert paths.hits == tmp_path / "hits_ranked.csv"
    assert paths.stage("heldout") == [tmp_path / "heldout.json"]
    assert set(of_stage("discover")) == {"hits", "hits_plot", "calls", "mash_out"}
    assert paths.contrast("a-b").hits == tmp_path / "contrasts" / "a-b" / "hits_ranked.csv"
    with pytest.raises(AttributeError, match="no output is called hitz"):
        paths.hitz  # noqa: B018
