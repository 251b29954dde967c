"""A simulated screen as files: .h5ad with its truth in uns, guide map and truth table as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fatebias import names
from fatebias.config import DataConfig
from fatebias.data.reading.elements import without_warnings
from fatebias.data.reading.guide_map import GuideMap
from fatebias.data.reading.guide_source import GUIDE_NAMES
from fatebias.data.reading.raw import RawScreen
from fatebias.data.simulation.truth import Truth
from fatebias.files.atomic import atomic_path, atomic_text

# uns key of the settings that a simulated file was made from.
MADE_FROM = "simulated_from"


def write_h5ad(path: Path, raw: RawScreen, truth: Truth, data: DataConfig, made_from: str) -> None:
    """Write a simulated screen as an .h5ad that anndata 0.10 and newer read, whole or not at all.

    uns holds the truth, ``theta_true`` (L, F*, D) to ``dead_guides_true``, and the settings `made_from`.
    """
    import h5py
    import pandas as pd

    # Object dtype throughout: what newer pandas makes of text, older anndata cannot read.
    cells = pd.Index(raw.cells, dtype=object)
    fate_names = raw.fate_names[0][1]
    obsm = {
        data.fate_prob_key: pd.DataFrame(raw.fate_values, index=cells, columns=_texts(fate_names)),
        data.guide_key: raw.guides,
        data.covar_key: pd.DataFrame({data.rep_key: _categorical(raw.rep)}, index=cells),
    }
    uns = {
        GUIDE_NAMES: _texts(raw.guide_columns),
        MADE_FROM: made_from,
        "theta_true": truth.theta,
        "delta_true": truth.delta,
        "alpha_true": truth.alpha,
        "b_true": truth.b,
        "gamma_true": truth.gamma,
        "genes_true": _texts(truth.gene_names),
        "guides_true": _texts(truth.guide_names),
        "dead_guides_true": _texts(np.asarray(truth.guide_names, dtype=object)[truth.inactive]),
        "fates_true": _texts(truth.fates),
    }
    no_genes = pd.DataFrame(index=pd.Index([], dtype=object))
    parts: dict[str, Any] = {
        "obs": pd.DataFrame({data.day_key: _categorical(raw.day)}, index=cells),
        "var": no_genes,
        "obsm": obsm,
        "uns": uns,
        "obsp": {} if raw.graph is None else {data.connectivities_key: raw.graph},
        **{empty: {} for empty in ("layers", "varm", "varp")},
    }
    write_elem = _writer()
    # Part by part and to memory: AnnData.write_h5ad takes a path alone, where a full disk ends in an error of
    # HDF5 that no user can read, and an AnnData written as one element gets a null `raw`, which older anndata
    # cannot read.
    whole = io.BytesIO()
    with without_warnings(), h5py.File(whole, "w") as root:
        root.attrs["encoding-type"] = "anndata"
        root.attrs["encoding-version"] = "0.1.0"
        for part, content in parts.items():
            write_elem(root, part, content, dataset_kwargs={"compression": "gzip"})
    with atomic_path(path) as draft:
        draft.write_bytes(whole.getbuffer())


def write_guide_map(path: Path, guide_map: GuideMap) -> None:
    """Write a guide map as the CSV that `read_guide_map` reads."""
    rows = ((guide, gene, int(guide in guide_map.ntc)) for guide, gene in guide_map.gene_of.items())
    _write_csv(path, (names.MAP_GUIDE, names.MAP_GENE, names.MAP_NTC), rows)


def write_truth(path: Path, truth: Truth) -> None:
    """Write the known gene effects: gene, contrast (a fate against the reference), day from 0, theta."""
    rows = (
        (gene, fate, day, f"{truth.theta[g, f, day]:.10g}")
        for g, gene in enumerate(truth.gene_names)
        for f, fate in enumerate(truth.fates[1:])
        for day in range(truth.theta.shape[2])
    )
    _write_csv(path, (names.GENE, "contrast", "day", "theta"), rows)


def read_made_from(path: Path) -> str | None:
    """Return the settings that a simulated file was made from; None where there is no such file."""
    import h5py

    try:
        with h5py.File(path, "r") as root:
            return str(root["uns"][MADE_FROM].asstr()[()])
    except (OSError, KeyError, TypeError):
        return None


def _write_csv(path: Path, header: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    atomic_text(path, text.getvalue())


def _texts(values: Iterable[Any]) -> NDArray[np.object_]:
    return np.array([str(value) for value in values], dtype=object)


def _categorical(column: Any) -> Any:
    import pandas as pd

    categories = pd.Index(_texts(column.cat.categories), dtype=object)
    return pd.Categorical.from_codes(column.cat.codes.to_numpy(), categories)


def _writer() -> Any:
    try:
        from anndata.io import write_elem
    except ImportError:  # anndata 0.10
        from anndata.experimental import write_elem
    return write_elem
