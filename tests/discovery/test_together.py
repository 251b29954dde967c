"""All fates in one mixture: one fate as alone, contrasts as linear maps, genes by name, what is refused."""

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fatebias.config import DiscoveryConfig
from fatebias.discovery.core import discover_contrasts
from fatebias.discovery.input import summary_of
from fatebias.errors import DiscoveryError
from fatebias.estimates.estimates import GeneEstimates

FATES = ("ref", "A", "B", "C")
TOGETHER = DiscoveryConfig(engine="native", null_correlation="per_gene", fates="together", contrasts=[])
ALONE = dataclasses.replace(TOGETHER, fates="alone")


def drawn(n_fates=2, n_genes=80, seed=0):
    """Return true effects (L, F*, D), equal on three days, a third of the genes active, and estimates."""
    rng = np.random.default_rng(seed)
    active = rng.random((n_genes, 1)) < 1 / 3
    size = rng.choice([-1, 1], (n_genes, n_fates)) * rng.uniform(0.2, 0.6, (n_genes, n_fates)) * active
    effects = np.repeat(size[:, :, None], 3, axis=2)
    width = 3 * n_fates
    errors = 0.03 * (0.6 * np.eye(width) + 0.4)
    noise = rng.multivariate_normal(np.zeros(width), errors, n_genes).reshape(effects.shape)
    covariance = np.tile(errors.reshape(n_fates, 3, n_fates, 3), (n_genes, 1, 1, 1, 1))
    return effects, GeneEstimates(effects + noise, covariance)


def named(estimates):
    return [f"g{i}" for i in range(len(estimates.mean))]


def found(estimates, cfg, **more):
    n_fates = estimates.mean.shape[1]
    names = more.pop("genes", named(estimates))
    run = discover_contrasts(estimates, FATES[: n_fates + 1], names, cfg, contrast="A", **more)
    return [each for _, each in run]


def day_values(table, name):
    return table[[f"{name}_d{d}" for d in range(3)]].to_numpy()


def test_with_one_fate_it_is_what_that_fate_is_alone():
    _, estimates = drawn(n_fates=1)
    [one], [other] = found(estimates, ALONE), found(estimates, TOGETHER)
    pd.testing.assert_frame_equal(other.table, one.table, check_exact=True)
    assert other.report.pi == one.report.pi


def test_contrasts_are_linear_maps_of_one_posterior():
    _, estimates = drawn()
    cfg = dataclasses.replace(TOGETHER, contrasts=["B", "A-B"])
    a, b, apart = found(estimates, cfg)
    means = [day_values(each.table, "postmean") for each in (a, b, apart)]
    np.testing.assert_allclose(means[2], means[0] - means[1], atol=1e-9)
    draws = apart.joint.mixtures()[0].draw(20_000, np.random.default_rng(0))
    below = np.minimum((draws <= 0).mean(axis=0), (draws >= 0).mean(axis=0))
    np.testing.assert_allclose(day_values(apart.table, "lfsr"), below, atol=0.02)
    assert a.report.pi == b.report.pi == apart.report.pi
    assert sum(a.report.pi.values()) == pytest.approx(1)
    assert all(name == "null" or (name.startswith("A ") and ", B " in name) for name in a.report.pi)
    assert a.report.pi["null"] > 0.4
    prior = apart.joint.priors[0]
    spread = np.einsum("p,pd->d", prior.weights, np.diagonal(prior.covariances, axis1=1, axis2=2))
    both = sum(
        np.einsum("p,pd->d", each.weights, np.diagonal(each.covariances, axis1=1, axis2=2))
        for each in (a.joint.priors[0], b.joint.priors[0])
    )
    np.testing.assert_allclose(spread, both)  # fates are independent given the component


def test_more_is_found_and_the_lfsr_keep_their_promise():
    right = promised = false = 0
    alone = 0
    for seed in range(4):
        effects, estimates = drawn(seed=seed)
        for cfg in (ALONE, TOGETHER):
            [each] = found(estimates, cfg)
            lfsr, sign = day_values(each.table, "lfsr"), np.sign(day_values(each.table, "postmean"))
            called = lfsr < 0.05
            true = (called & (sign == np.sign(effects[:, 0]))).sum()
            if cfg is ALONE:
                alone += true
                continue
            right += true
            false += called.sum() - true
            promised += lfsr[called].sum()
    assert right > 1.1 * alone
    assert false <= 2 * promised + 3


def test_three_fates():
    effects, estimates = drawn(n_fates=3)
    [each] = found(estimates, TOGETHER)
    called = day_values(each.table, "lfsr") < 0.05
    assert called.sum() > 20
    assert (called & (effects[:, 0] == 0)).sum() <= 0.05 * called.sum() + 3


def test_calls_describe_each_gene():
    _, estimates = drawn(n_genes=20)
    [each] = found(estimates, TOGETHER)
    assert list(each.calls["gene"]) == list(each.ranked["gene"])
    missed = ~each.calls["hit_anyday"]
    assert each.calls.loc[missed, "mde_lasting"].notna().any()
    assert each.calls["p_any"].between(0, 1).all()


def test_genes_of_a_table_are_found_by_name():
    _, estimates = drawn()
    [whole] = found(estimates, TOGETHER)
    own = whole.table.iloc[::-1]
    given = summary_of(list(own["gene"]), day_values(own, "betahat"), day_values(own, "se"))
    [turned] = found(estimates, TOGETHER, own=given)
    assert list(turned.table["gene"]) == list(own["gene"])
    np.testing.assert_allclose(turned.joint.log_lfsr[::-1], whole.joint.log_lfsr, rtol=1e-6)
    other = summary_of(given.genes, given.bhat + 0.5, given.shat)
    with pytest.raises(DiscoveryError, match=r"other estimates than the fit beside it(.|\n)*fates=alone"):
        found(estimates, TOGETHER, own=other)


def test_the_errors_between_fates_may_come_from_null_genes():
    _, estimates = drawn(n_genes=200)
    [simple] = found(estimates, dataclasses.replace(TOGETHER, null_correlation="simple"))
    [fit] = found(estimates, dataclasses.replace(TOGETHER, null_correlation="fit"))
    one, other = (day_values(each.table, "postmean") for each in (simple, fit))
    assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.97


def test_r_fits_each_fate_and_their_product_is_embedded(tmp_path):
    fake = [sys.executable, str(Path(__file__).with_name("fake_rscript.py")), "good"]
    cfg = dataclasses.replace(TOGETHER, engine="rscript", command=fake)
    _, estimates = drawn()
    [each] = found(estimates, cfg, folder=tmp_path)
    assert each.report.engine == "rscript"
    assert each.report.versions == {"R": "fake"}
    assert set(each.report.pi) <= {f"A component {a}, B component {b}" for a in (1, 2) for b in (1, 2)}
    assert day_values(each.table, "lfsr").min() < 0.05


def test_errors_taken_as_independent_between_fates_are_told():
    _, estimates = drawn()
    [each] = found(estimates, dataclasses.replace(TOGETHER, null_correlation="identity"))
    assert any("errors of fates are taken as independent" in note for note in each.report.notes)
    np.testing.assert_array_equal(each.joint.v[0], np.eye(3))
