"""Tables and arrays of estimates, as files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fatebias import names
from fatebias.data.screen import Screen
from fatebias.estimates.estimates import GeneEstimates, GuideEstimates, likelihood_arrays
from fatebias.inference.posterior import Posterior

Array = NDArray[np.float64]


def gene_table(betahat: Array, se: Array, genes: Sequence[str]) -> pd.DataFrame:
    """Return ``gene, betahat_d*, se_d*`` of one contrast in logits: the columns that mash is given."""
    return pd.concat([pd.DataFrame({names.GENE: list(genes)}), _by_day(betahat, se)], axis=1)


def guide_tables(
    posterior: Posterior, screen: Screen, given: GuideEstimates | None = None
) -> dict[str, pd.DataFrame]:
    """Return, by fate, ``guide, gene, cells, betahat_d*, se_d*``, one row a guide, in logits.

    One table for each fate but the reference. A guide's effect is its gene's plus its own deviation; with
    ``given``, guides may be inactive and ``p_inactive`` is added.
    """
    cells = np.bincount(screen.guide_ids[screen.guide_ids > 0], minlength=len(screen.guide_names) + 1)[1:]
    head = pd.DataFrame(
        {
            names.GUIDE: screen.guide_names,
            names.GENE: np.asarray(screen.gene_names, dtype=object)[screen.guide_gene],
            names.CELLS: cells,
        }
    )
    mean, sd = (posterior.beta_mean, posterior.beta_sd) if given is None else (given.mean, given.sd)
    tables = {
        fate: pd.concat([head, _by_day(mean[:, f], sd[:, f])], axis=1)
        for f, fate in enumerate(screen.fates[1:])
    }
    if given is None:
        return tables
    return {fate: table.assign(**{names.P_INACTIVE: given.inactive}) for fate, table in tables.items()}


def other_fates(tables: dict[str, pd.DataFrame], contrast: str) -> pd.DataFrame:
    """Return the tables of all fates but the screen's contrast below each other, with a column ``fate``."""
    others = [
        pd.concat([pd.Series(fate, index=table.index, name=names.FATE, dtype=object), table], axis=1)
        for fate, table in tables.items()
        if fate != contrast
    ]
    if not others:
        return pd.DataFrame(columns=[names.FATE, *tables[contrast].columns])
    return pd.concat(others, ignore_index=True)


def _by_day(mean: Array, sd: Array) -> pd.DataFrame:
    n_days = mean.shape[1]
    columns = names.day_columns(names.BETAHAT, n_days) + names.day_columns(names.SE, n_days)
    return pd.DataFrame(np.concatenate([mean, sd], axis=1), columns=columns)


def posterior_arrays(posterior: Posterior, given: GeneEstimates, screen: Screen) -> dict[str, Any]:
    """Return what ``posterior.npz`` holds: moments, what mash is given (``export_*, normals_*``), names."""
    labels = {
        "effect_fates": screen.fates[1:],
        "reference_fate": screen.fates[0],
        "contrast": screen.contrast,
        "gene_names": screen.gene_names,
        "guide_names": screen.guide_names,
        "day_labels": screen.day_labels,
        "rep_labels": screen.rep_labels,
    }
    if screen.C:
        labels["covariate_names"] = screen.covariate_names  # the last of the shared effects
    arrays: dict[str, Any] = {name: np.asarray(value) for name, value in vars(posterior).items()}
    arrays |= {f"export_{name}": getattr(given, name) for name in ("mean", "covariance", "flip")}
    if given.likelihood is not None:
        arrays |= likelihood_arrays(given.likelihood)
    if given.days is not None and given.days.cells is not None:
        arrays |= {"gene_cells": given.days.cells, "min_cells": np.array(given.days.least)}
    arrays |= {name: np.array(value, dtype=np.str_) for name, value in labels.items()}
    return {"gene_of_guide": screen.gene_of_guide, **arrays}


def read_posterior(path: Path) -> Posterior:
    """Return the moments kept in ``posterior.npz``."""
    with np.load(path) as arrays:
        found = {f.name: arrays[f.name] for f in fields(Posterior) if f.name in arrays}
    return Posterior(**(found | {"n_draws": int(found["n_draws"])}))
