"""Files that are absent, not AnnData, torn, or lack a key end in one error that says what is there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import zarr

from fatebias.config import DataConfig, PriorsConfig
from fatebias.data.load import load_screen
from fatebias.errors import DataError


@pytest.fixture
def read(parts, write, tmp_path):
    """Read a file at another path with the sound guide map."""
    sound = write(parts)

    def at(path: Path, **settings):
        data = DataConfig(
            source="anndata", adata_path=str(path), guide_map_csv=sound.guide_map_csv, **settings
        )
        return load_screen(data, PriorsConfig(), tmp_path)

    return at


def test_no_such_file(read, tmp_path):
    with pytest.raises(DataError, match="no such file\n  where: .*none.h5ad\n  fix: data.adata_path=PATH"):
        read(tmp_path / "none.h5ad")


def test_text_under_the_name_of_an_h5ad(read, tmp_path):
    (tmp_path / "text.h5ad").write_text("cell,EC,MES\n")
    with pytest.raises(
        DataError, match="not an AnnData file\n  where: .*text.h5ad\n  found: it cannot be opened"
    ):
        read(tmp_path / "text.h5ad")


def test_a_truncated_h5ad(read, write, parts, tmp_path):
    whole = Path(write(parts).adata_path).read_bytes()
    (tmp_path / "torn.h5ad").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="not an AnnData file\n.*\n  found: it cannot be opened: .*truncated"):
        read(tmp_path / "torn.h5ad")


def test_a_file_that_another_program_writes(parts, write, read):
    path = Path(write(parts).adata_path)
    hold = f"import h5py; f = h5py.File({str(path)!r}, 'r+'); print('held', flush=True); input()"
    words = [sys.executable, "-c", hold]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "held\n"
        with pytest.raises(DataError, match="the file cannot be opened\n.*\n  found: .*lock") as caught:
            read(path)
        writer.communicate("\n")
    assert "no other program writes to it" in str(caught.value)
    assert read(path).N == 36


def test_hdf5_that_is_no_anndata(read, tmp_path):
    with h5py.File(tmp_path / "other.h5ad", "w") as root:
        root.create_group("matrix")
    with pytest.raises(DataError, match="not an AnnData file\n.*\n  found: it holds matrix\n"):
        read(tmp_path / "other.h5ad")


def test_a_folder_that_is_no_zarr(read, tmp_path):
    (tmp_path / "empty.zarr").mkdir()
    with pytest.raises(DataError, match="not an AnnData file"):
        read(tmp_path / "empty.zarr")


def test_obs_of_a_very_old_anndata(read, tmp_path):
    with h5py.File(tmp_path / "old.h5ad", "w") as root:
        root["obs"] = np.zeros(3, dtype=[("index", "S3"), ("day", "i4")])
    with pytest.raises(DataError, match="written by an anndata older than 0.7") as caught:
        read(tmp_path / "old.h5ad")
    assert "read it with anndata and write it again" in str(caught.value)


def test_an_encoding_that_this_anndata_does_not_know(parts, write, read):
    data = write(parts)
    with h5py.File(data.adata_path, "r+") as root:
        root["obs/day"].attrs["encoding-type"] = "string-of-the-future"
    with pytest.raises(DataError, match="an element of the file cannot be read") as caught:
        read(Path(data.adata_path))
    assert "obs['day']" in str(caught.value)
    assert "encoding string-of-the-future" in str(caught.value)
    assert "written by a newer anndata" in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"fate_prob_key": "fates"},
            r"obsm\['fates'\] is absent\n.*\n  found: obsm has covar, guide, lineages_fwd",
        ),
        (
            {"guide_key": "guides"},
            r"obsm\['guides'\] is absent\n.*\n.*\n  fix: data.guide_key=guide;",
        ),  # not the fates
        ({"covar_key": "cov"}, r"obsm\['cov'\] is absent\n.*\n.*\n  fix: data.covar_key=covar; where"),
        ({"day_key": "time"}, r"obs\['time'\] is absent\n  where: .*: obs\n  found: obs has day\n"),
        (
            {"cell_weights": "column", "weights": "w"},
            r"obs\['w'\] is absent\n.*\n  found: obs has day\n  fix: data.weights=day;",
        ),
        ({"rep_key": "batch"}, r"the covariates have no column 'batch'\n.*\n  found: rep\n"),
    ],
)
def test_missing_keys_list_those_present(parts, load, settings, message):
    with pytest.raises(DataError, match=message):
        load(parts, **settings)


@pytest.mark.filterwarnings("ignore::UserWarning")  # anndata's zarr writer
def test_missing_keys_in_zarr(parts, load):
    with pytest.raises(
        DataError, match=r"obsm\['fates'\] is absent\n.*\n  found: obsm has covar, guide, lineages_fwd"
    ):
        load(parts, ".zarr", fate_prob_key="fates")


def test_a_file_without_obsm(parts, write, read):
    data = write(parts)
    with h5py.File(data.adata_path, "r+") as root:
        del root["obsm"]
    with pytest.raises(DataError, match=r"obsm\['lineages_fwd'\] is absent\n.*\n  found: obsm has nothing"):
        read(Path(data.adata_path))


def test_covariates_without_names(parts, load):
    with pytest.raises(DataError, match="the covariates have no column names"):
        load(parts.but(covar=np.zeros((36, 1))))


def test_rows_in_another_order(parts, write, read):
    data = write(parts)
    with h5py.File(data.adata_path, "r+") as root:
        index = root["obsm/guide/_index"]
        index = index["values"] if isinstance(index, h5py.Group) else index
        index[...] = index[()][::-1]
    with pytest.raises(DataError, match="rows of a DataFrame are other cells than those of obs") as caught:
        read(Path(data.adata_path))
    assert "obsm['guide']" in str(caught.value)


def test_rows_of_another_number(parts, write, read):
    data = write(
        parts.but(fates=parts.fates.to_numpy(), uns={"lineages_fwd_names": np.array(["EC", "MES", "NEU"])})
    )
    with h5py.File(data.adata_path, "r+") as root:
        del root["obsm/lineages_fwd"]
        root["obsm/lineages_fwd"] = np.full((7, 3), 1 / 3)
    with pytest.raises(DataError, match="7 rows for 36 cells"):
        read(Path(data.adata_path))


def test_no_cells(parts, load):
    none = parts.but(
        fates=parts.fates.iloc[:0],
        guides=parts.guides.iloc[:0],
        covar=parts.covar.iloc[:0],
        obs=parts.obs.iloc[:0],
    )
    with pytest.raises(DataError, match="the screen has no cells"):
        load(none)


def test_a_vector_where_a_matrix_belongs(parts, write, read):
    data = write(parts)
    with h5py.File(data.adata_path, "r+") as root:
        for key in ("lineages_fwd", "guide"):
            del root["obsm"][key]
            root["obsm"][key] = np.zeros(36)
        root["uns/guide_names"] = ["g"]
    with pytest.raises(DataError, match=r"not a matrix of numbers\n.*lineages_fwd.*\n  found: shape \(36,\)"):
        read(Path(data.adata_path))


PEAK = """
import sys
from pathlib import Path
from fatebias.config import DataConfig, PriorsConfig
from fatebias.data.load import load_screen
from fatebias.files.record import peak_memory_mb
import anndata, h5py, zarr, scipy.sparse.csgraph
before = peak_memory_mb()
data = DataConfig(source="anndata", adata_path=sys.argv[1], guide_map_csv=sys.argv[2])
screen = load_screen(data, PriorsConfig(), Path("."))
print(screen.N, round(1000 * (peak_memory_mb() - before)))
"""


def peak_kb(data: DataConfig) -> int:
    words = [sys.executable, "-c", PEAK, str(data.adata_path), str(data.guide_map_csv)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    cells, kb = done.stdout.split()
    assert int(cells) == 36
    return int(kb)


@pytest.mark.parametrize("suffix", [".h5ad", ".zarr"])
@pytest.mark.filterwarnings("ignore::UserWarning")  # anndata's zarr writer
@pytest.mark.slow
def test_x_and_layers_cost_nothing(parts, write, suffix):
    """X, a layer, obsp and raw of 2 GB each, never written to and so empty on disk, are not read."""
    data = write(parts, suffix)
    shape = (36, 7_000_000)  # 36 x 7e6 x 8 bytes = 2 GB
    if suffix == ".h5ad":
        root = h5py.File(data.adata_path, "r+")
    else:
        root = zarr.open_group(data.adata_path, mode="r+")
    del root["X"]
    for group, name in (
        (root, "X"),
        (root["layers"], "counts"),
        (root["obsm"], "X_wide"),
        (root["varm"], "wide"),
    ):
        create = getattr(group, "create_array", group.create_dataset)  # zarr 3, else zarr 2 and h5py
        array = create(name, shape=shape, dtype="f8", chunks=(36, 100_000))
        array.attrs["encoding-type"], array.attrs["encoding-version"] = "array", "0.2.0"
    if suffix == ".h5ad":
        root.close()
    assert peak_kb(data) < 100_000


def test_the_measure_of_memory_sees_what_is_read(parts, write):
    """A control for the test above: anndata itself, which reads X, shows up in the same measure."""
    data = write(parts)
    with h5py.File(data.adata_path, "r+") as root:
        del root["X"], root["var"]
        wide = root["obsm"].create_dataset("X", (36, 1_000_000), "f8")
        wide.attrs["encoding-type"], wide.attrs["encoding-version"] = "array", "0.2.0"
    reading = PEAK.replace("load_screen(data, ", "read(").replace("screen.N", "36")
    reading = reading.replace("before =", "read = lambda *_: anndata.read_h5ad(sys.argv[1])\nbefore =")
    words = [sys.executable, "-c", reading, str(data.adata_path), str(data.guide_map_csv)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert int(done.stdout.split()[1]) > 150_000
