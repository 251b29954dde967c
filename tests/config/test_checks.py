"""Values that make no sense are refused with the key, what was found and what is allowed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from omegaconf import OmegaConf

from fatebias import compose
from fatebias.config import Config, TrackingConfig
from fatebias.errors import ConfigError

if TYPE_CHECKING:
    from omegaconf import DictConfig

ABOVE_ZERO = "allowed: a finite number above zero"
ONE_OR_MORE = "allowed: a whole number, 1 or more"


@pytest.fixture(scope="module")
def bare() -> DictConfig:
    """Give the schema as Hydra composes it, to be changed word by word without composing anew."""
    return OmegaConf.structured(Config)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        *(
            (f"priors.{scale}={value}", f"where: priors.{scale}\n  found: .*\n  {ABOVE_ZERO}")
            for scale in ("s_alpha", "s_rep", "s_gamma", "s_tau", "s_time", "s_guide", "s_covar")
            for value in ("-1", "0", "nan", "inf")
        ),
        ("likelihood_weight=0", f"where: likelihood_weight\n  found: 0.0\n  {ABOVE_ZERO}"),
        ("seed=-1", "where: seed\n  found: -1\n  allowed: a whole number from 0"),
        ("device=gpu", "where: device\n  found: gpu\n  allowed: auto, cpu, cuda, cuda:N"),
        ("device=cuda:x", "where: device\n  found: cuda:x"),
        ("stages=[]", "where: stages\n  found: none\n  allowed: fit, discover"),
        (
            "stages=[discovery]",
            "found: discovery\n"
            "  allowed: fit, discover, commitment, controls, spike_in, heldout, resample, check\n"
            "  fix: did you mean 'stages=\\[discover\\]'",
        ),
        ("stages=[fit,fit]", "where: stages\n  found: fit, fit\n  allowed: each stage once"),
        (
            "calibration.commitment=priming",
            "where: calibration.commitment\n  found: priming\n  allowed: none, entropy, column",
        ),
        (
            "calibration.commitment=column",
            "found: column with data.commitment_key=null\n  .*\n  fix: data.commitment_key=priming",
        ),
        ("calibration.spike_in=-1", r"where: calibration.spike_in\n  found: -1\n  allowed: 0 \(none\)"),
        *(
            (f"calibration.spike_in_sizes={sizes}", "allowed: logits above 0 and below 10, in rising order")
            for sizes in ("[]", "[0.4,0.2]", "[0,0.2]", "[0.2,0.2]", "[nan]")
        ),
        ("data.ref_fate=ec", "where: data.ref_fate\n  found: ec\n  allowed: EC, MES, NEU"),
        ("data.contrast_fate=MSE", "allowed: EC, MES, NEU\n  fix: did you mean data.contrast_fate=MES"),
        ("data.contrast_fate=EC", "found: EC, which is data.ref_fate too\n  allowed: MES, NEU"),
        ("data.fates=[EC]", "where: data.fates\n  found: EC\n  allowed: two or more different names"),
        ("data.fates=[EC,MES,MES]", "allowed: two or more different names"),
        ("data.other_fates=X", "where: data.other_fates\n  found: X\n  allowed: refuse, drop, EC, MES, NEU"),
        ("data.fate_columns=[EC,MES]", r"allowed: every name of data.fates \(EC, MES, NEU\) once"),
        ("data.fate_columns=[EC,MES,NEU,NEU]", "where: data.fate_columns"),
        ("data.bad_cells=keep", "where: data.bad_cells\n  found: keep\n  allowed: refuse, drop"),
        (
            "data.unmapped_guides=drop",
            "where: data.unmapped_guides\n  found: drop\n  allowed: refuse, ignore",
        ),
        ("data.guide_threshold=-1", "where: data.guide_threshold"),
        ("data.Kmax=0", f"where: data.Kmax\n  found: 0\n  {ONE_OR_MORE}"),
        ("data.D=0", f"where: data.D\n  found: 0\n  {ONE_OR_MORE}"),
        ("data.R=0", f"where: data.R\n  found: 0\n  {ONE_OR_MORE}"),
        ("data.simulate.n_cells=0", f"where: data.simulate.n_cells\n  found: 0\n  {ONE_OR_MORE}"),
        ("data.simulate.n_ntc_guides=-1", "where: data.simulate.n_ntc_guides"),
        ("data.simulate.moi=0", "where: data.simulate.moi"),
        ("data.simulate.concentration=-5", "where: data.simulate.concentration"),
        ("data.simulate.sigma_guide=-1", "where: data.simulate.sigma_guide"),
        (
            "data.simulate.active_share=1.5",
            "where: data.simulate.active_share\n  found: 1.5\n  allowed: a share",
        ),
        ("data.simulate.effect_min=2", "where: data.simulate.effect_min\n  found: 2.0"),
        (
            "data.simulate.design=nil",
            "where: data.simulate.design\n  found: nil\n  allowed: mixed, no_effects",
        ),
        (
            "model.guide_effects=fixed",
            "where: model.guide_effects\n  found: fixed\n  allowed: random, centred",
        ),
        ("inference.method=mcmc", "where: inference.method\n  found: mcmc\n  allowed: svi, laplace, nuts"),
        ("inference.variational=full", "where: inference.variational"),
        ("inference.warm_start=yes_please", "where: inference.warm_start"),
        ("inference.num_steps=0", f"where: inference.num_steps\n  found: 0\n  {ONE_OR_MORE}"),
        ("inference.batch_size=0", r"where: inference.batch_size\n  found: 0\n  allowed: null \(all cells\)"),
        ("inference.num_posterior_draws=1", "where: inference.num_posterior_draws\n  found: 1\n  allowed: 2"),
        ("inference.lr=0", f"where: inference.lr\n  found: 0.0\n  {ABOVE_ZERO}"),
        ("inference.clip_norm=-1", "where: inference.clip_norm"),
        ("inference.tolerance=-1", "where: inference.tolerance"),
        ("discovery.method=mash", "allowed: mashr, ashr\n  fix: did you mean discovery.method=mashr"),
        ("discovery.engine=r", "where: discovery.engine\n  found: r\n  allowed: auto, rscript, native"),
        ("discovery.prior=flat", "where: discovery.prior"),
        ("discovery.covariances=x", "where: discovery.covariances"),
        ("discovery.rank_one=x", "where: discovery.rank_one\n  found: x\n  allowed: keep, mend"),
        ("discovery.null_correlation=x", "where: discovery.null_correlation"),
        (
            "discovery.mash_lfsr_thresh=0",
            "where: discovery.mash_lfsr_thresh\n  found: 0.0\n  allowed: a number be",
        ),
        ("discovery.lfsr_thresh=1", "where: discovery.lfsr_thresh"),
        ("discovery.qvalue_thresh=5", "where: discovery.qvalue_thresh"),
        (
            "discovery.nullweight=0.5",
            "where: discovery.nullweight\n  found: 0.5\n  allowed: a number, 1 or more",
        ),
        ("discovery.timeout_s=0", "where: discovery.timeout_s"),
        (
            "discovery.command=[]",
            "where: discovery.command\n  found: none\n  allowed: the words that start R",
        ),
        (
            "tracking.backend=mlflow",
            "where: tracking.backend\n  found: mlflow\n  allowed: local, server, off",
        ),
        ("tracking.experiment=''", "where: tracking.experiment"),
    ],
)
def test_a_value_that_cannot_be_used_is_refused(bare, word, message):
    with pytest.raises(ConfigError, match=message):
        compose.to_config(OmegaConf.merge(bare, OmegaConf.from_dotlist([word])))


def test_a_user_s_screen_needs_its_file(composed):
    """Its guide map may be in it: that it has none is known when it is read (tests/data/test_mudata.py)."""
    with pytest.raises(ConfigError, match="data=anndata needs data.adata_path"):
        composed("data=anndata")
    assert composed("data=anndata", "data.adata_path=screen.h5mu").data.guide_map_csv is None


def test_a_path_given_means_that_file(composed):
    found = composed("data.adata_path=screen.h5ad", "data.guide_map_csv=guides.csv")
    assert found.data.source == "anndata"
    with pytest.raises(ConfigError, match="data=anndata needs data.adata_path"):
        composed("data.guide_map_csv=guides.csv")
    with pytest.raises(ConfigError, match="data=simulated reads no file"):
        composed("data=simulated", "data.adata_path=screen.h5ad")


def test_a_tracking_server_needs_its_address(composed, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(
        ConfigError, match=r"where: tracking.uri\n  found: nothing\n  allowed: the http\(s\) address"
    ):
        composed("tracking=server")


@pytest.mark.parametrize(
    "words",
    [
        ["seed=0"],
        ["device=cuda:1"],
        ["stages=[discover]", "out_dir=results"],
        ["data.fates=[Monocyte,Neutrophil,Baso]", "data.ref_fate=Monocyte", "data.contrast_fate=Baso"],
        ["data.other_fates=NEU", "data.fate_columns=[NEU,EC,MES,other]"],
        ["data.simulate.n_ntc_guides=0", "data.simulate.sigma_guide=0"],
        ["inference.batch_size=512", "inference.tolerance=1e-5"],
        ["discovery.command=[micromamba,run,-n,fate-mash,Rscript]"],
        ["tracking=server", "tracking.uri=https://mlflow.example.org"],
    ],
)
def test_values_at_the_edge_of_what_is_allowed_pass(composed, words):
    assert isinstance(composed(*words), Config)


def test_a_server_is_taken_from_mlflow_s_own_variable(composed, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5001")
    assert composed("tracking=server").tracking == TrackingConfig("server", "http://127.0.0.1:5001")


def test_a_value_that_cannot_be_resolved_names_its_key(composed):
    with pytest.raises(ConfigError, match="a setting has no value\n  where: out_dir\n  found: .*'nope'"):
        composed("out_dir=${nope}")


def test_the_key_of_0_1_for_inactive_guides_is_still_read(composed):
    config = composed("export=unshrunken", "export.dead_guides=true")
    assert config.export.guides == "mixture"
    assert config.export.dead_guides is None


def test_the_key_of_0_1_for_the_share_of_inactive_guides_is_still_read(composed):
    simulate = composed("data=simulated", "data.simulate.dead_guide_share=0.25").data.simulate
    assert (simulate.inactive_guide_share, simulate.dead_guide_share) == (0.25, None)
