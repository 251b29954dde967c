"""Files are looked for when settings are checked, before a run or a sweep begins."""

from __future__ import annotations

import dataclasses

import pytest

from fatebias.data.given import check_files
from fatebias.errors import DataError


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"adata_path": "none.h5ad"}, r"no such file\n  where: none.h5ad"),
        ({"guide_map_csv": "none.csv"}, r"the guide map does not exist\n  where: none.csv"),
        (
            {"guide_map_csv": None},
            r"needs data.guide_map_csv\n.*\n.*has neither a modality of guides nor uns",
        ),
    ],
)
def test_a_file_that_is_not_there_is_refused(parts, write, changes, message):
    data = write(parts)
    check_files(data)
    with pytest.raises(DataError, match=message):
        check_files(dataclasses.replace(data, **changes))


def test_a_run_without_its_guide_map_leaves_nothing(terminal, tmp_path):
    (tmp_path / "screen.h5ad").touch()
    words = ["data.adata_path=screen.h5ad", "data.guide_map_csv=none.csv", "out_dir=out"]
    done = terminal(*words, real=False)
    assert (done.returncode, done.stderr.partition("\n")[0]) == (1, "the guide map does not exist")
    assert [path.name for path in tmp_path.iterdir()] == ["screen.h5ad"]


def test_a_sweep_without_its_guide_map_is_refused_once_and_starts_nothing(terminal, tmp_path):
    (tmp_path / "screen.h5ad").touch()
    words = ["data.adata_path=screen.h5ad", "data.guide_map_csv=none.csv", "out_dir=out"]
    done = terminal("-m", *words, "seed=0,1,2", real=False)
    assert done.returncode == 1
    assert done.stderr.count("the guide map does not exist") == 1
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["multirun.yaml"]
