"""A run without the stage fit: the settings of the fit in its folder, and those of the command over them."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
import yaml

from fatebias.api.results import settings_of_fit
from fatebias.api.settings import make_config
from fatebias.config import Config
from fatebias.errors import ConfigError
from fatebias.run import pipeline
from fatebias.run.continued import continue_from

CALIBRATED = make_config("calibrated")


def continued(composed, *words: str) -> Config:
    asked = composed("stages=[discover]", *words)
    return continue_from(asked, ["stages=[discover]", *words], settings_of_fit(CALIBRATED))


def test_what_the_command_does_not_name_is_that_of_the_fit(composed):
    found = continued(composed, "out_dir=here", "tracking=off")
    assert (found.likelihood_weight, found.export.estimates) == ("auto", "unshrunken")
    assert found.discovery.null_correlation == "per_gene"
    assert (found.out_dir, found.stages, found.tracking.backend) == ("here", ["discover"], "off")


def test_what_the_command_names_wins(composed):
    found = continued(composed, "discovery.contrasts=[NEU]", "discovery.null_correlation=simple")
    assert found.discovery == dataclasses.replace(
        CALIBRATED.discovery, contrasts=["NEU"], null_correlation="simple"
    )
    assert found.export.estimates == "unshrunken"


def test_the_name_of_an_option_names_its_settings(composed):
    found = continued(composed, "discovery=ashr")
    assert found.discovery.method == "ashr"
    assert found.discovery.null_correlation == "simple"


OF_A_PREPARED_SCREEN = {
    "fates": ["NEU+", "Early EC/1", "MES (late)"],
    "ref_fate": "NEU+",
    "contrast_fate": "MES (late)",
}
READ_FROM_FILES = ["data=anndata", "data.adata_path=screen.h5ad", "data.guide_map_csv=guides.csv"]


def continued_from_a_prepared_screen(composed, *words: str) -> Config:
    data = {
        "source": "anndata",
        "adata_path": "/elsewhere/screen.h5ad",
        **OF_A_PREPARED_SCREEN,
        "day_key": "stage",
    }
    fitted = make_config("calibrated", data=data)
    asked = composed("stages=[discover]", *words)
    return continue_from(asked, ["stages=[discover]", *words], settings_of_fit(fitted))


def test_the_words_of_the_fit_of_a_prepared_screen_which_notes_its_fates(composed):
    found = continued_from_a_prepared_screen(composed, "experiment=calibrated", *READ_FROM_FILES)
    assert {name: getattr(found.data, name) for name in OF_A_PREPARED_SCREEN} == OF_A_PREPARED_SCREEN
    assert (found.data.adata_path, found.data.day_key) == ("screen.h5ad", "stage")


@pytest.mark.parametrize(
    "words", [["data.fates=[EC,MES,NEU]", *READ_FROM_FILES], ["data.day_key=day"], ["data=simulated"]]
)
def test_data_that_are_typed_and_make_another_fit_are_refused(composed, words):
    with pytest.raises(ConfigError, match="asks for another fit than the one in out_dir"):
        continued_from_a_prepared_screen(composed, *words)


def test_naming_the_preset_of_the_fit_again_changes_nothing(composed):
    found = continued(composed, "experiment=calibrated")
    assert settings_of_fit(found) == settings_of_fit(CALIBRATED)


@pytest.mark.parametrize(
    ("word", "found", "allowed"),
    [
        ("likelihood_weight=0.5", "0.5", "auto"),
        ("data.contrast_fate=NEU", "NEU", "MES"),
        ("export=posterior", "posterior", "unshrunken"),
        ("priors=weak", "5.0", "2.5"),
    ],
)
def test_a_setting_that_makes_another_fit_is_refused(composed, word, found, allowed):
    with pytest.raises(ConfigError, match="asks for another fit than the one in out_dir") as error:
        continued(composed, word)
    assert str(error.value.found) == found
    assert str(error.value.allowed) == allowed
    assert "fit again: add fit to stages" in str(error.value)


def test_a_calibrated_folder_is_judged_again_as_calibrated(composed, tmp_path: Path):
    quick = ["inference=laplace", "inference.num_posterior_draws=100", "discovery.engine=native"]
    small = ["data=simulated", "data.simulate.n_cells=1000", "data.simulate.n_genes=6"]
    first = ["experiment=calibrated", "stages=[fit,discover]", "tracking=off", "plots=false", *quick, *small]
    pipeline.run(composed(*first, f"out_dir={tmp_path}/first"), overrides=first)
    shutil.copytree(tmp_path / "first", tmp_path / "again")

    again = ["stages=[discover]", "tracking=off", "plots=false", "discovery.contrasts=[NEU]"]
    pipeline.run(composed(*again, f"out_dir={tmp_path}/again"), overrides=again)
    settings = yaml.safe_load((tmp_path / "again/config.yaml").read_text())
    assert settings["likelihood_weight"] == "auto"
    assert settings["export"]["estimates"] == "unshrunken"
    assert settings["discovery"]["null_correlation"] == "per_gene"
    assert dataclasses.asdict(composed(*first).priors) == settings["priors"]
    for name in ("hits_ranked.csv", "gene_calls.csv"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "first" / name).read_bytes()
    assert (tmp_path / "again/contrasts/NEU/hits_ranked.csv").is_file()
    # the weight that the fit used is a result, and is with the fit
    fit = json.loads((tmp_path / "again/run.json").read_text())["stages"]["fit"]
    assert fit["likelihood_weight"] > 1
