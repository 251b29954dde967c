"""A simulated screen as files: .h5ad with its truth in uns, guide map and truth table as CSV."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from fatebias import names
from fatebias.config import DataConfig
from fatebias.data.reading.guide_map import GuideMap
from fatebias.data.reading.guide_source import GUIDE_NAMES
from fatebias.data.reading.raw import RawScreen
from fatebias.data.simulation.truth import Truth
from fatebias.data.writing import texts, write_anndata, write_csv

# uns key of the settings that a simulated file was made from.
MADE_FROM = "simulated_from"


def write_h5ad(path: Path, raw: RawScreen, truth: Truth, data: DataConfig, made_from: str) -> None:
    """Write a simulated screen as an .h5ad that anndata 0.10 and newer read, whole or not at all.

    uns holds the truth, ``theta_true`` (L, F*, D) to ``dead_guides_true``, and the settings `made_from`.
    """
    import pandas as pd

    # Object dtype throughout: what newer pandas makes of text, older anndata cannot read.
    cells = pd.Index(raw.cells, dtype=object)
    fate_names = raw.fate_names[0][1]
    obsm = {
        data.fate_prob_key: pd.DataFrame(raw.fate_values, index=cells, columns=texts(fate_names)),
        data.guide_key: raw.guides,
        data.covar_key: pd.DataFrame({data.rep_key: _categorical(raw.rep)}, index=cells),
    }
    uns = {
        GUIDE_NAMES: texts(raw.guide_columns),
        MADE_FROM: made_from,
        "theta_true": truth.theta,
        "delta_true": truth.delta,
        "alpha_true": truth.alpha,
        "b_true": truth.b,
        "gamma_true": truth.gamma,
        "genes_true": texts(truth.gene_names),
        "guides_true": texts(truth.guide_names),
        "dead_guides_true": texts(np.asarray(truth.guide_names, dtype=object)[truth.inactive]),
        "fates_true": texts(truth.fates),
    }
    parts: dict[str, Any] = {
        "obs": pd.DataFrame({data.day_key: _categorical(raw.day)}, index=cells),
        "obsm": obsm,
        "uns": uns,
        "obsp": {} if raw.graph is None else {data.connectivities_key: raw.graph},
    }
    write_anndata(path, parts)


def write_guide_map(path: Path, guide_map: GuideMap) -> None:
    """Write a guide map as the CSV that `read_guide_map` reads."""
    rows = ((guide, gene, int(guide in guide_map.ntc)) for guide, gene in guide_map.gene_of.items())
    write_csv(path, (names.MAP_GUIDE, names.MAP_GENE, names.MAP_NTC), rows)


def write_truth(path: Path, truth: Truth) -> None:
    """Write the known gene effects: gene, contrast (a fate against the reference), day from 0, theta."""
    rows = (
        (gene, fate, day, f"{truth.theta[g, f, day]:.10g}")
        for g, gene in enumerate(truth.gene_names)
        for f, fate in enumerate(truth.fates[1:])
        for day in range(truth.theta.shape[2])
    )
    write_csv(path, (names.GENE, "contrast", "day", "theta"), rows)


def read_made_from(path: Path) -> str | None:
    """Return the settings that a simulated file was made from; None where there is no such file."""
    import h5py

    try:
        with h5py.File(path, "r") as root:
            return str(root["uns"][MADE_FROM].asstr()[()])
    except (OSError, KeyError, TypeError):
        return None


def _categorical(column: Any) -> Any:
    import pandas as pd

    categories = pd.Index(texts(column.cat.categories), dtype=object)
    return pd.Categorical.from_codes(column.cat.codes.to_numpy(), categories)
