"""Discovery from the files of a fit: further contrasts, sign changes, gates, and what is set aside."""

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from fatebias.config import (
    Config,
    DataConfig,
    DiscoveryConfig,
    ExportConfig,
    InferenceConfig,
    SimulateConfig,
    TrackingConfig,
)
from fatebias.errors import ConfigError, DiscoveryError
from fatebias.run import pipeline


def config(out_dir, **discovery):
    simulate = SimulateConfig(
        n_cells=5000, n_genes=16, guides_per_gene=2, n_ntc_guides=4, concentration=5.0, design="sign_flip",
        effect_min=0.8,
    )  # fmt: skip
    return Config(
        data=DataConfig(source="simulated", simulate=simulate),
        inference=InferenceConfig(method="laplace", num_posterior_draws=300, progress=False),
        discovery=DiscoveryConfig(engine="native", **discovery),
        tracking=TrackingConfig(backend="off"),
        out_dir=str(out_dir),
        stages=["fit", "discover"],
        plots=False,
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("contrasts")
    pipeline.run(config(folder, contrasts=["NEU", "MES-NEU"], null_correlation="fit"))
    return folder


def table(path):
    return pd.read_csv(path, dtype={"gene": str}, keep_default_na=False, na_values=[""])


def test_each_contrast_has_its_own_files(finished):
    for folder in (finished, finished / "contrasts" / "NEU", finished / "contrasts" / "MES-NEU"):
        for name in (
            "gene_summary_for_mash.csv", "gene_summary_mash_out.csv", "hits_ranked.csv",
            "hits.png", "gene_calls.csv",
        ):  # fmt: skip
            assert (folder / name).stat().st_size > 0
    told = json.loads((finished / "run.json").read_text())["stages"]["discover"]["report"]
    assert set(told["contrasts"]) == {"NEU", "MES-NEU"}
    hits = table(finished / "contrasts" / "NEU" / "hits_ranked.csv")
    assert told["contrasts"]["NEU"]["n_hits"] == hits["hit_anyday"].sum()


def test_contrasts_are_those_of_one_posterior(finished):
    mes, neu, apart = (
        table(folder / "gene_summary_for_mash.csv")
        for folder in (finished, finished / "contrasts" / "NEU", finished / "contrasts" / "MES-NEU")
    )
    with np.load(finished / "posterior.npz") as saved:
        joint = saved["theta_joint"]
        np.testing.assert_allclose(neu["betahat_d1"], saved["theta_mean"][:, 1, 1])
        np.testing.assert_allclose(neu["se_d1"], saved["theta_sd"][:, 1, 1])
    np.testing.assert_allclose(apart["betahat_d2"], mes["betahat_d2"] - neu["betahat_d2"], atol=1e-12)
    variance = joint[:, 0, 2, 0, 2] + joint[:, 1, 2, 1, 2] - 2 * joint[:, 0, 2, 1, 2]
    np.testing.assert_allclose(apart["se_d2"] ** 2, variance)


def test_calls_stand_in_the_order_of_the_ranking_and_find_the_flips(finished):
    ranked, calls = table(finished / "hits_ranked.csv"), table(finished / "gene_calls.csv")
    assert list(calls["gene"]) == list(ranked["gene"])
    assert list(calls["hit_anyday"]) == list(ranked["hit_anyday"])
    called = calls[calls["hit_anyday"]]
    assert len(called) >= 2
    assert (called["p_flip"] > 0.9).all()  # sign_flip: every effect changes sign
    assert (called["p_flip_fit"] > 0.9).all()
    assert list(calls["flip_days"].notna()) == list(calls["p_flip"] > 0.95)
    assert calls["flip_days"].notna().any()
    assert calls.loc[~calls["hit_anyday"], "mde_d0"].notna().all()


def test_a_gate_on_size_takes_hits_away(finished, tmp_path):
    ranked = table(finished / "hits_ranked.csv")
    pipeline.run(config(tmp_path, effect_prob_large_min=0.95, effect_size_eps=0.9, null_correlation="fit"))
    gated = table(tmp_path / "hits_ranked.csv")
    days = range(4)
    passes = np.column_stack([(gated[f"lfsr_d{d}"] < 0.05) & (gated[f"plarge_d{d}"] >= 0.95) for d in days])
    assert list(gated["hit_anyday"]) == list(passes.any(axis=1))
    assert gated["hit_anyday"].sum() < ranked["hit_anyday"].sum()
    assert (finished / "gene_summary_for_mash.csv").read_bytes() == (
        tmp_path / "gene_summary_for_mash.csv"
    ).read_bytes()


def test_all_fates_are_judged_by_default_and_the_files_of_the_screens_own_contrast_stay(finished, tmp_path):
    for folder, contrasts in (("own", []), ("all", ["all"])):
        below = tmp_path / folder
        below.mkdir()
        for name in ("gene_summary_for_mash.csv", "posterior.npz"):
            (below / name).write_bytes((finished / name).read_bytes())
        pipeline.run(dataclasses.replace(config(below, contrasts=contrasts), stages=["discover"]))
    own, every = tmp_path / "own", tmp_path / "all"
    for name in ("gene_summary_mash_out.csv", "hits_ranked.csv", "gene_calls.csv", "hits.png"):
        assert (own / name).read_bytes() == (every / name).read_bytes()
    assert not (own / "contrasts").exists()
    assert [path.name for path in (every / "contrasts").iterdir()] == ["NEU"]
    noted = json.loads((every / "run.json").read_text())["stages"]["discover"]["outputs"]
    assert "contrasts/NEU/hits_ranked.csv" in noted
    assert config(every).discovery.contrasts == ["all"]


def test_contrasts_no_longer_asked_for_are_set_aside(finished):
    cfg = config(finished, contrasts=["NEU"], null_correlation="fit")
    pipeline.run(dataclasses.replace(cfg, stages=["discover"]))
    assert (finished / "contrasts" / "NEU" / "hits_ranked.csv").is_file()
    assert not (finished / "contrasts" / "MES-NEU").exists()
    assert (finished / "superseded" / "contrasts" / "MES-NEU" / "hits_ranked.csv").is_file()


def test_the_contrast_of_the_screen_itself_is_refused(finished):
    cfg = dataclasses.replace(config(finished), stages=["discover"])
    own = DiscoveryConfig(engine="native", contrasts=["MES"])
    with pytest.raises(ConfigError, match="the screen's own contrast"):
        pipeline.run(dataclasses.replace(cfg, discovery=own))


def test_genes_of_a_table_are_found_in_the_fit_by_name(finished, tmp_path):
    given = table(finished / "gene_summary_for_mash.csv")
    orders = {"as written": given, "reversed": given.iloc[::-1]}
    found = []
    for order, rows in orders.items():
        folder = tmp_path / order
        folder.mkdir()
        (folder / "posterior.npz").write_bytes((finished / "posterior.npz").read_bytes())
        rows.to_csv(folder / "gene_summary_for_mash.csv", index=False)
        cfg = dataclasses.replace(config(folder, null_correlation="per_gene"), stages=["discover"])
        pipeline.run(cfg)
        found.append(table(folder / "gene_calls.csv"))
    one, other = found
    assert list(one["gene"]) == list(other["gene"])
    np.testing.assert_allclose(one["p_flip_fit"], other["p_flip_fit"])
    np.testing.assert_allclose(one["p_any"], other["p_any"], atol=1e-6)
    strangers = given.assign(gene=[f"x{gene}" for gene in given["gene"]])
    strangers.to_csv(folder / "gene_summary_for_mash.csv", index=False)
    with pytest.raises(DiscoveryError, match="genes that the fit beside it does not know"):
        pipeline.run(cfg)


def test_contrasts_need_the_file_of_the_fit(finished, tmp_path):
    (tmp_path / "gene_summary_for_mash.csv").write_bytes(
        (finished / "gene_summary_for_mash.csv").read_bytes()
    )
    cfg = dataclasses.replace(config(tmp_path), stages=["discover"])
    pipeline.run(cfg)  # the table alone will do
    assert "p_flip_fit" not in table(tmp_path / "gene_calls.csv")
    with pytest.raises(
        DiscoveryError, match=r"contrasts=\[NEU\] needs the errors of the fit[\s\S]*posterior.npz"
    ):
        pipeline.run(dataclasses.replace(cfg, discovery=DiscoveryConfig(engine="native", contrasts=["NEU"])))


@pytest.mark.parametrize("se", ["posterior", "sandwich"])
def test_unshrunken_and_robust_estimates_have_contrasts_too(tmp_path, se):
    cfg = config(tmp_path, contrasts=["MES-NEU"], null_correlation="per_gene")
    pipeline.run(dataclasses.replace(cfg, export=ExportConfig(estimates="unshrunken", se=se)))
    with np.load(tmp_path / "posterior.npz") as saved:
        covariance = saved["export_covariance"]
        np.testing.assert_allclose(covariance, np.transpose(covariance, (0, 3, 4, 1, 2)), atol=1e-12)
    apart = table(tmp_path / "contrasts" / "MES-NEU" / "gene_summary_for_mash.csv")
    variance = covariance[:, 0, 3, 0, 3] + covariance[:, 1, 3, 1, 3] - 2 * covariance[:, 0, 3, 1, 3]
    np.testing.assert_allclose(apart["se_d3"] ** 2, variance)


def test_discovery_needs_neither_torch_nor_the_screen(finished, tmp_path):
    """As on a laptop that has the files of a fit and no more."""
    for name in ("gene_summary_for_mash.csv", "posterior.npz"):
        (tmp_path / name).write_bytes((finished / name).read_bytes())
    program = f"""
import sys
from pathlib import Path

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "pyro", "anndata", "mlflow"):
            raise ImportError(name + " is not installed")

sys.meta_path.insert(0, Absent())
from fatebias.run import pipeline
from fatebias.config import Config, DiscoveryConfig, TrackingConfig
pipeline.run(
    Config(
        discovery=DiscoveryConfig(engine="native", contrasts=["NEU"], null_correlation="fit"),
        tracking=TrackingConfig(backend="off"), stages=["discover"], out_dir={str(tmp_path)!r},
    )
)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "hits_ranked.csv").read_bytes() == (finished / "hits_ranked.csv").read_bytes()
