"""Bias or delay: whether a gene moves cells between fates, or moves how far they are committed to any."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fatebias import names
from fatebias.checks.base import Check, Report, own_discovery
from fatebias.config import Config
from fatebias.errors import some
from fatebias.files.atomic import atomic_path, sha256_file
from fatebias.files.paths import RunPaths

if TYPE_CHECKING:
    from fatebias.data.screen import Screen

Array = NDArray[np.float64]

# Columns of commitment.csv; plain: commitment as it is, bias included.
MOVED, VERDICT = "moved", "bias_or_delay"
PLAIN, PLAIN_SE = "betahat_plain_d", "se_plain_d"
NONE, BIAS, DELAY, ADVANCE, BOTH, MIXED = "none", "bias", "delay", "advance", "both", "mixed"
# Of the change that a bias makes to commitment up to this share may be left when it is taken out, since how
# labels scatter around a moved mean is known for Dirichlet labels only.
MAY_BE_LEFT = 0.5


class Commitment(Check):
    """Estimates effects on commitment and tells bias from delay."""

    name = "commitment"
    needs = ("fit", "discover")
    as_fitted = False  # commitment scatters by day in its own way

    def wanted(self, config: Config) -> bool:
        """Return whether the settings name a measure of commitment."""
        return config.calibration.commitment != "none"

    def deciding(self, config: Config, screen: Screen, paths: RunPaths) -> object:
        """Return the measure, and the results that it is compared with."""
        degree = None if screen.commitment is None else screen.commitment.tolist()
        own = [config.calibration.commitment, degree]
        return [own, own_discovery(config), sha256_file(paths.mash_out)]

    def outputs(self, config: Config, paths: RunPaths) -> list[Path]:
        """Return the table."""
        return [paths.commitment]

    def weight(self, fit: Mapping[str, Any]) -> float:
        """Return the weight that the data suggest."""
        # At a smaller one effects would be shrunk, and part of the bias would be taken for commitment.
        return float(fit["suggested_weight"])

    def run(self, screen: Screen, config: Config, weight: float, paths: RunPaths) -> Report:
        """Fit the effects of genes on commitment, call them, compare them with the contrast's, return counts.

        Raises a DataError when all cells are committed alike.
        """
        from fatebias.checks.call import call_exported
        from fatebias.checks.commitment_labels import by_bias_alone, commitment_screen, fit_commitment
        from fatebias.data.synthetic import tilt_cells
        from fatebias.discovery.engine import call_rule
        from fatebias.discovery.ranking import active
        from fatebias.discovery.tables import read_table
        from fatebias.estimates.from_fit import contrast_estimates

        measure = config.calibration.commitment
        own = commitment_screen(screen, measure)
        bias = by_bias_alone(screen, config, weight, measure)
        plain = fit_commitment(own, config)
        found = fit_commitment(tilt_cells(own, bias[:, None], back=True), config)
        table = call_exported(found.screen, found.cfg, found.weight, found.posterior)
        contrast = read_table(paths.mash_out, fix="run again with resume=false")
        rule = call_rule(config.discovery)
        biased = active(contrast.set_index(names.GENE, drop=False).loc[table[names.GENE]], rule)
        as_it_is = contrast_estimates(plain.screen, plain.cfg, plain.posterior, plain.weight)
        effect = table[names.day_columns(names.BETAHAT, screen.D)].to_numpy(dtype=float)
        moved = active(table, rule)
        moved &= ~(biased & may_be_left(effect, as_it_is.betahat))
        by_day = verdicts(biased, moved, effect)
        overall = np.array([overall_verdict(row) for row in by_day], dtype=object)
        columns: dict[str, Any] = {f"{PLAIN}{d}": as_it_is.betahat[:, d] for d in range(screen.D)}
        columns |= {f"{PLAIN_SE}{d}": as_it_is.se[:, d] for d in range(screen.D)}
        columns |= {MOVED: moved.any(axis=1)}
        columns |= {f"{VERDICT}_d{d}": by_day[:, d] for d in range(screen.D)}
        written = table.drop(columns=[names.LFSR_MIN, names.BEST_DAY, names.HIT_ANYDAY])
        written = written.assign(**columns, **{VERDICT: overall})
        with atomic_path(paths.commitment) as draft:
            written.to_csv(draft, index=False)
        less = np.where(by_day == BOTH, effect, 0).sum(axis=1) < 0
        return {
            "measure": measure,
            "weight": found.weight,
            "genes": len(table),
            "moved": int(written[MOVED].sum()),
            **{kind: int((overall == kind).sum()) for kind in (BIAS, DELAY, ADVANCE, BOTH, MIXED)},
            "both_genes": table.loc[overall == BOTH, names.GENE].tolist(),
            "both_less": int((overall == BOTH)[less].sum()),
            "warnings": list(found.warnings),
        }

    def summary_line(self, report: Report) -> str:
        """Return the numbers of genes by what they move."""
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


def may_be_left(effect: Array, plain: Array) -> NDArray[np.bool_]:
    """Return where an effect on commitment may be what is left of a bias that was taken out.

    `effect` has the bias taken out, `plain` has it in, both in logits; True where the effect is at most
    `MAY_BE_LEFT` times what was taken out.
    """
    return np.asarray(np.abs(effect) <= MAY_BE_LEFT * np.abs(plain - effect))


def verdicts(biased: NDArray[np.bool_], moved: NDArray[np.bool_], effect: Array) -> NDArray[np.object_]:
    """Return what each gene moves on each day, (L, D).

    ``bias`` where the contrast alone is called (`biased`), ``delay`` or ``advance`` where commitment alone is
    (`moved`, by the sign of its `effect`), ``both`` or ``none``.
    """
    verdict = np.full(biased.shape, NONE, dtype=object)
    verdict[biased] = BIAS
    verdict[moved & (effect < 0)] = DELAY
    verdict[moved & (effect >= 0)] = ADVANCE
    verdict[biased & moved] = BOTH
    return verdict


def overall_verdict(by_day: NDArray[np.object_]) -> str:
    """Return ``both`` if on any day, the one thing that the gene moves, or ``mixed`` where days differ."""
    kinds = set(by_day) - {NONE}
    if BOTH in kinds:
        return BOTH
    return MIXED if len(kinds) > 1 else (kinds.pop() if kinds else NONE)
