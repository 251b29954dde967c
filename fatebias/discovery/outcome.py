"""What discovery found for one contrast: the table, the joint posterior, the report."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fatebias import names
from fatebias.config import DiscoveryConfig
from fatebias.discovery.calls import call_table
from fatebias.discovery.engine import call_rule
from fatebias.discovery.ranking import CallRule, rank
from fatebias.estimates.days import Days
from fatebias.mash.joint import JointPosterior

Array = NDArray[np.float64]


@dataclass(frozen=True)
class DiscoveryReport:
    """How the effects were shrunk; plain values, fit for run.json."""

    engine: str  # rscript or native, whichever did the work
    method: str  # mashr or ashr
    versions: dict[str, str]  # of R and its packages, or of fatebias, numpy and scipy
    loglik: float  # under the fitted mixture, summed over genes (ashr: and days)
    V: list[list[float]] | None  # error correlation of days; None for ashr and where each gene has its own
    pi: dict[str, float]  # mixture weights above zero by component
    notes: list[str]  # why this engine, and what else the user should know
    seconds: float  # wall time
    n_genes: int
    n_days: int
    n_hits: int
    n_calls: int  # of a gene on a day
    expected_false: float  # of the calls, by their own lfsr: the sum of it


@dataclass(frozen=True)
class Discovery:
    """Shrunken effects and calls of one contrast, L genes on D days.

    Attributes
    ----------
    table
        One row a gene, in the order given: ``gene``; ``betahat_d*``, ``se_d*`` as given and ``postmean_d*``,
        ``postsd_d*`` after shrinkage, in logits; ``lfsr_d*`` and for ashr ``qvalue_d*``; ``plarge_d*``, the
        probability of an effect beyond ``discovery.effect_size_eps``; ``lfsr_min``, ``best_day`` and
        ``hit_anyday`` (bool).
    joint
        The posterior jointly over days.
    report
        Engine, log-likelihood, mixture weights, notes and sizes.
    settings
        The settings of ``discovery`` used.
    flips
        Probability of a sign change over days before shrinkage, (L,); None where it is unknown.
    days
        Their labels, and on which of them a gene has cells; None where they are known by number alone.
    """

    table: pd.DataFrame
    joint: JointPosterior
    report: DiscoveryReport
    settings: DiscoveryConfig
    flips: Array | None = None
    days: Days | None = None

    @cached_property
    def log_lfsr(self) -> Array:
        """Log of the lfsr, (L, D); 0 on days without cells of the gene."""
        return seen_log_lfsr(self.joint, self.days)

    @property
    def rule(self) -> CallRule:
        """What makes a call."""
        return call_rule(self.settings)

    @cached_property
    def ranked(self) -> pd.DataFrame:
        """The table with hits first, the surest at the top (``hits_ranked.csv``); ``best_day`` as a label."""
        ranked = rank(self.table, self.rule, log_lfsr=self.log_lfsr)
        return ranked if self.days is None else self.days.labelled(ranked)

    @cached_property
    def calls(self) -> pd.DataFrame:
        """Days, peak, course and sign changes, in the order of `ranked` (``gene_calls.csv``)."""
        cfg = self.settings
        table = call_table(
            self.table, self.joint, self.rule, cfg.effect_size_eps, cfg.seed, self.flips, self.days
        )
        return table.set_index(names.GENE).loc[self.ranked[names.GENE]].reset_index()


def seen_log_lfsr(joint: JointPosterior, days: Days | None) -> Array:
    """Return the log of the lfsr, (L, D); 0 on days without cells of the gene."""
    if days is None or days.unseen is None:
        return joint.log_lfsr
    return np.where(days.unseen, 0.0, joint.log_lfsr)
