"""Every form in which a file may hold a part gives the same screen."""

from __future__ import annotations

from importlib.metadata import version

import h5py
import numpy as np
import pandas as pd
import pytest
from packaging.version import Version
from scipy import sparse

from fatebias.config import PriorsConfig
from fatebias.data.load import load_screen
from fatebias.errors import DataError

FORMS = {
    "frame": lambda frame: frame,
    "csr": lambda frame: sparse.csr_matrix(frame.to_numpy()),
    "csc": lambda frame: sparse.csc_matrix(frame.to_numpy()),
    "dense": lambda frame: frame.to_numpy(),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.int8, np.int64, np.uint32, np.float32, np.float64])
def test_guide_matrices(parts, load, form, dtype):
    guides = FORMS[form](parts.guides.astype(dtype))
    changed = parts.but(guides=guides, uns={"guide_names": np.array(parts.guides.columns, dtype=object)})
    assert load(changed).fingerprint() == load(parts).fingerprint()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.filterwarnings("ignore::UserWarning")  # anndata's zarr writer
def test_zarr(parts, load, form):
    changed = parts.but(
        guides=FORMS[form](parts.guides),
        uns={"guide_names": np.array(parts.guides.columns, dtype=object)},
        covar=pd.DataFrame({"rep": parts.covar["rep"].astype("category"), "depth": 1.0}),
        obs=parts.obs.astype("category"),
    )
    screen = load(changed, ".zarr")
    assert screen.fingerprint() == load(parts).fingerprint()
    assert screen.cells.tolist() == parts.obs.index.tolist()


@pytest.mark.parametrize("form", ["frame", "dense"])
def test_guides_in_half_precision(parts, load, form):
    guides = FORMS[form](parts.guides.astype(np.float16))
    changed = parts.but(guides=guides, uns={"guide_names": np.array(parts.guides.columns, dtype=object)})
    assert load(changed).fingerprint() == load(parts).fingerprint()


@pytest.mark.parametrize("kind", ["Int32", "boolean"])
def test_nullable_guide_columns(parts, load, kind):
    assert load(parts.but(guides=parts.guides.astype(kind))).fingerprint() == load(parts).fingerprint()
    guides = parts.guides.astype("Int32")
    guides.iloc[3, 2] = pd.NA
    with pytest.raises(DataError, match="1 entries of the guide matrix are NaN"):
        load(parts.but(guides=guides))


def test_dense_guides_larger_than_a_block(parts, load, monkeypatch):
    monkeypatch.setattr("fatebias.data.reading.elements.CHUNK_CELLS", 5)
    changed = parts.but(
        guides=parts.guides.to_numpy(), uns={"guide_names": np.array(parts.guides.columns, dtype=object)}
    )
    assert load(changed).fingerprint() == load(parts).fingerprint()


@pytest.mark.parametrize("kind", [object, "string", "category"])
def test_string_types(parts, load, kind):
    index = parts.obs.index.astype("string" if kind == "string" else object)
    framed = {name: getattr(parts, name).set_axis(index) for name in ("fates", "guides", "covar", "obs")}
    framed["obs"] = framed["obs"].astype(kind)
    framed["covar"] = framed["covar"].astype(kind)
    if kind == "string" and Version(version("anndata")) < Version("0.11"):
        pytest.skip("this anndata cannot write the text type of newer pandas")
    assert load(parts.but(**framed)).fingerprint() == load(parts).fingerprint()


def test_files_of_anndata_0_7(parts, write, load, tmp_path):
    """Categories stand apart from their codes there: read by columns, days would turn into codes."""
    data = write(parts.but(obs=parts.obs.assign(day=[f"d{[4, 2, 6][i % 3]}" for i in range(36)])))
    with h5py.File(data.adata_path, "r+") as root:
        obs = root["obs"]
        codes, categories = obs["day/codes"][()], np.array([b"d2", b"d4", b"d6"])
        del obs["day"]
        obs["__categories/day"] = categories.astype(h5py.string_dtype())
        obs["day"] = codes
        obs["day"].attrs["categories"] = obs["__categories/day"].ref
        obs.attrs["encoding-version"] = "0.1.0"
    screen = load_screen(data, PriorsConfig(), tmp_path)
    assert screen.day_labels == ("d2", "d4", "d6")
    assert screen.day[:3].tolist() == [1, 0, 2]


def test_text_with_missing_values_as_newer_anndata_writes_it(parts, write, tmp_path):
    """Written by hand, so that it is tested with an older anndata, too, which lacks this encoding."""
    data = write(parts.but(obs=parts.obs.assign(day=range(36)), covar=parts.covar.assign(rep=range(36))))

    def put(group: h5py.Group, key: str, text: list[str], missing: list[bool]) -> None:
        del group[key]
        made = group.create_group(key)
        made.attrs.update({"encoding-type": "nullable-string-array", "encoding-version": "0.1.0"})
        made["values"], made["mask"] = np.array(text, dtype=object), missing
        made["values"].attrs.update({"encoding-type": "string-array", "encoding-version": "0.2.0"})
        made["mask"].attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})

    with h5py.File(data.adata_path, "r+") as root:
        put(root["obs"], "day", parts.obs["day"].tolist(), [False] * 36)
        put(root["obsm/covar"], "rep", parts.covar["rep"].tolist(), [False] * 36)
    screen = load_screen(data, PriorsConfig(), tmp_path)
    assert (screen.day_labels, screen.rep_labels) == (("d0", "d1", "d2"), ("r0", "r1"))
    with h5py.File(data.adata_path, "r+") as root:
        put(root["obs"], "day", parts.obs["day"].tolist(), [False] * 35 + [True])
    with pytest.raises(DataError, match="1 of 36 cells have no value"):
        load_screen(data, PriorsConfig(), tmp_path)


@pytest.mark.parametrize("seed", range(10))
def test_random_screens_read_the_same_in_any_form(parts, load, seed):
    """Columns, forms, number types and spelling of days at random: one and the same screen."""
    rng = np.random.default_rng(seed)
    held = pd.DataFrame(rng.poisson(0.5, (36, 6)), parts.guides.index, parts.guides.columns)
    truth = load(parts.but(guides=held))
    shuffled = held[rng.permutation(held.columns)]
    form = rng.choice(list(FORMS))
    days = parts.obs["day"].str.removeprefix("d")
    changed = parts.but(
        fates=parts.fates[rng.permutation(parts.fates.columns)],
        guides=FORMS[form](shuffled.astype(rng.choice(["int16", "float32", "uint8"]))),
        uns={"guide_names": np.array(shuffled.columns, dtype=object)},
        guide_map=[parts.guide_map[i] for i in rng.permutation(6)],
        obs=pd.DataFrame({"day": days.astype(rng.choice(["int64", "float64"]))}),
        covar=parts.covar.astype("category"),
    )
    screen = load(changed)
    for name in ("p", "guide_ids", "mask", "ntc_slots", "k_centered", "day", "rep", "gene_of_guide"):
        np.testing.assert_array_equal(getattr(screen, name), getattr(truth, name), err_msg=name)
    assert screen.day_labels == ("0", "1", "2")
