"""What discovery refuses before any engine runs, with gene, column and value."""

import numpy as np
import pytest

from fatebias.config import DiscoveryConfig
from fatebias.discovery.input import read_summary
from fatebias.errors import DiscoveryError, OutputError
from tests.discovery.csv_files import discover


def test_reads_in_the_files_order_and_keeps_its_text(tmp_path):
    path = tmp_path / "in.csv"
    path.write_text(
        "se_d0,gene,betahat_d1,extra,betahat_d0,se_d1\n0.10,NA,2,x,1.50,3e-1\n1,007,-2,y,-1,0.2\n"
    )
    summary = read_summary(path)
    assert summary.genes == ["NA", "007"]
    assert summary.n_days == 2
    np.testing.assert_array_equal(summary.bhat, [[1.5, 2], [-1, -2]])
    np.testing.assert_array_equal(summary.shat, [[0.1, 0.3], [1, 0.2]])
    assert list(summary.table) == ["gene", "betahat_d0", "betahat_d1", "se_d0", "se_d1"]
    assert summary.table["se_d0"].tolist() == ["0.10", "1"]


HEAD = "gene,betahat_d0,se_d0\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, r"no such file[\s\S]*fix: run the fit first"),
        ("", "cannot be read as CSV"),
        (HEAD, "has no rows"),
        ("gene,betahat_d0\na,1\n", r"columns are missing: 'se_d0'[\s\S]*found: gene, betahat_d0"),
        ("betahat_d0,se_d0\n1,1\n", "columns are missing: 'gene'"),
        ("gene,beta,se\na,1,1\n", "columns are missing: 'betahat_d0', 'se_d0'"),
        ("gene,betahat_d0,betahat_d2,se_d0,se_d2\na,1,1,1,1\n", "columns are missing: 'betahat_d1', 'se_d1'"),
        (HEAD + "a,1,1\nb,1,1\na,2,1\n", r"genes stand in more than one row[\s\S]*found: 'a'"),
        (HEAD + "a,1,1\nb,1,0\n", r"1 value\(s\) of se_d\* cannot be used[\s\S]*'b se_d0=0'"),
        (HEAD + "a,1,-0.5\n", r"'a se_d0=-0.5'[\s\S]*allowed: finite numbers above"),
        (HEAD + "a,1,inf\n", "'a se_d0=inf'"),
        (HEAD + "a,1,nan\n", "'a se_d0=nan'"),
        (HEAD + "a,1,1e-17\n", "'a se_d0=1e-17'"),
        (HEAD + "a,1,\n", "'a se_d0='"),
        (HEAD + "a,1\n", "'a se_d0="),
        (HEAD + "a,-inf,1\n", r"1 value\(s\) of betahat_d\* cannot be used[\s\S]*'a betahat_d0=-inf'"),
        (HEAD + "a,NA,1\n", "'a betahat_d0=NA'"),
        (HEAD + "a,one,1\n", "'a betahat_d0=one'"),
        (HEAD + "".join(f"g{i},1,0\n" for i in range(12)), r"12 value\(s\)[\s\S]* and 2 more"),
    ],
)
@pytest.mark.parametrize("engine", ["native", "rscript"])
def test_refused(text, message, engine, tmp_path):
    path, out = tmp_path / "in.csv", tmp_path / "out.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(DiscoveryError, match=message):
        discover(path, out, DiscoveryConfig(engine=engine, command=["never-started"]))
    assert not out.exists()


def test_not_text_at_all(tmp_path):
    path = tmp_path / "in.csv"
    path.write_bytes(b"gene,betahat_d0,se_d0\n\xff\xfe,1,1\n")
    with pytest.raises(DiscoveryError, match="cannot be read as CSV"):
        read_summary(path)


def test_a_folder_that_cannot_be(tmp_path, write_summary):
    (tmp_path / "file").write_text("")
    path = write_summary(np.ones((2, 1)), np.ones((2, 1)))
    with pytest.raises(OutputError, match="out_dir cannot be written"):
        discover(path, tmp_path / "file" / "out.csv", DiscoveryConfig(engine="native"))


@pytest.mark.parametrize(
    ("v", "message"),
    [
        (np.eye(3), r"wrong shape[\s\S]*found: \(3, 3\)[\s\S]*allowed: \(2, 2\) or \(4, 2, 2\)"),
        (np.array([[1, 0.2], [0.3, 1]]), "is no correlation matrix"),
        (np.array([[2.0, 0], [0, 1]]), "is no correlation matrix"),
        (np.array([[1, np.nan], [np.nan, 1]]), "is no correlation matrix"),
        (np.ones((2, 2)), "not positive definite"),
        (
            np.stack([np.eye(2), np.eye(2), np.ones((2, 2)), np.eye(2)]),
            r"not positive definite[\s\S]*where: gene g2",
        ),
    ],
    ids=["shape", "asymmetric", "variance", "NaN", "singular", "singular for one gene"],
)
def test_error_correlations_refused(v, message, tmp_path, write_summary):
    path = write_summary(np.ones((4, 2)), np.ones((4, 2)))
    with pytest.raises(DiscoveryError, match=message):
        discover(path, tmp_path / "out.csv", DiscoveryConfig(engine="native"), v)
