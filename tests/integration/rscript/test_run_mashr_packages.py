"""R's mashr and ashr themselves: against their golden outputs, and the embedded engine against them."""

import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fatebias.config import DiscoveryConfig
from fatebias.discovery.rscript import rscript_has, script_path
from fatebias.mash import day_patterns
from tests.discovery.csv_files import discover

pytestmark = [pytest.mark.r_package, pytest.mark.slow]

DATA = Path(__file__).parents[2] / "golden" / "mash"
CASES = pd.read_csv(DATA / "cases.csv", index_col="case")
QUANTITIES = ("postmean", "postsd", "lfsr")


@pytest.fixture(autouse=True)
def _packages(rscript):
    for package in ("mashr", "ashr"):
        if rscript_has([rscript], package).version is None:
            pytest.skip(f"R package {package} not installed")


@pytest.fixture
def both(tmp_path):
    """Run both engines on one input."""

    def run(in_csv, v=None, **settings):
        outcomes = {}
        for engine in ("rscript", "native"):
            out = tmp_path / f"{engine}.csv"
            report, _ = discover(in_csv, out, DiscoveryConfig(engine=engine, **settings), v)
            outcomes[engine] = report, pd.read_csv(out)
        return outcomes

    return run


def by_day(table, quantity):
    return table.filter(regex=rf"^{quantity}_d\d+$").to_numpy()


def assert_agree(outcomes, quantities=QUANTITIES, power=1):
    (r, r_table), (ours, our_table) = outcomes["rscript"], outcomes["native"]
    for quantity in (*quantities, "plarge"):
        apart = np.abs(by_day(r_table, quantity) ** power - by_day(our_table, quantity) ** power).max()
        assert apart <= (1e-3 if quantity in ("lfsr", "qvalue", "plarge") else 1e-4), quantity
    assert ((by_day(r_table, "lfsr") < 0.05) == (by_day(our_table, "lfsr") < 0.05)).all()
    assert ours.loglik >= r.loglik - 1e-4
    assert ours.notes[1:] == r.notes[1:]
    assert list(r_table) == list(our_table)
    assert (r.V is None) == (ours.V is None)
    if r.V is not None:
        np.testing.assert_allclose(r.V, ours.V, atol=1e-12)


def write(path, bhat, shat):
    days = range(bhat.shape[1])
    columns = {f"betahat_d{d}": bhat[:, d] for d in days} | {f"se_d{d}": shat[:, d] for d in days}
    pd.DataFrame({"gene": [f"g{i}" for i in range(len(bhat))], **columns}).to_csv(path, index=False)
    return path


def draw(n_genes, n_days, seed=0):
    rng = np.random.default_rng(seed)
    effects = rng.normal(size=(n_genes, n_days)) * (rng.random((n_genes, 1)) < 0.4)
    shat = rng.uniform(0.1, 0.4, effects.shape)
    return effects + shat * rng.normal(size=effects.shape), shat


@pytest.mark.parametrize("name", list(CASES.index))
def test_golden_cases(name, both):
    case = CASES.loc[name]
    settings = {key: case[key] for key in ("prior", "null_correlation", "covariances")}
    outcomes = both(DATA / f"{case['input']}_in.csv", **settings)
    assert_agree(outcomes)
    golden = pd.read_csv(DATA / f"{name}_out.csv")
    for quantity in QUANTITIES:
        np.testing.assert_allclose(
            by_day(outcomes["rscript"][1], quantity), by_day(golden, quantity), atol=1e-5
        )
    loglik = float((DATA / f"{name}_out_loglik.txt").read_text())
    assert outcomes["rscript"][0].loglik == pytest.approx(loglik, abs=1e-4)
    assert set(outcomes["rscript"][0].versions) == {"R", "mashr", "ashr"}


@pytest.mark.parametrize("prior", ["nullbiased", "uniform"])
def test_ashr(prior, both):
    outcomes = both(DATA / "panel300_in.csv", method="ashr", prior=prior)
    assert_agree(outcomes, (*QUANTITIES, "qvalue"))


@pytest.mark.parametrize(("n_genes", "n_days"), [(2, 3), (3, 4), (60, 1)])
@pytest.mark.parametrize("method", ["mashr", "ashr"])
def test_small_shapes(n_genes, n_days, method, both, tmp_path):
    """Squares, since R's solver leaves weights of 1e-6 where ours are zero, and an SD is their root."""
    assert_agree(both(write(tmp_path / "in.csv", *draw(n_genes, n_days)), method=method), power=2)


@pytest.mark.parametrize("each", [False, True], ids=["one V", "a V each gene"])
@pytest.mark.parametrize("covariances", ["canonical", "datadriven"])
def test_error_correlation_from_a_file(each, covariances, both, tmp_path):
    rng = np.random.default_rng(1)
    v = np.array([np.corrcoef(rng.normal(size=(3, 12))) for _ in range(50)])
    in_csv = write(tmp_path / "in.csv", *draw(50, 3))
    assert_agree(both(in_csv, v if each else v[0], covariances=covariances))


PATTERNS_IN_R = """
script <- parse(commandArgs(TRUE)[1])
for (each in script) if (identical(each[[1]], as.name("<-"))) eval(each)
for (days in as.integer(commandArgs(TRUE)[-1])) {
  columns <- paste0("betahat_d", seq_len(days) - 1)
  estimates <- matrix(1, 2, days, dimnames = list(NULL, columns))
  U <- mashr::cov_canonical(mashr::mash_set_data(estimates, 1))
  U <- add_patterns(U, day_patterns(days))
  for (name in names(U)) cat(days, name, U[[name]], "\n")
}
"""


def test_day_patterns_are_the_same_in_both_engines(rscript, tmp_path):
    (tmp_path / "patterns.R").write_text(PATTERNS_IN_R)
    days = (1, 2, 3, 4, 5, 6, 9)
    words = [rscript, str(tmp_path / "patterns.R"), str(script_path()), *map(str, days)]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    written = [line.split() for line in done.stdout.splitlines()]
    ours = [(d, name, u) for d in days for name, u in day_patterns(d).items()]
    assert [(int(row[0]), row[1]) for row in written] == [(d, name) for d, name, _ in ours]
    for row, (_, name, u) in zip(written, ours, strict=True):
        np.testing.assert_array_equal(np.array(row[2:], dtype=float), u.ravel(), err_msg=name)


def test_effects_on_some_days(both, tmp_path):
    """Late onsets and flips: the same components have the weight in both engines."""
    rng = np.random.default_rng(3)
    effects = (
        rng.normal(0, 0.8, (120, 1)) * np.array([[0, 0, 1, 1], [1, 1, -1, -1]])[rng.integers(2, size=120)]
    )
    effects[rng.random(120) > 0.5] = 0
    v = np.full((4, 4), 0.7) + 0.3 * np.eye(4)
    bhat = effects + 0.15 * rng.multivariate_normal(np.zeros(4), v, 120)
    outcomes = both(write(tmp_path / "in.csv", bhat, np.full((120, 4), 0.15)), v, covariances="days")
    assert_agree(outcomes)
    r, ours = (outcomes[engine][0].pi for engine in ("rscript", "native"))
    assert sum(w for name, w in ours.items() if name.startswith(("onset_d2", "flip_d2"))) > 0.1
    for name in r.keys() | ours.keys():
        assert r.get(name, 0) == pytest.approx(ours.get(name, 0), abs=1e-3), name


@pytest.mark.parametrize("each", [False, True], ids=["one V", "a V each gene"])
def test_mended_patterns_of_low_rank(each, both, tmp_path):
    rng = np.random.default_rng(1)
    v = np.array([np.corrcoef(rng.normal(size=(3, 12))) for _ in range(50)])
    in_csv = write(tmp_path / "in.csv", *draw(50, 3))
    assert_agree(both(in_csv, v if each else v[0], covariances="datadriven", rank_one="mend"))


def test_null_weight(both, tmp_path):
    assert_agree(both(write(tmp_path / "in.csv", *draw(100, 3)), nullweight=50.0))


def test_standard_errors_over_six_orders_of_magnitude(both, tmp_path):
    bhat, shat = draw(60, 3)
    shat[:5] *= 1e-3
    shat[5:10] *= 1e3
    assert_agree(both(write(tmp_path / "in.csv", bhat, shat)))


def test_the_scripts_own_table(rscript, tmp_path):
    """What the R script writes is complete by itself: calls too, genes and digits as they came."""
    folder = tmp_path / "two words; ünïcode"
    folder.mkdir()
    genes = ["NA", "007", "1e5", 'a,"b"', "new\nline", "ünï", ""]
    bhat, shat = draw(len(genes), 2)
    table = pd.read_csv(write(folder / "in.csv", bhat, shat), dtype=str)
    table["gene"] = genes
    table.to_csv(folder / "in.csv", index=False)
    words = [
        rscript,
        str(script_path()),
        str(folder / "in.csv"),
        str(folder / "out.csv"),
        "--threshold",
        "0.3",
    ]
    subprocess.run(words, check=True, capture_output=True)
    written = pd.read_csv(folder / "out.csv", dtype=str, na_filter=False)
    pd.testing.assert_frame_equal(written[list(table)], table)
    lfsr = by_day(written, "lfsr").astype(float)
    np.testing.assert_array_equal(written["lfsr_min"].astype(float), lfsr.min(axis=1))
    np.testing.assert_array_equal(written["best_day"].astype(int), lfsr.argmin(axis=1))
    np.testing.assert_array_equal(written["hit_anyday"] == "True", lfsr.min(axis=1) < 0.3)
    assert sorted(p.name for p in folder.iterdir()) == ["in.csv", "out.csv"]


def test_out_that_cannot_be_written_ends_with_6(rscript, tmp_path):
    words = [rscript, str(script_path()), str(DATA / "tiny12_in.csv"), str(tmp_path / "absent" / "out.csv")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 6
    assert "cannot be written" in done.stderr


def test_a_single_gene_ends_with_3(rscript, tmp_path):
    words = [
        rscript,
        str(script_path()),
        str(write(tmp_path / "in.csv", *draw(1, 3))),
        str(tmp_path / "out.csv"),
    ]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "mashr takes two genes or more" in done.stderr
