"""The examples in the docstrings of what other programs may import."""

import doctest
from importlib import import_module

import pytest

MODULES = [
    "fatebias.mash.joint",
    "fatebias.mash.multivariate",
    "fatebias.mash.null_correlation",
    "fatebias.mash.univariate",
    "fatebias.mash.covariances",
    "fatebias.discovery.core",
    "fatebias.api.screens",
    "fatebias.pl._controls",
    "fatebias.pl._hits",
    "fatebias.pl._loss",
    "fatebias.pl._spike_in",
    "fatebias.pl._sweep",
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_give_what_they_show(name):
    result = doctest.testmod(import_module(name))
    assert result.attempted > 0 or name.endswith("covariances")
    assert result.failed == 0
