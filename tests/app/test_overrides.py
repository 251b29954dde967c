"""The words of a command line against the schema, before Hydra is asked."""

from __future__ import annotations

import shlex

import pytest
from hydra.errors import HydraException

from fatebias.app.overrides import check_words, composition_message, schema_keys
from fatebias.errors import ConfigError

GROUPS = {
    "data": ["anndata", "demo", "simulated"],
    "priors": ["default", "tight", "weak"],
    "inference": ["svi"],
    "experiment": ["prior_sweep"],
}
PRIORS = (
    "priors.s_alpha, priors.s_rep, priors.s_gamma, priors.s_tau, priors.s_time, priors.s_guide, "
    "priors.s_covar"
)


def test_the_schema_has_the_keys_that_users_of_the_first_layout_know():
    keys = set(schema_keys())
    assert keys >= {
        *(
            f"data.{name}"
            for name in (
                "adata_path guide_map_csv fate_prob_key fates ref_fate contrast_fate guide_key covar_key "
                "rep_key day_key Kmax D R weights"
            ).split()
        ),
        *(f"priors.{name}" for name in "s_alpha s_rep s_gamma s_tau s_time s_guide".split()),
        *(f"inference.{name}" for name in "batch_size lr clip_norm num_steps num_posterior_draws".split()),
        *(f"discovery.{name}" for name in "method engine mash_lfsr_thresh lfsr_thresh qvalue_thresh".split()),
        *"likelihood_weight seed device out_dir stages resume".split(),
    }


@pytest.mark.parametrize("sign", ["", "+", "++"])
def test_a_misspelt_key_is_refused_with_the_keys_of_its_group_and_the_nearest(sign):
    with pytest.raises(ConfigError) as refused:
        check_words([f"{sign}priors.s_alhpa=1"], GROUPS)
    assert str(refused.value) == (
        "there is no setting priors.s_alhpa\n"
        f"  where: command line, {sign}priors.s_alhpa=1\n"
        f"  allowed: {PRIORS}\n"
        "  fix: did you mean priors.s_alpha?"
    )


@pytest.mark.parametrize(
    ("word", "fix"),
    [
        ("likelihod_weight=1", "likelihood_weight"),
        ("+likelihod_weight=1", "likelihood_weight"),
        ("prior=weak", "priors or discovery.prior"),
        ("prior.s_tau=1", "priors.s_tau"),
        ("s_tau=1", "priors.s_tau"),
        ("batch_size=512", "inference.batch_size"),
        ("data.simulate.n_cell=5", "data.simulate.n_cells"),
        ("data.n_cells=5", "data.simulate.n_cells"),
        ("experimnt=prior_sweep", "experiment"),
    ],
)
def test_the_key_that_was_meant_is_named(word, fix):
    with pytest.raises(ConfigError, match=rf"fix: did you mean {fix}\?$"):
        check_words([word], GROUPS)


def test_only_near_names_are_offered():
    with pytest.raises(ConfigError, match="there is no setting calibration.check") as no:
        check_words(["calibration.check=false"], GROUPS)
    assert "fix" not in str(no.value)


@pytest.mark.parametrize(
    ("word", "fix"),
    [
        ("plots={a:1}", "'plots=[png]'"),
        ("discovery.contrasts={a:1}", "'discovery.contrasts=[all]'"),
        ("data.fates={a:1}", "'data.fates=[EC,MES,NEU]'"),
    ],
)
def test_a_mapping_in_place_of_a_list_is_told_in_words(composed, word, fix):
    with pytest.raises(HydraException) as refused:
        composed(word)
    key, _, found = word.partition("=")
    assert composition_message(refused.value, GROUPS) == (
        f"{key} has a value of the wrong kind\n  where: command line, {word}\n  found: {found}\n"
        f"  allowed: a list in brackets, as its default\n  fix: {fix}"
    )


def test_a_key_like_no_other_is_refused_with_all_groups_and_keys_of_the_top():
    with pytest.raises(
        ConfigError, match="allowed: data, priors, inference, experiment, likelihood_weight, seed"
    ) as no:
        check_words(["xyzzy=1"], GROUPS)
    assert "fix" not in str(no.value)


@pytest.mark.parametrize(
    "word",
    [
        "priors=weak",
        "priors=default,weak,tight",
        "priors=glob(*)",
        "priors.s_tau=1,2,4",
        "priors@data=weak",
        "experiment=prior_sweep",
        "+experiment=prior_sweep",
        "data.fates=[A,B,C]",
        "data.fates.0=A",
        "data.simulate={n_cells: 10}",
        "data.adata_path='my (1).h5ad'",
        "~priors",
        "hydra.run.dir=x",
        "hydra/launcher=basic",
        "+hydra.job.env_set.OMP_NUM_THREADS='1'",
        "seed=0",
    ],
)
def test_what_can_be_meant_is_left_to_hydra(word):
    check_words([word], GROUPS)


@pytest.mark.parametrize(
    ("word", "fix"),
    [
        ("priors=[weak,tight]", "\n  fix: to compare several, sweep over them: -m priors=weak,tight"),
        ("priors=1", ""),
    ],
)
def test_a_group_takes_one_option(word, fix):
    with pytest.raises(ConfigError) as refused:
        check_words([word], GROUPS)
    assert str(refused.value) == (
        "the group priors takes the name of one option\n"
        f"  where: command line, {word}\n"
        f"  allowed: default, tight, weak{fix}"
    )


def test_signs_that_hydra_reads_as_its_own_are_refused_with_the_quoted_word():
    with pytest.raises(ConfigError, match="a setting holds signs that Hydra reads as its own") as refused:
        check_words(["data.adata_path=my (1).h5ad"], GROUPS)
    quoted = str(refused.value).partition("for the shell: ")[2].strip("'")
    assert quoted == 'data.adata_path="my (1).h5ad"'
    check_words([quoted], GROUPS)


def test_a_word_without_a_value_is_refused():
    with pytest.raises(ConfigError, match="a setting lacks its value\n  where: command line, priors\n"):
        check_words(["priors"], GROUPS)


def test_a_list_that_the_shell_cut_at_its_spaces_is_given_back_quoted():
    with pytest.raises(ConfigError, match="a list was cut at its spaces") as refused:
        check_words(["seed=1", "data.fates=[EC,", "MES,", "NEU]", "priors=weak"], GROUPS)
    typed = str(refused.value).partition("for the shell: ")[2]
    assert shlex.split(typed) == ["data.fates=[EC, MES, NEU]"]
    check_words(shlex.split(typed), GROUPS)


def test_experiments_go_together():
    check_words(["experiment=[prior_sweep]"], GROUPS)
    with pytest.raises(ConfigError, match="there is no option nothing in the group experiment"):
        check_words(["experiment=[prior_sweep,nothing]"], GROUPS)
