"""The correlation of errors between days that mash is given: the fit's own, or that of null genes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fatebias.config import DiscoveryConfig
from fatebias.mash.effect_likelihood import EffectLikelihood
from fatebias.mash.null_correlation import LARGEST_CONDITION, NullCorrelation

Array = NDArray[np.float64]


def from_fit(covariance: Array, kind: str) -> NullCorrelation:
    """Turn each gene's error covariance across days, (L, D, D), into a correlation for mash.

    ``fit`` is the mean over genes, (D, D); ``per_gene`` each gene's own, (L, D, D). One that is nearly
    singular is mixed with the identity until it is not.
    """
    sd = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
    v = covariance / (sd[:, :, None] * sd[:, None, :])
    v = (v + np.swapaxes(v, 1, 2)) / 2
    if kind == "fit":
        v = v.mean(axis=0, keepdims=True)
    n_days = v.shape[-1]
    v[:, np.arange(n_days), np.arange(n_days)] = 1.0
    values = np.linalg.eigvalsh(v)
    low, high = values[:, 0], values[:, -1]
    # (1 - m) high + m = LARGEST_CONDITION ((1 - m) low + m), solved for the share m of the identity
    excess = np.maximum(high - LARGEST_CONDITION * low, 0)
    mixed = (excess / (excess + LARGEST_CONDITION - 1))[:, None, None]
    v = (1 - mixed) * v + mixed * np.eye(n_days)
    note = None
    if (mixed > 0).any():
        of = f"{number} genes" if (number := int((mixed > 0).sum())) > 1 else "1 gene"
        note = f"near singular error correlation of {of} drawn to the identity"
        if kind == "fit":
            note = "the mean error correlation was near singular and drawn to the identity"
    return NullCorrelation(v[0] if kind == "fit" else v, note)


def exact_likelihood(
    cfg: DiscoveryConfig, se: str, likelihood: EffectLikelihood | None
) -> EffectLikelihood | None:
    """Return the likelihood with several normals a gene where mash can take it, else None.

    That is where ``cfg.likelihood`` is ``exact`` and each gene has its own errors; every other choice of the
    error correlation replaces them. Normals with a nearly singular correlation are mended as in `from_fit`.
    """
    if likelihood is None or cfg.likelihood == "moments" or _kind(cfg, se) != "per_gene":
        return None
    sd = likelihood.sd
    covariance = from_fit(likelihood.covariance, "per_gene").v * (sd[:, :, None] * sd[:, None, :])
    return replace(likelihood, covariance=covariance)


def error_correlation(cfg: DiscoveryConfig, se: str, covariance: Array | None) -> NullCorrelation | None:
    """Return the error correlation of the fit where the settings ask for it; None leaves it to the engine.

    Under robust errors (`se`, ``export.se``, is ``sandwich``) each gene's own replaces ``simple``.
    """
    kind = _kind(cfg, se)
    return None if kind is None or covariance is None else from_fit(covariance, kind)


def _kind(cfg: DiscoveryConfig, se: str) -> str | None:
    """Return ``fit`` or ``per_gene``; None where the engine finds the error correlation itself."""
    kind = cfg.null_correlation
    if kind == "simple" and se == "sandwich":
        kind = "per_gene"
    return kind if cfg.method == "mashr" and kind in ("fit", "per_gene") else None
