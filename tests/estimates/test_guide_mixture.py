"""Guides that may do nothing or vary by gene: guesses by hand, recovery, no harm where all guides work."""

import dataclasses
import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from fatebias.api.settings import make_config
from fatebias.config import (
    Config,
    DataConfig,
    DiscoveryConfig,
    ExportConfig,
    InferenceConfig,
    ModelConfig,
    PriorsConfig,
    SimulateConfig,
    TrackingConfig,
)
from fatebias.data.simulation.simulate import simulate_screen
from fatebias.errors import ConfigError
from fatebias.estimates.day_noise import with_day_noise
from fatebias.estimates.estimates import GuideEstimates
from fatebias.estimates.from_fit import gene_estimates
from fatebias.estimates.guide_evidence import (
    SIZES,
    SPREADS,
    Shares,
    gene_evidence,
    sets_of_active,
    settle_shares,
)
from fatebias.estimates.guide_likelihood import GuideLikelihood
from fatebias.estimates.guide_mixture import GuideMixtureFit, _evidence, _GeneGuesses, average_over_guesses
from fatebias.estimates.sandwich import BROAD
from fatebias.inference.fit import fit_screen
from fatebias.inference.posterior import posterior_moments
from fatebias.run import pipeline


def analysed(**simulate):
    size = {
        "n_cells": 8000,
        "n_genes": 30,
        "concentration": 50.0,
        "design": "persistent",
        "active_share": 0.5,
    }
    data = DataConfig(source="simulated", simulate=SimulateConfig(**(size | simulate)))
    cfg = Config(
        data=data,
        inference=InferenceConfig(method="laplace", num_posterior_draws=200),
        export=ExportConfig(estimates="unshrunken"),
        likelihood_weight=50.0,
    )
    screen, truth = simulate_screen(data.simulate, data, PriorsConfig())
    posterior = posterior_moments(fit_screen(screen, cfg).draw, 200, screen.guide_gene)
    usual = gene_estimates(screen, cfg, posterior)
    allowed = dataclasses.replace(cfg, export=ExportConfig(estimates="unshrunken", guides="mixture"))
    place = [truth.gene_names.index(gene) for gene in screen.gene_names]
    inactive = truth.inactive[[truth.guide_names.index(guide) for guide in screen.guide_names]]
    chosen = [truth.guide_names.index(guide) for guide in screen.guide_names]
    return (
        usual,
        gene_estimates(screen, allowed, posterior),
        truth.theta[place],
        inactive,
        truth.guide_effects()[chosen],
    )


@pytest.fixture(scope="module")
def quarter():
    return analysed(sigma_guide=0.2, inactive_guide_share=0.25, effect_min=0.5, seed=3)


def z_scores(given, theta):
    sd = np.sqrt(np.einsum("lfdfd->lfd", given.covariance))
    return (given.mean - theta) / sd


def test_inactive_guides_are_found_and_effects_are_those_of_active_ones(quarter):
    usual, live, theta, inactive, _ = quarter
    assert live.guides.inactive[inactive].mean() > 0.8
    assert live.guides.inactive[~inactive].mean() < 0.1
    active = (theta != 0).any(axis=(1, 2))
    before, after = (np.abs(z_scores(each, theta)[active]) < 1.96 for each in (usual, live))
    assert before.mean() < 0.88
    assert after.mean() > 0.92
    toward = np.sign(theta[active]) * (live.mean - theta)[active]
    assert abs(toward.mean()) < 0.5 * abs((np.sign(theta[active]) * (usual.mean - theta)[active]).mean())


def test_effects_of_guides_are_mixed_with_the_chance_that_they_are_inactive(quarter):
    _, live, _, inactive, effects = quarter
    surely = inactive & (live.guides.inactive > 0.95)
    assert surely.sum() >= 5
    assert np.abs(live.guides.mean[surely]).max() < 0.1
    z = (live.guides.mean - effects) / np.maximum(live.guides.sd, 0.02)
    assert (np.abs(z) < 1.96).mean() > 0.9


def test_an_only_guide_has_no_probability_of_being_inactive():
    _, live, _, _, _ = analysed(guides_per_gene=1, n_cells=2000, inactive_guide_share=0.25)
    assert np.isnan(live.guides.inactive).all()
    one, alone, noise = live.notes
    assert "each gene has one guide" in one
    assert (
        alone
        == "30 of the guides are their gene's only one: whether such a guide is inactive cannot be estimated"
    )
    assert noise.startswith("whether guides vary from day to day cannot be estimated")


def test_where_all_guides_work_nothing_changes():
    usual, live, _, _, _ = analysed(sigma_guide=0.1, active_share=1.0, effect_min=1.0, effect_max=1.5, seed=1)
    assert live.guides.inactive.max() < 0.01
    np.testing.assert_allclose(live.mean, usual.mean, atol=0.02)
    one, other = (np.einsum("lfdfd->lfd", each.covariance) for each in (usual, live))
    np.testing.assert_allclose(other / one, 1, atol=0.15)
    assert "estimated 0." in live.notes[0]
    assert "do not vary from day to day" in live.notes[-1]


def test_guides_that_lack_a_changing_course_are_not_noise_by_day():
    _, live, theta, _, _ = analysed(
        design="sign_flip", inactive_guide_share=0.25, effect_min=0.5, n_cells=5000, seed=2
    )
    said = [float(sd) for sd in re.findall(r"0\.\d\d", live.notes[-1])]
    assert max(said, default=0) < 0.1
    active = (theta != 0).any(axis=(1, 2))
    assert (np.abs(z_scores(live, theta)[active]) < 1.96).mean() > 0.88


def test_covariances_are_proper(quarter):
    _, live, _, _, _ = quarter
    flat = live.covariance.reshape(30, 8, 8)
    np.testing.assert_allclose(flat, np.swapaxes(flat, 1, 2), atol=1e-12)
    assert np.linalg.eigvalsh(flat).min() > 0


def evidence_of(guesses, same):
    return gene_evidence(guesses.known, guesses.linear, guesses.log_factor, same, guesses.sets)


def test_guesses_are_weighed_as_by_quadrature():
    """Two guides, one day, one fate, two spreads; every integral by sums over a grid."""
    found, errors = np.array([0.9, 0.1]), np.array([0.3, 0.25])
    spreads = np.array([0.05, 0.4])
    shares = Shares(0.2, np.array([0.6, 0.4]), np.array([0.4, 0.3, 0.2, 0.1]))
    guides = GuideLikelihood((1 / errors**2)[:, None, None], (found / errors**2)[:, None], np.zeros(2))
    absorbed = [guides.absorb(np.eye(1), np.array([spread])) for spread in spreads]
    guesses = _GeneGuesses.of(absorbed, 0, np.array([0, 1]))
    weights, sizes = shares.weigh(evidence_of(guesses, np.eye(1)))
    theta = np.linspace(-40, 40, 40_001)
    step = theta[1] - theta[0]
    live = norm.pdf(
        found[:, None, None], theta, np.hypot(errors[:, None], spreads)[..., None]
    )  # (2, K, grid)
    idle = np.broadcast_to(norm.pdf(found, 0, errors)[:, None, None], live.shape)
    likelihood = np.stack([live[0] * live[1], idle[0] * live[1], live[0] * idle[1]])  # (S, K, grid)
    slabs = [norm.pdf(theta, 0, size) for size in SIZES]
    joint = np.stack(
        [likelihood[..., len(theta) // 2], *((likelihood * f).sum(-1) * step for f in slabs)], -1
    )
    joint *= np.array([0.64, 0.16, 0.16])[:, None, None] * shares.spreads[:, None] * shares.sizes
    joint /= joint.sum()
    flat = likelihood * norm.pdf(theta, 0, BROAD)
    restricted = flat.sum(axis=-1) * shares.spreads
    expected = joint.sum(axis=(1, 2))[:, None] * restricted / restricted.sum(axis=1, keepdims=True)
    order = [guesses.sets.tolist().index(active) for active in ([1, 1], [0, 1], [1, 0])]
    np.testing.assert_allclose(weights[order], expected, rtol=1e-4)
    np.testing.assert_allclose(sizes, joint.sum(axis=(0, 1)), rtol=1e-4)
    means = (flat * theta).sum(axis=-1) / flat.sum(axis=-1)
    mean, covariance = guesses.mixture(weights).moments()
    assert mean[0] == pytest.approx((expected * means).sum(), rel=1e-4)
    second = (expected * (flat * theta**2).sum(axis=-1) / flat.sum(axis=-1)).sum()
    assert covariance[0, 0] == pytest.approx(second - mean[0] ** 2, rel=1e-4)


def test_the_likelihood_for_mash_is_that_of_the_guesses_without_any_prior():
    """Two guides, one day, one fate: at any effect, the sum over guesses of what they make of the guides."""
    found, errors = np.array([0.9, 0.1]), np.array([0.3, 0.25])
    spreads, some, none = np.array([0.05, 0.4]), np.array([0.6, 0.4]), np.array([0.9, 0.1])
    shares = Shares(0.2, some, np.array([0.4, 0.3, 0.2, 0.1]), none)
    guides = GuideLikelihood((1 / errors**2)[:, None, None], (found / errors**2)[:, None], np.zeros(2))
    absorbed = [guides.absorb(np.eye(1), np.array([spread])) for spread in spreads]
    guesses = _GeneGuesses.of(absorbed, 0, np.array([0, 1]))
    means, covariances, *log_weights = guesses.normals(evidence_of(guesses, np.eye(1)), shares)
    theta = np.array([-2.0, -0.3, 0.0, 0.2, 0.5, 1.0, 3.0])
    live = norm.pdf(found[:, None, None], theta, np.hypot(errors[:, None], spreads)[..., None])
    idle = np.broadcast_to(norm.pdf(found, 0, errors)[:, None, None], live.shape)
    by_set = 0.64 * live[0] * live[1] + 0.16 * (idle[0] * live[1] + live[0] * idle[1])  # (K, theta)
    normal = norm.pdf(means, theta, np.sqrt(covariances[:, 0]))
    for log_weight, of_spreads in zip(log_weights, (none, some), strict=True):
        given = np.exp(log_weight - log_weight.max()) @ normal
        expected = of_spreads @ by_set
        np.testing.assert_allclose(given / given[2], expected / expected[2], rtol=1e-3)
    at_zero = np.exp(log_weights - np.max(log_weights)) @ normal[:, 2]
    assert at_zero[0] / at_zero[1] == pytest.approx((none @ by_set[:, 2]) / (some @ by_set[:, 2]), rel=1e-3)


def made_up(spread, *, n_genes=40, per_gene=5, error=0.1, inactive=0.0, seed=0):
    """Return guides of genes on a single day, their genes and true effects, half of them zero."""
    rng = np.random.default_rng(seed)
    gene = np.repeat(np.arange(n_genes), per_gene)
    theta = np.where(np.arange(n_genes) % 2, rng.choice([-0.6, 0.6], n_genes), 0.0)
    true = theta[gene] + np.broadcast_to(spread, n_genes)[gene] * rng.normal(size=len(gene))
    true[rng.random(len(gene)) < inactive] = 0
    seen = true + error * rng.normal(size=len(gene))
    precision = np.full((len(gene), 1, 1), error**-2)
    return GuideLikelihood(precision, seen[:, None] / error**2, np.zeros(len(gene))), gene, theta


def averaged(guides, gene):
    return average_over_guesses(guides, gene, SPREADS[:, None], np.eye(1))


def test_each_gene_gets_the_spread_of_its_own_guides():
    spread = np.where(np.arange(40) % 2, 0.3, 0.0)
    guides, gene, theta = made_up(spread)
    found = averaged(guides, gene)
    active = theta != 0
    assert np.median(found.spread[active]) > 3 * np.median(found.spread[~active])
    z = (found.mean - theta[:, None]) / np.sqrt(found.covariance[:, 0])
    for chosen in (active, ~active):
        assert 0.7 < z[chosen].std() < 1.3
    one = np.sqrt((spread**2).mean())  # the one spread of all genes that normal guides would have
    assert np.median(found.covariance[~active]) < 0.5 * (one**2 + 0.1**2) / 5


def test_guides_of_genes_without_effect_have_their_own_spread():
    """Where these do not vary, four guides that agree cannot be a gene without effect."""
    guides, gene, theta = made_up(np.where(np.arange(40) % 2, 0.3, 0.0))
    told = averaged(guides, gene).likelihood
    none, some = (
        np.exp(told.rows.log_sum(weights - 0.5 * told.mean[:, 0] ** 2 / told.covariance[:, 0, 0]))
        for weights in (
            told.log_none - 0.5 * np.log(told.covariance[:, 0, 0]),
            told.log_some - 0.5 * np.log(told.covariance[:, 0, 0]),
        )
    )
    assert np.median((none / some)[theta == 0]) > 2
    assert np.median((none / some)[theta != 0]) < 0.5


def test_a_guide_with_little_noise_by_day_is_not_taken_for_inactive():
    """Half of the guides have noise, which is integrated out of all; none has an effect."""
    rng = np.random.default_rng(0)
    gene = np.repeat(np.arange(60), 4)
    seen = 0.05 * rng.normal(size=(240, 3)) + 0.3 * rng.normal(size=(240, 3)) * (np.arange(240)[:, None] % 2)
    guides = GuideLikelihood(np.tile(400 * np.eye(3), (240, 1, 1)), 400 * seen, np.zeros(240))
    noisy = with_day_noise(guides, np.full((240, 1), 0.5 * 0.3**2))
    assert np.ptp(noisy.log_factor) > 2
    found = average_over_guesses(noisy, gene, SPREADS[:, None], np.ones((3, 1)))
    assert found.share < 0.2


@pytest.mark.parametrize("lasting", [True, False])
def test_the_course_of_effects_is_learnt(lasting):
    """A lasting effect of guides that agree is no chance of guides that vary."""
    rng = np.random.default_rng(0)
    gene = np.repeat(np.arange(40), 4)
    theta = np.where(rng.random((40, 1)) < 0.5, rng.normal(0, 0.5, (40, 3)), 0.0)
    if lasting:
        theta = np.repeat(theta[:, :1], 3, axis=1)
    seen = theta[gene] + 0.1 * rng.normal(size=(160, 3)) + 0.3 * rng.normal(size=(160, 1))
    guides = GuideLikelihood(np.tile(100 * np.eye(3), (160, 1, 1)), 100 * seen, np.zeros(160))
    same = np.ones((3, 1))
    absorbed = [guides.absorb(same, np.array([spread])) for spread in SPREADS]
    genes = [_GeneGuesses.of(absorbed, g, np.flatnonzero(gene == g)) for g in range(40)]
    shares = settle_shares([_evidence(genes, same)])
    assert shares.courses[0 if lasting else 1] > 0.7
    assert 0.3 < shares.sizes[1:].sum() < 0.7
    assert 0.22 < shares.spreads @ SPREADS < 0.4


def test_a_wide_choice_of_guesses_leaves_few_normals():
    told = averaged(*made_up(0.2, inactive=0.1)[:2]).likelihood
    assert told.rows.counts.mean() < 40
    assert len(sets_of_active(5)) * len(SPREADS) == 310


def test_the_share_of_inactive_guides_is_learnt():
    found = averaged(*made_up(0.1, inactive=0.3)[:2])
    assert 0.15 < found.share < 0.45


def test_effects_of_guides_are_those_of_the_gene_where_guides_do_not_vary():
    guides, gene, theta = made_up(0.0)
    found = averaged(guides, gene)
    assert np.quantile(np.abs(found.effects[0] - found.mean[gene]), 0.9) < 0.05
    assert np.median(found.effects[1]) < 0.06  # about 0.1 / sqrt(5): what the whole gene shows


@pytest.mark.parametrize(("n_guides", "expected"), [(1, 1), (3, 7), (8, 255), (14, 1 + 14 + 91)])
def test_sets_of_active_guides(n_guides, expected):
    sets = sets_of_active(n_guides)
    assert sets.shape == (expected, n_guides)
    assert len(np.unique(sets, axis=0)) == expected
    assert sets.sum(axis=1).min() >= 1


@pytest.mark.parametrize("key", [{"guides": "mixture"}, {"baseline": "auto"}], ids=["guides", "baseline"])
@pytest.mark.parametrize(
    "settings",
    [{"estimates": "posterior"}, {"estimates": "unshrunken", "se": "sandwich"}],
    ids=["posterior", "sandwich"],
)
def test_settings_that_do_not_go_together(settings, key):
    [name] = key
    with pytest.raises(ConfigError, match=f"export.{name}"):
        ExportConfig(**key, **settings)


@pytest.mark.parametrize("key", ["inactive_guides", "dead_guides"])
def test_the_earlier_keys_are_read(key):
    assert ExportConfig(estimates="unshrunken", **{key: True}).guides == "mixture"
    assert ExportConfig(estimates="unshrunken", guides="mixture", **{key: False}).guides == "normal"


def test_centred_guides_are_refused():
    with pytest.raises(ConfigError, match="guide_effects=centred"):
        Config(
            export=ExportConfig(estimates="unshrunken", guides="mixture"),
            model=ModelConfig(guide_effects="centred"),
        )


@pytest.mark.slow
def test_a_run_names_the_dead(tmp_path):
    simulate = SimulateConfig(
        n_cells=3000, n_genes=10, concentration=50.0, inactive_guide_share=0.25, design="persistent"
    )
    cfg = Config(
        data=DataConfig(source="simulated", simulate=simulate),
        inference=InferenceConfig(method="laplace", num_posterior_draws=200, progress=False),
        export=ExportConfig(estimates="unshrunken", guides="mixture"),
        discovery=DiscoveryConfig(engine="native", null_correlation="fit"),
        tracking=TrackingConfig(backend="off"),
        plots=False,
        likelihood_weight=50.0,
        out_dir=str(tmp_path),
        stages=["fit", "discover"],
    )
    pipeline.run(cfg)
    guides = pd.read_csv(tmp_path / "guide_summary.csv")
    assert guides["p_inactive"].between(0, 1).all()
    assert "guides may be inactive" in (tmp_path / "run.json").read_text()


def test_with_one_guide_a_gene_no_spread_of_guides_hides_the_effects():
    simulate = SimulateConfig(
        n_cells=3000, n_genes=12, guides_per_gene=1, n_days=2, concentration=40.0, design="persistent",
        effect_min=0.8, sigma_guide=0.0, seed=2,
    )  # fmt: skip
    cfg = dataclasses.replace(make_config("calibrated", inference="laplace"), likelihood_weight=41.0)
    screen, truth = simulate_screen(simulate, cfg.data, cfg.priors)
    fit = fit_screen(screen, cfg, 41.0)
    posterior = posterior_moments(fit.draw, 200, screen.guide_gene)
    given = gene_estimates(screen, cfg, posterior, 41.0)
    se = np.sqrt(np.einsum("lfdfd->lfd", given.covariance))
    assert np.median(se) < 0.15
    assert any("each gene has one guide" in note for note in given.notes)


@pytest.mark.parametrize(("spread", "words"), [((0.1, 0.3), "0.12 to 0.28"), ((0.151, 0.152), "0.15")])
def test_a_spread_that_is_the_same_in_all_genes_is_said_as_one_figure(spread, words):
    guides = GuideEstimates(np.zeros(4), np.zeros((4, 2, 3)), np.ones((4, 2, 3)))
    noise = SimpleNamespace(summary_line=str)
    fit = GuideMixtureFit(np.zeros(0), np.zeros(0), guides, np.array(spread), 0.1, noise, None)
    assert f"with SD {words} in logits (10 to 90 % of genes)" in fit.notes(["MES", "NEU"])[1]
