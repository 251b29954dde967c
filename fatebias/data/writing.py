"""Screens and guide maps as files that anndata 0.10 and newer read, whole or not at all."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fatebias.data.reading.elements import without_warnings
from fatebias.files.atomic import atomic_path, atomic_text


def write_anndata(path: Path, parts: Mapping[str, Any]) -> None:
    """Write ``obs``, ``obsm``, ``uns`` and other parts as an .h5ad without genes."""
    import h5py
    import pandas as pd

    write_elem = _writer()
    no_genes = pd.DataFrame(index=pd.Index([], dtype=object))
    whole: dict[str, Any] = {
        "var": no_genes,
        **{part: {} for part in ("layers", "obsp", "varm", "varp")},
        **parts,
    }
    # Part by part and to memory: AnnData.write_h5ad takes a path alone, where a full disk ends in an error of
    # HDF5 that no user can read, and an AnnData written as one element gets a null `raw`, which older anndata
    # cannot read.
    content = io.BytesIO()
    with without_warnings(), h5py.File(content, "w") as root:
        root.attrs["encoding-type"] = "anndata"
        root.attrs["encoding-version"] = "0.1.0"
        for part, value in whole.items():
            write_elem(root, part, value, dataset_kwargs={"compression": "gzip"})
    with atomic_path(path) as draft:
        draft.write_bytes(content.getbuffer())


def write_csv(path: Path, header: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """Write a table."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    atomic_text(path, text.getvalue())


def texts(values: Iterable[Any]) -> NDArray[np.object_]:
    """Return values as text of object dtype: what newer pandas makes of text, older anndata cannot read."""
    return np.array([str(value) for value in values], dtype=object)


def _writer() -> Any:
    try:
        from anndata.io import write_elem
    except ImportError:  # anndata 0.10
        from anndata.experimental import write_elem
    return write_elem
