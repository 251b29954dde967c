"""The embedded engine against R's mashr 0.2.81, through the same door as a user's run."""

import numpy as np
import pytest

from fatebias.config import DiscoveryConfig
from fatebias.discovery.native import run_native
from fatebias.mash.covariances import Components, canonical, normalised, select_scales


def test_agrees_with_mashr(golden):
    ours = run_native(
        golden.summary.bhat, golden.summary.shat, DiscoveryConfig(engine="native", **golden.settings)
    )
    assert np.abs(ours.postmean - golden.by_day("postmean_d")).max() <= 1e-4
    assert np.abs(ours.postsd - golden.by_day("postsd_d")).max() <= 1e-4
    assert np.abs(ours.lfsr - golden.by_day("lfsr_d")).max() <= 1e-3
    assert ((ours.lfsr < 0.05) == (golden.by_day("lfsr_d") < 0.05)).all()
    assert ours.loglik >= golden.loglik - 1e-4
    # Both solve the same convex problem: more likelihood than a solver's tolerance is another problem.
    assert ours.loglik <= golden.loglik + 1e-3
    if golden.v is not None:
        np.testing.assert_allclose(ours.v, golden.v, atol=1e-12)
    if golden.components is not None:
        assert set(ours.pi) <= set(golden.components)
    if golden.significant is not None:
        assert (ours.lfsr.min(axis=1) < 0.05).sum() == golden.significant


@pytest.mark.parametrize("golden", ["panel300", "allnull", "allstrong", "days2"], indirect=True)
def test_components_are_those_of_mashr_in_its_order(golden):
    summary = golden.summary
    components = Components(normalised(canonical(summary.n_days)), select_scales(summary.bhat, summary.shat))
    assert components.names == golden.components


def test_identity_is_said_aloud_where_no_gene_looks_null(golden):
    ours = run_native(
        golden.summary.bhat, golden.summary.shat, DiscoveryConfig(engine="native", **golden.settings)
    )
    strong = golden.in_csv.name == "allstrong_in.csv"
    assert any("error correlation taken as the identity" in note for note in ours.notes) == strong
