"""Discovery in memory: the same tables as from files, and no file on the way."""

import builtins
import tempfile

import numpy as np
import pandas as pd
import pytest

from fatebias.config import DiscoveryConfig
from fatebias.discovery.core import discover_contrasts, discover_table
from fatebias.discovery.input import summary_of
from fatebias.errors import ConfigError, DiscoveryError
from fatebias.estimates.estimates import GeneEstimates
from fatebias.mash.effect_likelihood import EffectLikelihood, Rows
from tests.discovery.csv_files import discover

NATIVE = DiscoveryConfig(engine="native")


def named(n):
    return [f"g{i}" for i in range(n)]


def test_the_table_in_memory_is_that_of_the_file(screen, write_summary, tmp_path):
    _, bhat, shat = screen(40, 3)
    found = discover_table(named(40), bhat, shat, NATIVE)
    discover(write_summary(bhat, shat), tmp_path / "out.csv", NATIVE)
    written = pd.read_csv(tmp_path / "out.csv", float_precision="round_trip")
    pd.testing.assert_frame_equal(written, found.table, check_exact=True)
    assert found.table["hit_anyday"].dtype == bool
    assert list(found.calls["gene"]) == list(found.ranked["gene"])


def test_the_embedded_engine_opens_no_file_to_write(screen, monkeypatch):
    opened = builtins.open

    def reading_only(file, mode="r", *rest, **more):
        assert not set(mode) & set("wax+"), file
        return opened(file, mode, *rest, **more)

    def refuse(*given, **more):
        raise AssertionError("a temporary folder")

    monkeypatch.setattr(builtins, "open", reading_only)
    monkeypatch.setattr(tempfile, "mkdtemp", refuse)
    _, bhat, shat = screen(20, 2)
    assert len(discover_table(named(20), bhat, shat, NATIVE).calls) == 20


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda bhat, shat: (bhat[:-1], shat), "differ in shape"),
        (lambda bhat, shat: (bhat, 0 * shat), r"se_d\* cannot be used[\s\S]*g0 se_d0=0.0"),
        (lambda bhat, shat: (bhat * np.nan, shat), r"betahat_d\* cannot be used"),
    ],
    ids=["a row short", "no error", "NaN"],
)
def test_arrays_refused(change, message):
    with pytest.raises(DiscoveryError, match=message):
        discover_table(named(3), *change(np.ones((3, 2)), np.ones((3, 2))), NATIVE)


def test_several_normals_are_taken_where_the_table_is_that_of_the_fit():
    rng = np.random.default_rng(0)
    mean = rng.normal(size=(12, 1, 3))
    pieces = EffectLikelihood(
        np.repeat(mean[:, 0], 2, axis=0) + np.tile([[-0.1], [0.1]], (12, 1)),
        np.tile(0.03 * np.eye(3), (24, 1, 1)),
        *(np.zeros(24),) * 2,
        Rows.of([2] * 12),
    )
    covariance = 0.04 * np.eye(3).reshape(1, 3, 1, 3)
    estimates = GeneEstimates(mean, np.tile(covariance, (12, 1, 1, 1, 1)), likelihood=pieces)
    cfg = DiscoveryConfig(engine="native", null_correlation="per_gene")
    genes, shat = named(12), np.full((12, 3), 0.2)

    def found(own, settings=cfg):
        [(_, each)] = discover_contrasts(estimates, ("ref", "A"), genes, settings, contrast="A", own=own)
        return each

    exact = found(None)
    assert exact.joint.exact is not None
    reverse = found(summary_of(genes[::-1], mean[::-1, 0], shat))
    columns = ["lfsr_d0", "lfsr_d2", "postmean_d1"]
    np.testing.assert_allclose(reverse.table[columns][::-1], exact.table[columns])
    other = found(summary_of(genes, mean[:, 0] + 0.1, shat))
    assert other.joint.exact is None
    assert any("estimates are not those of posterior.npz" in note for note in other.report.notes)
    assert found(None, DiscoveryConfig(engine="native", null_correlation="fit")).joint.exact is None


def test_contrasts_follow_from_one_set_of_estimates():
    rng = np.random.default_rng(0)
    mean = rng.normal(size=(12, 2, 3))
    estimates = GeneEstimates(mean, np.tile(0.04 * np.eye(6).reshape(2, 3, 2, 3), (12, 1, 1, 1, 1)))
    cfg = DiscoveryConfig(engine="native", contrasts=["B-A"])
    found = list(discover_contrasts(estimates, ("ref", "A", "B"), named(12), cfg, contrast="A"))
    assert [contrast.name for contrast, _ in found] == ["A", "B-A"]
    np.testing.assert_allclose(found[1][1].table["betahat_d1"], mean[:, 1, 1] - mean[:, 0, 1])
    np.testing.assert_allclose(found[1][1].table["se_d1"], np.sqrt(0.08))
    assert "p_flip_fit" in found[0][1].calls
    own = DiscoveryConfig(engine="native", contrasts=["A"])
    with pytest.raises(ConfigError, match="screen's own contrast"):
        list(discover_contrasts(estimates, ("ref", "A", "B"), named(12), own, contrast="A"))
