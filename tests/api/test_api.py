"""The four verbs: the command line's results, the caller's state left alone, saved and read back."""

from __future__ import annotations

import logging
import os
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
import torch

import fatebias as fb
from fatebias.api.settings import make_config
from fatebias.errors import ConfigError, DataError
from fatebias.files.tables import read_table
from fatebias.run import pipeline

QUICK = ["inference=laplace", "inference.num_posterior_draws=200", "calibration.control_splits=2"]


@pytest.mark.parametrize(
    ("words", "of_fit", "of_discover"),
    [
        ([], {}, {}),
        (["experiment=calibrated"], {"preset": "calibrated"}, {}),
        (
            ["priors=weak", "likelihood_weight=0.5", "seed=3", "discovery.mash_lfsr_thresh=0.2"],
            {"priors": "weak", "likelihood_weight": 0.5, "seed": 3},
            {"mash_lfsr_thresh": 0.2},
        ),
        (
            ["export.se=sandwich", "discovery=ashr", "model.guide_effects=centred"],
            {"export": {"se": "sandwich"}, "model": {"guide_effects": "centred"}, "discovery": "ashr"},
            {},
        ),
        (
            ["export=unshrunken", "export.inactive_guides=true", "discovery.contrasts=[NEU]"],
            {"export": "unshrunken", "export.inactive_guides": True},
            {"contrasts": ["NEU"]},
        ),
    ],
)
def test_the_command_line_and_python_give_the_same_tables(
    composed, files, screen, tmp_path, words, of_fit, of_discover
):
    data = [f"data.adata_path={files.adata}", f"data.guide_map_csv={files.guide_map}", f"out_dir={tmp_path}"]
    stages = ["stages=[fit,discover]", "tracking=off", "plots=false", "discovery.engine=native"]
    pipeline.run(composed("data=anndata", *data, *stages, *QUICK, *words))

    fit = fb.fit(
        screen, progress=False, **{"inference": "laplace", "inference.num_posterior_draws": 200, **of_fit}
    )
    hits = fb.discover(fit, engine="native", **of_discover)
    for table, name in (
        (fit.effects, "gene_summary_for_mash.csv"),
        (fit.guides, "guide_summary.csv"),
        (fit.marginal, "marginal_effects.csv"),
        (fit.replicates, "replicate_effects.csv"),
        (fit.guides_other_fates, "guides_other_fates.csv"),
        (fit.replicates_other_fates, "replicates_other_fates.csv"),
        (hits.table, "hits_ranked.csv"),
        (hits.calls, "gene_calls.csv"),
    ):
        assert table.to_csv(index=False) == (tmp_path / name).read_text(), name
    for name, further in hits.further.items():
        assert (
            further.table.to_csv(index=False) == (tmp_path / f"contrasts/{name}/hits_ranked.csv").read_text()
        )
    assert set(hits.further) == {path.name for path in tmp_path.glob("contrasts/*")}


def test_nothing_is_written_and_the_caller_s_state_stays(screen, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    root = logging.getLogger()
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    torch.manual_seed(1)
    before = (list(root.handlers), root.level, torch.get_num_threads(), dict(os.environ))
    expected = (random.Random(1).random(), np.random.RandomState(1).rand())  # noqa: NPY002
    fit = fb.fit(screen, inference="laplace", progress=False, **{"inference.num_posterior_draws": 50})
    fb.discover(fit, engine="native")
    assert (list(root.handlers), root.level, torch.get_num_threads(), dict(os.environ)) == before
    assert (random.random(), np.random.rand()) == expected  # noqa: NPY002
    first = torch.rand(1)
    torch.manual_seed(1)
    assert torch.equal(first, torch.rand(1))
    assert list(tmp_path.iterdir()) == []


def test_a_saved_fit_is_read_back(fitted, folder):
    again = fb.load(folder)
    for name in ("effects", "guides", "marginal", "loss"):
        pd.testing.assert_frame_equal(getattr(again, name), getattr(fitted, name), check_exact=True)
    for name in (
        "likelihood_weight",
        "diagnostics",
        "warnings",
        "notes",
        "screen",
        "summary",
        "config",
        "weight",
    ):
        assert getattr(again, name) == getattr(fitted, name), name
    np.testing.assert_array_equal(again.posterior.theta_joint, fitted.posterior.theta_joint)
    assert fitted.estimates.likelihood is not None  # the guesses about guides are kept
    np.testing.assert_array_equal(again.estimates.likelihood.mean, fitted.estimates.likelihood.mean)
    first, second = (fb.discover(each, engine="native").table for each in (fitted, again))
    pd.testing.assert_frame_equal(first, second, check_exact=True)


def test_the_command_line_continues_from_a_saved_fit(fitted, folder, composed, tmp_path):
    words = ["stages=[discover]", "tracking=off", "plots=false", "discovery.engine=native"]
    pipeline.run(composed(*words, f"out_dir={folder}"), overrides=words)
    expected = fb.discover(fitted, engine="native").table
    assert (folder / "hits_ranked.csv").read_text() == expected.to_csv(index=False)


def test_saving_moves_results_of_an_earlier_fit_aside(fitted, tmp_path):
    fitted.save(tmp_path)
    (tmp_path / "hits_ranked.csv").write_text("of an earlier fit")
    fitted.save(tmp_path)
    assert not (tmp_path / "hits_ranked.csv").exists()
    assert (tmp_path / "superseded/hits_ranked.csv").read_text() == "of an earlier fit"


@pytest.mark.parametrize("found", ["nothing", "a failed fit"])
def test_a_folder_without_a_fit_is_refused(tmp_path, found):
    if found != "nothing":
        (tmp_path / "run.json").write_text('{"stages": {"fit": {"status": "failed"}}}')
    with pytest.raises(DataError, match="the folder has no finished fit"):
        fb.load(tmp_path)


def test_objects_in_memory_read_like_files(files, screen):
    adata = anndata.read_h5ad(files.adata)
    guides = pd.read_csv(files.guide_map)
    assert fb.read_screen(adata, guides=guides).fingerprint() == screen.fingerprint()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"prior": "weak"}, "there is no setting prior\n(.*\n)*.*did you mean priors"),
        ({"priors": "weakk"}, "there is no option weakk in the group priors\n(.*\n)*.*did you mean weak"),
        ({"priors": {"s_taw": 1.0}}, "there is no setting priors.s_taw\n(.*\n)*.*did you mean priors.s_tau"),
        ({"priors": {"s_tau": -1.0}}, "priors.s_tau has a value that cannot be used"),
        ({"priors": 3}, "priors has a value of the wrong kind\n(.*\n)*.*the name of an option"),
        ({"seed": "x"}, "seed has a value of the wrong kind"),
        ({"preset": "permutation"}, "the experiment permutation is many runs"),
        ({"data.permutation": 3}, "data.permutation is not a setting of a fit from Python"),
        ({"out_dir": "here"}, "out_dir is not a setting of a fit from Python\n(.*\n)*.*fit.save"),
        ({"preset": "calibratd"}, "there is no option calibratd .*\n(.*\n)*.*did you mean calibrated"),
    ],
)
def test_settings_that_do_not_exist_are_refused_with_those_that_do(screen, settings, message):
    with pytest.raises(ConfigError, match=message):
        fb.fit(screen, **settings)


def test_options_come_before_the_preset_and_single_settings_after_it():
    config = make_config("calibrated", discovery="ashr", export="posterior")
    assert (config.discovery.method, config.discovery.null_correlation) == ("ashr", "per_gene")
    assert config.export.estimates == "posterior"
    single = make_config("calibrated", discovery={"null_correlation": "identity"})
    assert single.discovery.null_correlation == "identity"


def test_values_of_numpy_are_plain_values(files):
    screen = fb.read_screen(files.adata, guides=files.guide_map, fates=np.array(["EC", "MES", "NEU"]))
    assert screen.fates == ("EC", "MES", "NEU")
    assert make_config(discovery={"mash_lfsr_thresh": np.float64(0.01)}).discovery.mash_lfsr_thresh == 0.01
    with pytest.raises(
        ConfigError, match="data.fates has a value of the wrong kind\n(.*\n)*.*a list of names"
    ):
        fb.read_screen(files.adata, guides=files.guide_map, fates="EC")


def test_one_name_where_a_list_belongs_is_told_how_to_write_it(fitted):
    with pytest.raises(ConfigError) as refused:
        fb.discover(fitted, command="Rscript")
    assert str(refused.value) == (
        "discovery.command has a value of the wrong kind\n  where: discovery.command\n"
        "  found: 'Rscript'\n  allowed: a list of names, such as ['EC', 'MES']\n  fix: give ['Rscript']"
    )


def test_a_value_of_the_wrong_kind_is_shown_with_what_is_right(fitted):
    with pytest.raises(ConfigError, match="found: 'high'\n  allowed: a number$"):
        fb.discover(fitted, mash_lfsr_thresh="high")
    with pytest.raises(ConfigError, match="found: 1.5\n  allowed: a whole number$"):
        fb.discover(fitted, seed=1.5)
    with pytest.raises(ConfigError, match="calibration has a value of the wrong kind") as refused:
        make_config(calibration={"spike_in_sizes": [["0.1"]]})
    assert len(str(refused.value)) < 300  # of a whole group not all settings are listed


def test_hits_are_drawn_of_hits_and_not_of_a_fit(fitted):
    with pytest.raises(TypeError, match=r"hits takes a ranking, not FitResult: .*fatebias.discover\(fit\)"):
        fb.pl.hits(fitted)


def test_notes_are_said_once(screen, caplog):
    found = fb.fit(screen, inference="laplace", progress=False)
    assert found.notes
    assert [each.getMessage() for each in caplog.records if each.getMessage() in found.notes] == [
        *found.notes
    ]


def test_what_is_no_screen_and_no_fit_is_refused(fitted, files):
    with pytest.raises(TypeError, match="fit takes a Screen"):
        fb.fit("screen.h5ad")
    with pytest.raises(TypeError, match="discover takes a fit"):
        fb.discover("results")
    with pytest.raises(ConfigError, match="adata_path is not a setting of read_screen"):
        fb.read_screen(anndata.read_h5ad(files.adata), guides=files.guide_map, adata_path="x")


def test_fits_of_two_threads_are_those_of_one(screen):
    quick = {"inference": "laplace", "inference.num_posterior_draws": 20, "progress": False}
    alone = [fb.fit(screen, seed=seed, **quick).effects for seed in (1, 2)]
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(lambda seed: fb.fit(screen, seed=seed, **quick).effects, (1, 2)))
    for one, other in zip(alone, together, strict=True):
        pd.testing.assert_frame_equal(one, other, check_exact=True)


def test_settings_of_discovery_are_checked_too(fitted):
    with pytest.raises(ConfigError, match="there is no setting discovery.engin\n"):
        fb.discover(fitted, engin="native")


def test_tables_go_to_anndata_when_asked_and_survive_a_file(files, fitted, tmp_path):
    adata = anndata.read_h5ad(files.adata)
    hits = fb.discover(fitted, engine="native", contrasts=["NEU"])
    assert "fatebias" not in adata.uns
    fb.to_anndata(hits, adata)
    adata.write_h5ad(tmp_path / "with_hits.h5ad")
    found = anndata.read_h5ad(tmp_path / "with_hits.h5ad").uns["fatebias"]
    assert list(found["hits"]["gene"]) == list(hits.table["gene"])
    np.testing.assert_array_equal(found["hits"]["lfsr_min"], hits.table["lfsr_min"])
    assert list(found["contrasts"]["NEU"]["hits"]["gene"]) == list(hits.further["NEU"].table["gene"])
    assert found["contrast"].tolist() == ["MES", "EC"]


def test_hits_are_drawn_into_the_axes_given(fitted):
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    assert fb.pl.hits(fb.discover(fitted, engine="native"), ax=axes) is axes
    assert axes.collections


def test_the_example_runs():
    script = Path(__file__).parents[2] / "examples/first_screen.py"
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "8000 cells, 60 genes" in done.stdout


def test_gene_names_that_look_like_numbers_survive_a_table(tmp_path):
    (tmp_path / "t.csv").write_text("gene,betahat_d0\nNA,1.5\n007,\n")
    table = read_table(tmp_path / "t.csv")
    assert list(table["gene"]) == ["NA", "007"]
    assert table["betahat_d0"].isna().tolist() == [False, True]
