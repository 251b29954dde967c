"""Bias or delay: whether a gene moves cells between fates, or moves how far they are committed to any."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fatebias import names
from fatebias.checks.call import call_exported
from fatebias.checks.commitment_labels import by_bias_alone, commitment_screen, weighted
from fatebias.config import Config
from fatebias.data.screen import Screen
from fatebias.data.synthetic import tilt_cells
from fatebias.discovery.engine import call_rule
from fatebias.discovery.ranking import active
from fatebias.discovery.tables import read_table
from fatebias.errors import some
from fatebias.estimates.from_fit import contrast_estimates
from fatebias.files.atomic import atomic_path
from fatebias.files.paths import RunPaths
from fatebias.inference.fit import fit_screen
from fatebias.inference.posterior import Posterior, posterior_moments

Array = NDArray[np.float64]

# Columns of commitment.csv; plain: commitment as it is, bias included.
MOVED, VERDICT = "moved", "bias_or_delay"
PLAIN, PLAIN_SE = "betahat_plain_d", "se_plain_d"
NONE, BIAS, DELAY, ADVANCE, BOTH, MIXED = "none", "bias", "delay", "advance", "both", "mixed"
# Of the change that a bias makes to commitment up to this share may be left when it is taken out, since how
# labels scatter around a moved mean is known for Dirichlet labels only.
MAY_BE_LEFT = 0.5


@dataclass(frozen=True)
class _Fitted:
    screen: Screen
    cfg: Config
    posterior: Posterior
    warnings: tuple[str, ...]


def _fit(own: Screen, cfg: Config) -> _Fitted:
    own, cfg = weighted(own, cfg)
    # The bias that was taken out is that of guides that all live.
    live = dataclasses.replace(cfg.export, inactive_guides=False)
    laplace = dataclasses.replace(cfg.inference, method="laplace")
    cfg = dataclasses.replace(cfg, inference=laplace, export=live)
    fit = fit_screen(own, cfg)
    posterior = posterior_moments(fit.draw, cfg.inference.num_posterior_draws, own.guide_gene, flips=False)
    return _Fitted(own, cfg, posterior, fit.warnings)


def run_commitment(screen: Screen, cfg: Config, paths: RunPaths) -> dict[str, Any]:
    """Fit the effects of genes on commitment, call them, and set them beside the contrast's.

    Parameters
    ----------
    screen
        The screen.
    cfg
        ``calibration.commitment`` and the run's settings, the likelihood weight as the data suggest it.
    paths
        Of a run whose discovery is done; ``commitment.csv`` goes there.

    Returns
    -------
    dict
        Numbers of genes by what they move, plain content for run.json.

    Raises
    ------
    DataError
        When all cells are committed alike.
    FitError, DiscoveryError, OutputError
        As the fit and the discovery.
    """
    measure = cfg.calibration.commitment
    own = commitment_screen(screen, measure)
    bias = by_bias_alone(screen, cfg, measure)
    plain, found = _fit(own, cfg), _fit(tilt_cells(own, bias[:, None], back=True), cfg)
    table = call_exported(found.screen, found.cfg, found.posterior, paths.root)
    contrast = read_table(paths.mash_out, fix="run again with resume=false")
    rule = call_rule(cfg.discovery)
    biased = active(contrast.set_index(names.GENE, drop=False).loc[table[names.GENE]], rule)
    as_it_is = contrast_estimates(plain.screen, plain.cfg, plain.posterior)
    effect = table[names.day_columns(names.BETAHAT, screen.D)].to_numpy(dtype=float)
    moved = active(table, rule)
    moved &= ~(biased & may_be_left(effect, as_it_is.betahat))
    verdicts = judge(biased, moved, effect)
    overall = np.array([together(row) for row in verdicts], dtype=object)
    columns: dict[str, Any] = {f"{PLAIN}{d}": as_it_is.betahat[:, d] for d in range(screen.D)}
    columns |= {f"{PLAIN_SE}{d}": as_it_is.se[:, d] for d in range(screen.D)}
    columns |= {MOVED: moved.any(axis=1)}
    columns |= {f"{VERDICT}_d{d}": verdicts[:, d] for d in range(screen.D)}
    written = table.drop(columns=[names.LFSR_MIN, names.BEST_DAY, names.HIT_ANYDAY])
    written = written.assign(**columns, **{VERDICT: overall})
    with atomic_path(paths.commitment) as draft:
        written.to_csv(draft, index=False)
    return {
        "measure": measure,
        "weight": found.cfg.likelihood_weight,
        "genes": len(table),
        "moved": int(written[MOVED].sum()),
        **{kind: int((overall == kind).sum()) for kind in (BIAS, DELAY, ADVANCE, BOTH, MIXED)},
        "both_genes": table.loc[overall == BOTH, names.GENE].tolist(),
        "both_less": int((overall == BOTH)[np.where(verdicts == BOTH, effect, 0).sum(axis=1) < 0].sum()),
        "warnings": list(found.warnings),
    }


def may_be_left(effect: Array, plain: Array) -> NDArray[np.bool_]:
    """Say where an effect on commitment may be what is left of a bias that was taken out.

    Parameters
    ----------
    effect, plain
        With the bias taken out and with it, in logits, same shape.

    Returns
    -------
    ndarray
        True where the effect is at most `MAY_BE_LEFT` times what was taken out.
    """
    return np.asarray(np.abs(effect) <= MAY_BE_LEFT * np.abs(plain - effect))


def judge(biased: NDArray[np.bool_], moved: NDArray[np.bool_], effect: Array) -> NDArray[np.object_]:
    """Say of each gene and day what it moves.

    Parameters
    ----------
    biased
        Whether the contrast is called, shape (L, D).
    moved
        Whether commitment is called, shape (L, D).
    effect
        On commitment in logits, shape (L, D).

    Returns
    -------
    ndarray
        ``none``, ``bias`` (the contrast alone), ``delay`` or ``advance`` (commitment alone, down or up) or
        ``both``, shape (L, D).
    """
    verdict = np.full(biased.shape, NONE, dtype=object)
    verdict[biased] = BIAS
    verdict[moved & (effect < 0)] = DELAY
    verdict[moved & (effect >= 0)] = ADVANCE
    verdict[biased & moved] = BOTH
    return verdict


def together(by_day: NDArray[np.object_]) -> str:
    """Sum up a gene's days: ``both`` if on any day, the one thing that it moves, or ``mixed`` over days."""
    kinds = set(by_day) - {NONE}
    if BOTH in kinds:
        return BOTH
    return MIXED if len(kinds) > 1 else (kinds.pop() if kinds else NONE)


def words(report: dict[str, Any]) -> str:
    """Say it in a line or two for the terminal."""
    line = (
        f"commitment ({report['measure']}, weight {report['weight']:.3g}): {report['moved']} of "
        f"{report['genes']} genes move it; the contrast alone {report['bias']}, commitment alone "
        f"{report['delay']} down and {report['advance']} up, both on one day {report['both']}"
    )
    if report["mixed"]:
        line += f", one or the other by day {report['mixed']}"
    if report["both"]:
        line += (
            f"\n  bias or delay ({report['both_less']} less committed, "
            f"{report['both'] - report['both_less']} more): {some(report['both_genes'])}"
        )
    return "\n".join([line, *(f"  NOT CONVERGED: {each}" for each in report["warnings"])])
