"""What people have becomes two files that default settings read as the same screen, whole or not at all."""

from __future__ import annotations

import importlib
import os
import re
import shlex
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import fatebias as fb
from fatebias.config import DataConfig
from fatebias.data.load import read_screen
from fatebias.errors import ConfigError, DataError, OutputError
from fatebias.preparation.__main__ import main

RUN_PY = Path(__file__).parents[2] / "run.py"
FATES = ["Mono, (early)", "Neu+", "Baso [x]"]
CHOSEN = {"fates": FATES, "ref_fate": FATES[0], "contrast_fate": FATES[2]}
NAMES = [f"{gene}_sg{i}" for gene in ("GATA2", "TBXT", "SAFE", "NTC") for i in (1, 2, 3)]
N = 240


class FakeLineage(np.ndarray):
    """A stand-in for CellRank's Lineage: an array that carries the names of its columns."""

    names: list[str]


def held():
    rng = np.random.default_rng(3)
    return (rng.random((N, len(NAMES))) < 0.13).astype(int)


def object_of(guides=None, **obs):
    rng = np.random.default_rng(1)
    lineage = rng.dirichlet([2.0, 2.0, 2.0], N).view(FakeLineage)
    lineage.names = FATES
    cells = [f"c{i:03d}-1" for i in range(N)]
    columns = {
        "time": [["E8.5", "E7.5"][i % 2] for i in range(N)],
        "sample": [f"s{i // 2 % 2}" for i in range(N)],
    }
    adata = ad.AnnData(np.zeros((N, 1), np.float32), obs=pd.DataFrame({**columns, **obs}, index=cells))
    adata.obsm["lineages_fwd"] = lineage
    if guides is not None:
        adata.obsm["sgRNA counts"] = pd.DataFrame(guides, index=cells, columns=NAMES)
    return adata


def library():
    """Cell Ranger's feature reference."""
    genes = [name.split("_")[0].replace("NTC", "Non-Targeting") for name in NAMES]
    frame = pd.DataFrame({"id": NAMES, "name": NAMES, "read": "R2", "target_gene_name": genes})
    return frame.replace({"target_gene_name": {"SAFE": "safe-targeting"}})


def calls():
    return ["|".join(np.array(NAMES)[row > 0]) or "No call" for row in held()]


SETTINGS = {**CHOSEN, "day_key": "time", "rep_key": "sample"}
WORDS = [
    'data.fates=["Mono, (early)","Neu+","Baso [x]"]',
    'data.ref_fate="Mono, (early)"',
    'data.contrast_fate="Baso [x]"',
    "data.day_key=time",
    "data.rep_key=sample",
]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("a (1) folder, b")
    return fb.prepare(
        object_of(held()), library(), out=folder, guides="sgRNA counts", positive=["GATA2"], **SETTINGS
    )


def test_the_default_settings_read_the_screen_that_was_given(prepared):
    plain = DataConfig(
        source="anndata", adata_path=str(prepared.screen), guide_map_csv=str(prepared.guide_map)
    )
    screen = read_screen(plain.adata_path, plain.guide_map_csv, plain)
    assert (screen.fates, screen.contrast) == (("Mono, (early)", "Neu+", "Baso [x]"), "Baso [x]")
    assert (screen.day_labels, screen.rep_labels) == (("E7.5", "E8.5"), ("s0", "s1"))
    assert screen.gene_names == ("GATA2", "TBXT", "safe-targeting")
    assert screen.ntc_guide_names == ("NTC_sg1", "NTC_sg2", "NTC_sg3")
    np.testing.assert_array_equal(screen.n_guides, held().sum(axis=1))
    np.testing.assert_allclose(screen.p, np.asarray(object_of().obsm["lineages_fwd"]))
    for name in ("guide_ids", "mask", "ntc_slots", "day", "rep"):
        np.testing.assert_array_equal(getattr(screen, name), getattr(prepared.read, name))
    assert screen.settings.fates == FATES


def test_what_was_done_is_told(prepared):
    told = str(prepared)
    only = (held()[:, :9].sum(axis=1) == 0) & (held()[:, 9:].sum(axis=1) > 0)
    assert (
        f"3 non-targeting in the library, 3 of them seen in cells; {only.sum()} cells hold these alone"
        in told
    )
    assert (
        "3 safe-targeting guides count as a gene called safe-targeting; --controls non-targeting,safe-tar"
        in told
    )
    carry = held()[:, :3].any(axis=1)
    mean = np.asarray(object_of().obsm["lineages_fwd"])[carry, 2].mean()
    assert f"GATA2: {carry.sum()} cells, mean Baso [x] {mean:.3f} in them" in told
    assert "threshold     none: the guides are called" in told
    assert prepared.picture.read_bytes()[:4] == b"\x89PNG"


def test_the_commands_that_it_ends_with_are_typed(prepared, composed, tmp_path):
    check, fit = (line.strip() for line in str(prepared).splitlines() if "data=anndata" in line)
    assert shlex.split(check)[-1] == "stages=[check]"
    _, data, words = check.partition(" data=anndata")
    pasted = f"{shlex.quote(sys.executable)} {shlex.quote(str(RUN_PY))}{data}{words}"  # by a shell, as typed
    done = subprocess.run(["bash", "-c", pasted], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Baso [x] against Mono, (early)" in done.stdout
    config = composed(*shlex.split(fit)[-5:])
    assert config.likelihood_weight == "auto"
    assert config.out_dir == str(prepared.screen.parent / "results")
    assert "experiment=calibrated" in str(prepared).splitlines()[-1]  # a run judges the other fates, too


@pytest.mark.parametrize("where", ["obs", "file", "by itself", "whole file"])
def test_guide_calls_give_the_same_screen(prepared, tmp_path, where):
    guides = {"obs": "assigned", "by itself": None}.get(
        where, str(tmp_path / "protospacer_calls_per_cell.csv")
    )
    name = "feature_call" if where == "by itself" else "assigned"
    adata = object_of(**({name: calls()} if where in ("obs", "by itself") else {}))
    if where in ("file", "whole file"):
        frame = pd.DataFrame({"cell_barcode": adata.obs_names, "feature_call": calls(), "num_umis": "9"})
        frame[frame["feature_call"] != "No call"].to_csv(guides, index=False)
    source = adata
    if where == "whole file":
        adata.obsm["lineages_fwd"] = pd.DataFrame(
            np.asarray(adata.obsm["lineages_fwd"]), index=adata.obs_names, columns=FATES
        )
        source = tmp_path / "cellrank.h5ad"
        adata.write_h5ad(source)
    found = fb.prepare(source, library(), out=tmp_path / "out", guides=guides, **SETTINGS)
    assert found.read.fingerprint() == prepared.read.fingerprint()


def test_safe_targeting_guides_are_controls_where_asked(tmp_path):
    both = fb.prepare(
        object_of(held()),
        library(),
        out=tmp_path,
        guides="sgRNA counts",
        controls=["non-targeting", "safe-targeting"],
        **SETTINGS,
    )
    assert both.read.gene_names == ("GATA2", "TBXT")
    assert len(both.read.ntc_guide_names) == 6
    assert "3 non-targeting and 3 safe-targeting in the library" in str(both)


def test_raw_counts_get_a_threshold_and_a_picture(tmp_path):
    rng = np.random.default_rng(0)
    names = [f"{gene}_sg{i}" for gene in ("GATA2", "TBXT", "NTC") for i in range(10)]
    held = rng.random((N, 30)) < 0.05
    counts = rng.poisson(0.3, (N, 30)) + rng.poisson(40, (N, 30)) * held
    adata = object_of()
    adata.obsm["guide"] = sparse.csr_matrix(counts)
    adata.uns["guide_names"] = names
    table = pd.DataFrame({"sgRNA": names, "gene": [name.split("_")[0] for name in names]})
    found = fb.prepare(adata, table, out=tmp_path, **SETTINGS)
    threshold = int(re.search(r"a guide is present above (\d+) UMIs", str(found))[1])
    assert ((counts > threshold) != held).mean() < 0.005
    np.testing.assert_array_equal(found.read.n_guides, (counts > threshold).sum(axis=1))
    again = fb.prepare(adata, table, out=tmp_path, overwrite=True, guide_threshold=threshold, **SETTINGS)
    assert "as asked" in str(again)
    assert again.read.fingerprint() == found.read.fingerprint()


def test_merged_fates_dropped_cells_and_covariates_stay_in_the_file(tmp_path):
    adata = object_of(
        held(), log_umi=np.random.default_rng(0).normal(size=N), lane=[f"l{i % 3}" for i in range(N)]
    )
    lineage = np.asarray(adata.obsm["lineages_fwd"]).copy()
    lineage[:7] = np.nan
    adata.obsm["lineages_fwd"] = pd.DataFrame(lineage, index=adata.obs_names, columns=["A_1", "A_2", "B"])
    found = fb.prepare(
        adata,
        library(),
        out=tmp_path,
        guides="sgRNA counts",
        day_key="time",
        rep_key="sample",
        merge_fates={"A": ["A_1", "A_2"]},
        fates=["A", "B"],
        ref_fate="A",
        contrast_fate="B",
        bad_cells="drop",
        covariates=["log_umi", "lane"],
    )
    assert found.read.N == N - 7
    line = next(line for line in str(found).splitlines() if "stages=[check]" in line)
    assert "'data.covariates=[log_umi,lane]'" in line
    screen = fb.read_screen(found.screen, guides=found.guide_map, covariates=["log_umi", "lane"])
    np.testing.assert_allclose(screen.covariates, found.read.covariates)
    assert screen.fates == ("A", "B")


def written_input(tmp_path):
    adata = object_of(held())
    adata.obsm["lineages_fwd"] = pd.DataFrame(
        np.asarray(adata.obsm["lineages_fwd"]), index=adata.obs_names, columns=FATES
    )
    adata.write_h5ad(tmp_path / "screen.h5ad")
    library().to_csv(tmp_path / "library.csv", index=False)
    return tmp_path / "screen.h5ad", tmp_path / "library.csv"


def test_an_input_is_never_overwritten(tmp_path):
    screen, table = written_input(tmp_path)
    before = screen.read_bytes()
    for overwrite in (False, True):
        with pytest.raises(OutputError, match="a file that is read would be overwritten"):
            fb.prepare(screen, table, out=tmp_path, guides="sgRNA counts", overwrite=overwrite, **SETTINGS)
    assert screen.read_bytes() == before


def test_other_files_are_replaced_only_where_asked(tmp_path):
    screen, table = written_input(tmp_path)
    words = [
        str(screen),
        "--library",
        str(table),
        "--guides",
        "sgRNA counts",
        "--out",
        str(tmp_path / "out"),
        *WORDS,
    ]
    assert main(words) == 0
    assert main(words) == 1
    assert main([*words, "--overwrite"]) == 0


def test_a_file_that_cannot_be_read_back_leaves_none(tmp_path, monkeypatch):
    def otherwise(*_):
        raise DataError("read otherwise")

    monkeypatch.setattr("fatebias.preparation.files._check_same", otherwise)
    with pytest.raises(DataError, match="read otherwise"):
        fb.prepare(object_of(held()), library(), out=tmp_path, guides="sgRNA counts", **SETTINGS)
    assert not list(tmp_path.iterdir())


def test_fates_without_quotes_come_back_with_them(tmp_path, capsys):
    screen, table = written_input(tmp_path)
    words = [str(screen), "--library", str(table), "--guides", "sgRNA counts", "--out", str(tmp_path / "out")]
    assert main([*words, "data.fates=[Early EC/1,MES (late),NEU+]"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("a setting holds signs that Hydra reads as its own\n")
    assert """: 'data.fates=["Early EC/1","MES (late)","NEU+"]'\n""" in said
    assert main([*words, *shlex.split(said.rpartition("shell: ")[2])]) == 1  # read, and refused for its names
    assert "data.ref_fate" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "fix"),
    [
        ("none.h5ad", "fatebias prepare PATH to an .h5ad file"),
        ("a (1).zarr.zip", "unzip '{0}/a (1).zarr.zip', then fatebias prepare '{0}/a (1).zarr'"),
    ],
)
def test_a_screen_that_cannot_be_opened_is_advised_as_it_is_typed_here(tmp_path, capsys, name, fix):
    if name.endswith(".zip"):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr("screen.h5ad", "")
    assert main([str(tmp_path / name), "--library", "library.csv"], prog="fatebias prepare") == 1
    assert f"fix: {fix.format(tmp_path)}" in capsys.readouterr().err


MOMENTS = {
    "reading": "fatebias.preparation.source.read_guides",
    "the picture": "fatebias.pl.save.save_png",
    "writing": "fatebias.preparation.files.write_anndata",
    "reading back": "fatebias.preparation.files._check_same",
    "naming the second file": "fatebias.files.atomic.os.replace",
}


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", MOMENTS)
def test_interrupted_it_says_so_and_leaves_nothing(tmp_path, monkeypatch, capsys, moment, sent):
    screen, table = written_input(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    module, _, name = MOMENTS[moment].rpartition(".")
    place = os if module.endswith("os") else importlib.import_module(module)
    done, calls = getattr(place, name), []

    def interrupted(*given, **named):
        calls.append(name)
        if moment != "naming the second file" or len(calls) == 2:
            os.kill(os.getpid(), sent)
        return done(*given, **named)

    monkeypatch.setattr(place, name, interrupted)
    words = ["--library", str(table), "--guides", "sgRNA counts", "--out", str(tmp_path / "new/out"), *WORDS]
    assert main([str(screen), *words]) == 128 + sent
    assert capsys.readouterr() == ("", "interrupted\n")
    assert calls
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("out", "found"), [("library.csv", "--out names a file"), ("library.csv/below", "--out cannot be")]
)
def test_an_out_that_is_no_folder_is_named_as_it_was_typed(tmp_path, capsys, out, found):
    screen, table = written_input(tmp_path)
    words = ["--library", str(table), "--guides", "sgRNA counts", "--out", str(tmp_path / out), *WORDS]
    assert main([str(screen), *words]) == 1
    said = capsys.readouterr().err
    assert said.startswith(found)
    assert "--out " in said.rpartition("fix: ")[2]
    assert "out_dir" not in said


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        (
            {"guides": "none"},
            DataError,
            r"--guides none names no guides\n(.|\n)*obsm has lineages_fwd, sgRNA counts",
        ),
        ({"guides": None}, DataError, "the guides are not found"),
        ({"controls": ["non-targetting"]}, ConfigError, "--controls names no kind of control and no gene"),
        ({"positive": ["SOX2"]}, ConfigError, "--positive names genes that no cell's guide targets: 'SOX2'"),
        ({"fate_prob_key": "x"}, DataError, r"obsm\['x'\] is absent"),
        ({"fates": ["A", "B"], "ref_fate": "A", "contrast_fate": "B"}, DataError, r"fix: .data.fates=\["),
        ({"library": pd.DataFrame({"id": NAMES, "seq": "A"})}, DataError, "no column that names its genes"),
        ({"library": library().assign(is_ntc="maybe")}, DataError, "says neither true nor false"),
        ({"library": None}, DataError, "the screen does not say what its guides target"),
    ],
)
def test_what_does_not_fit_is_one_message_and_leaves_nothing(tmp_path, changes, error, message):
    given = {"library": library(), "guides": "sgRNA counts", **SETTINGS, **changes}
    with pytest.raises(error, match=message):
        fb.prepare(object_of(held()), given.pop("library"), out=tmp_path / "out", **given)
    assert not list(tmp_path.iterdir())


def test_typed_it_prints_and_refuses_as_other_commands_do(terminal, tmp_path):
    screen, _ = written_input(tmp_path)
    words = ["prepare", "screen.h5ad", "--library", "library.csv", "--guides", "sgRNA counts"]
    refused = terminal(*words, fits=True)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.startswith("obs['day'] is absent\n")
    done = terminal(*words, *WORDS, fits=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "prepared/screen.h5ad" in done.stdout.splitlines()[-1]
    assert terminal("prepare", "--help", fits=True).stdout.startswith("usage: fatebias prepare ")
    wrong = terminal(*words, "priors=weak", fits=True)
    assert wrong.stderr.startswith("a word is no setting of data\n  where: command line, priors=weak\n")
