"""Contrasts by name, and what a fit says of them."""

import numpy as np
import pytest

from fatebias.config import Config, DataConfig, DiscoveryConfig
from fatebias.contrasts import parse_contrast, parse_contrasts
from fatebias.errors import ConfigError
from fatebias.estimates.estimates import GeneEstimates

FATES = ("EC", "MES", "NEU")


def test_a_fate_alone_is_held_against_the_reference():
    found = parse_contrast("NEU", FATES, "EC")
    assert (found.fate, found.against) == ("NEU", "EC")
    np.testing.assert_array_equal(found.weights(FATES), [0, 1])


def test_one_fate_against_another():
    np.testing.assert_array_equal(parse_contrast("MES-NEU", FATES, "EC").weights(FATES), [1, -1])
    np.testing.assert_array_equal(parse_contrast("EC-NEU", FATES, "EC").weights(FATES), [0, -1])


def test_hyphens_in_names():
    found = parse_contrast("T-cell-B-cell", ("HSC", "T-cell", "B-cell"), "HSC")
    assert (found.fate, found.against) == ("T-cell", "B-cell")
    with pytest.raises(ConfigError, match=r"read in two ways[\s\S]*found: a-b-c"):
        parse_contrast("a-b-c", ("a", "b-c", "a-b", "c"), "a")


@pytest.mark.parametrize("word", ["MSE", "MES-MES", "MES-", "EC", "", "MES/NEU"])
def test_what_is_no_contrast(word):
    with pytest.raises(ConfigError, match=r"discovery.contrasts[\s\S]*MES, NEU, MES-NEU") as error:
        parse_contrast(word, FATES, "EC")
    listed, either = str(error.value.allowed).split("; ")
    assert either == "pairs either way round"
    for each in listed.split(", "):
        found = parse_contrast(each, FATES, "EC")
        back = parse_contrast(f"{found.against}-{found.fate}", FATES, "EC")
        assert (back.fate, back.against) == (found.against, found.fate)
    assert len(listed.split(", ")) == 5  # two names alone, three pairs


def test_contrasts_are_checked_with_the_config():
    with pytest.raises(ConfigError, match="not a contrast of two different fates"):
        Config(discovery=DiscoveryConfig(contrasts=["NUE"]))
    Config(discovery=DiscoveryConfig(contrasts=["NUE"]), stages=["discover"])  # the fit's fates count there
    Config(
        discovery=DiscoveryConfig(contrasts=["C-B"]),
        data=DataConfig(fates=["A", "B", "C"], ref_fate="A", contrast_fate="B"),
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["MES"], "the screen's own contrast"),
        (["NEU", "MES-EC"], "the screen's own contrast"),
        (["NEU", "NEU-EC"], r"the same as NEU\n[\s\S]*found: NEU-EC"),
    ],
)
def test_no_contrast_twice(words, message):
    with pytest.raises(ConfigError, match=message):
        Config(discovery=DiscoveryConfig(contrasts=words))


def test_all_stands_for_each_fate_that_is_not_named_otherwise():
    fates = (*FATES, "HSC")
    for words, expected in (
        (["all"], ["NEU", "HSC"]),
        (["all", "MES-NEU"], ["NEU", "HSC", "MES-NEU"]),
        (["HSC", "all"], ["NEU", "HSC"]),
        (["NEU-EC", "all"], ["HSC", "NEU-EC"]),
        ([], []),
    ):
        assert [each.name for each in parse_contrasts(words, fates, "EC", "MES")] == expected
    assert parse_contrasts(["all"], ("EC", "MES"), "EC", "MES") == []


@pytest.mark.parametrize(("given", "kept"), [("all", ["all"]), ("NEU", ["NEU"]), ([], []), (["A"], ["A"])])
def test_contrasts_are_a_list_or_one_name(given, kept):
    assert DiscoveryConfig(contrasts=given).contrasts == kept
    assert DiscoveryConfig().contrasts == ["all"]


@pytest.mark.parametrize("given", [None, 3, True, ["NEU", 2], {"NEU": 1}])
def test_contrasts_of_another_kind_are_refused(given):
    with pytest.raises(ConfigError, match=r"discovery.contrasts[\s\S]*all, or a list of contrasts"):
        DiscoveryConfig(contrasts=given)


def test_a_contrast_has_the_variance_of_a_difference():
    rng = np.random.default_rng(0)
    draws = rng.normal(size=(400, 3, 2, 4)) @ rng.normal(size=(4, 4)) + rng.normal(size=(400, 3, 1, 1))
    flat = draws.reshape(400, 3, 8)
    covariance = np.stack([np.cov(flat[:, gene], rowvar=False) for gene in range(3)]).reshape(3, 2, 4, 2, 4)
    found = GeneEstimates(draws.mean(axis=0), covariance, np.zeros((3, 3, 3))).contrast(np.array([1.0, -1.0]))
    apart = draws[:, :, 0] - draws[:, :, 1]
    np.testing.assert_allclose(found.betahat, apart.mean(axis=0))
    for gene in range(3):
        np.testing.assert_allclose(found.covariance[gene], np.cov(apart[:, gene], rowvar=False))
    np.testing.assert_allclose(found.se, apart.std(axis=0, ddof=1))
