"""One order for both engines: R's own mixture weights give the table that the embedded engine gives."""

import numpy as np
import pandas as pd
import pytest

from fatebias.config import DiscoveryConfig
from fatebias.discovery.core import Discovery, discover_summary
from fatebias.discovery.input import summary_of
from fatebias.discovery.ranking import CallRule, rank
from fatebias.mash.covariances import Components, canonical, normalised, select_scales
from fatebias.mash.joint import JointPosterior, Prior
from tests.mash_cases import DATA

# Cases of canonical patterns whose weights R left on file.
CASES = ["panel300", "panel300_corr", "panel300_uniform", "allnull", "allstrong", "tiny12", "days2"]


def of_r(case: str, ours: Discovery) -> JointPosterior:
    """Return the posterior under the mixture that R fitted."""
    bhat, shat = ours.joint.bhat, ours.joint.shat
    components = Components(normalised(canonical(ours.joint.n_days)), select_scales(bhat, shat))
    weights = pd.read_csv(DATA / f"{case}_out_pi.csv", na_filter=False)
    assert list(weights["component"]) == components.names
    pi = weights["pi"].to_numpy()
    prior = Prior.of(pi[pi > 0] / pi.sum(), components.covariances[pi > 0])
    return JointPosterior(bhat, shat, ours.joint.v, (prior,))


@pytest.mark.parametrize("golden", CASES, indirect=True)
def test_order_best_day_and_hits_are_the_same_under_the_weights_of_r(golden, request):
    ours = discover_summary(golden.summary, DiscoveryConfig(engine="native", **golden.settings))
    log_lfsr = of_r(request.node.callspec.params["golden"], ours).log_lfsr
    by_day = {f"lfsr_d{d}": lfsr for d, lfsr in enumerate(np.exp(log_lfsr).T)}
    moments = {
        f"{name}{d}": golden.by_day(name)[:, d]
        for name in ("postmean_d", "postsd_d")
        for d in range(len(by_day))
    }
    theirs = rank(
        pd.DataFrame({"gene": golden.summary.genes, **by_day, **moments}), CallRule(), log_lfsr=log_lfsr
    )
    for column in ("gene", "best_day", "hit_anyday"):
        assert list(theirs[column]) == list(ours.ranked[column]), column


def test_the_sign_of_an_effect_does_not_decide_its_place(screen):
    """Mirrored estimates have the same order, also among effects that no lfsr above 1e-308 tells apart."""
    _, bhat, shat = screen(60, 3, size=8.0)
    settings = DiscoveryConfig(engine="native")
    genes = [f"g{i}" for i in range(60)]
    plain, mirrored = (discover_summary(summary_of(genes, sign * bhat, shat), settings) for sign in (1, -1))
    assert (plain.table["lfsr_min"] == 0).sum() > 3
    assert list(plain.ranked["gene"]) == list(mirrored.ranked["gene"])
    strongest = plain.ranked["gene"].head(3)
    assert set(strongest) <= {genes[i] for i in np.argsort(-np.abs(bhat / shat).max(axis=1))[:10]}
