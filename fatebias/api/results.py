"""A fitted screen, in memory and as the files of a run."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fatebias import names
from fatebias.api.settings import make_config
from fatebias.config import Config
from fatebias.errors import DataError
from fatebias.files.atomic import atomic_json, atomic_path, atomic_text, digest
from fatebias.files.outputs import OUTPUTS
from fatebias.files.paths import RunPaths, prepare_out_dir, set_aside
from fatebias.files.record import RunRecord

if TYPE_CHECKING:
    import pandas as pd

    from fatebias.estimates.estimates import GeneEstimates
    from fatebias.inference.posterior import Posterior

# Settings that say where and how a run is done, not what is fitted.
NOT_OF_THE_FIT = ("tracking", "out_dir", "stages", "resume", "plots")


@dataclass(frozen=True)
class FitResult:
    """A fitted screen.

    Attributes
    ----------
    effects
        Daywise effects of each gene on the contrast fate against the reference, in logits:
        ``gene, betahat_d0.., se_d0..``, one row a gene (L rows). Day number d is ``screen["day_labels"][d]``.
    guides
        The same for each CRISPR guide (G rows): ``guide, gene, cells, betahat_d0.., se_d0..``.
    marginal
        Each gene's effect as a change of the fates' probabilities (0.05 is five points of a hundred),
        averaged over the cells that do not carry it: ``gene, ame_d*, ame_se_d*``, then those of the other
        fates.
    replicates
        Each replicate's own estimate of each gene's effects, with its error by the labels alone and its
        cells: ``gene, replicate, betahat_d*, se_d*, cells_d*``; empty with one replicate.
    guides_other_fates
        The columns of `guides` for each further fate against the reference, after a column ``fate``.
    replicates_other_fates
        The same of `replicates`.
    estimates
        All fates and the covariance of errors, from which any contrast follows.
    posterior
        Means and SDs of all effects and scales.
    likelihood_weight
        The weight of a soft label that the fit used, a number also under ``likelihood_weight="auto"``.
    weight
        The weight that the data suggest, with the ways it was found and their intervals.
    diagnostics
        Figures by which to judge the fit: gradient norm, ELBO drift, k-hat; under ``export_*`` those of the
        unshrunken fit, where the estimates come from one.
    warnings
        What speaks against the fit; empty when it converged.
    notes
        What a reader must know of weight and errors.
    loss
        ``step, loss, timestamp_ms``: negative ELBO (SVI), negative log evidence (Laplace), energy (NUTS).
    screen
        Names and sizes: fates, contrast, day_labels, rep_labels, cells, genes, guides, fingerprint.
    summary
        What was read and dropped, and why.
    config
        The settings as they were asked for.
    seconds
        Wall time of each part.
    covariates
        Effect of each of ``data.covariates`` on each fate's logit (of an SD of a number), mean and SD.
    """

    effects: pd.DataFrame
    guides: pd.DataFrame
    marginal: pd.DataFrame
    replicates: pd.DataFrame
    guides_other_fates: pd.DataFrame
    replicates_other_fates: pd.DataFrame
    estimates: GeneEstimates
    posterior: Posterior
    likelihood_weight: float
    weight: dict[str, Any]
    diagnostics: dict[str, Any]
    warnings: tuple[str, ...]
    notes: tuple[str, ...]
    loss: pd.DataFrame
    screen: dict[str, Any]
    summary: dict[str, Any]
    config: Config
    seconds: dict[str, float]
    arrays: dict[str, Any] = dataclasses.field(repr=False)
    covariates: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def converged(self) -> bool:
        """Whether nothing speaks against the fit."""
        return not self.warnings

    def save(self, folder: str | Path) -> Path:
        """Write the fit as ``python run.py stages=[fit]`` does, so that either can continue from it.

        Results of an earlier fit in the folder are moved to ``superseded/``.

        Parameters
        ----------
        folder
            Made where it is absent.

        Returns
        -------
        Path
            The folder.

        Raises
        ------
        OutputError
            When the folder or a file cannot be written.

        Examples
        --------
        >>> fit.save("results")  # doctest: +SKIP
        """
        paths = prepare_out_dir(Path(folder))
        set_aside(paths, [getattr(paths, each.name) for each in OUTPUTS if each.stage not in ("", "fit")])
        set_aside(paths, [paths.contrasts, paths.report, paths.figures])
        record = RunRecord(paths)
        record.content["stages"] = {}
        record.start(command=["fatebias.fit"], seed=self.config.seed)
        atomic_text(paths.config, config_yaml(self.config))
        key = digest([settings_of_fit(self.config), self.screen["fingerprint"]])
        with record.stage("fit", key, paths.stage("fit")) as entry:
            entry |= {"screen": self.screen, "files": {}, **self.entry()}
            atomic_json(paths.screen_summary, self.summary)
            self.loss.to_csv(paths.loss, index=False)
            write_fit(self, paths)
        record.finish()
        return paths.root

    def entry(self) -> dict[str, Any]:
        """Return what run.json keeps of the fit."""
        return {
            "parts": {name: round(took, 3) for name, took in self.seconds.items()},
            "diagnostics": self.diagnostics,
            "warnings": list(self.warnings),
            "likelihood_weight": self.likelihood_weight,
            "suggested_weight": self.weight["weight"],
            "day_weights": self.weight["by_day"],
            "calibration": self.weight["summary"],
            "notes": list(self.notes),
            "baseline": self.estimates.baseline,
            **({"covariates": self.covariates} if self.covariates else {}),
            "se": self.config.export.se,
            "n_steps": len(self.loss),
            "settings": settings_of_fit(self.config),
        }


def write_fit(result: FitResult, paths: RunPaths) -> None:
    """Write the files of the stage ``fit``, but for the screen's summary and the loss, which come before."""
    import numpy as np
    import pandas as pd

    from fatebias.pl._loss import loss_figure
    from fatebias.pl.save import save_png

    suggested = {name: value for name, value in result.weight.items() if name != "summary"}
    labels = result.screen["day_labels"]
    days = pd.DataFrame({"column": [f"d{d}" for d in range(len(labels))], names.DAY: labels})
    atomic_json(paths.calibration, {"likelihood_weight": result.config.likelihood_weight, **suggested})
    with atomic_path(paths.posterior) as draft:
        np.savez_compressed(draft, **result.arrays)
    for path, table in (
        (paths.days, days),
        (paths.guide_summary, result.guides),
        (paths.gene_summary, result.effects),
        (paths.marginal_effects, result.marginal),
        (paths.replicate_effects, result.replicates),
        (paths.guides_other_fates, result.guides_other_fates),
        (paths.replicates_other_fates, result.replicates_other_fates),
    ):
        with atomic_path(path) as draft:
            table.to_csv(draft, index=False)
    save_png(loss_figure(result.loss), paths.loss_plot)


def load(folder: str | Path) -> FitResult:
    """Read a fit that `FitResult.save` or ``python run.py`` wrote.

    Parameters
    ----------
    folder
        The run's ``out_dir``.

    Returns
    -------
    FitResult
        As it was, without the cells.

    Raises
    ------
    DataError
        When the folder has no finished fit.

    Examples
    --------
    >>> import fatebias as fb
    >>> fb.load("results").effects  # doctest: +SKIP
    """
    import numpy as np

    from fatebias.estimates.estimates import read_fit
    from fatebias.estimates.tables import read_posterior
    from fatebias.files.tables import read_table

    paths = RunPaths(Path(folder))
    entry = RunRecord(paths).content["stages"].get("fit", {})
    if entry.get("status") != "done" or "settings" not in entry or not paths.posterior.is_file():
        raise DataError(
            "the folder has no finished fit",
            where=paths.root,
            found="a fit that failed or was written by an older version" if entry else "no fit in run.json",
            fix="give the out_dir of a run, or fit again and save: fit.save(folder)",
        )
    weight = json.loads(paths.calibration.read_text(encoding="utf-8"))
    del weight["likelihood_weight"]  # as asked, which config has
    with np.load(paths.posterior) as arrays:
        kept = dict(arrays)
    return FitResult(
        effects=read_table(paths.gene_summary),
        guides=read_table(paths.guide_summary),
        marginal=read_table(paths.marginal_effects),
        replicates=_read(paths.replicate_effects),
        guides_other_fates=_read(paths.guides_other_fates),
        replicates_other_fates=_read(paths.replicates_other_fates),
        estimates=read_fit(paths.posterior, "fatebias.load").estimates,
        posterior=read_posterior(paths.posterior),
        likelihood_weight=float(entry["likelihood_weight"]),
        weight={"summary": entry["calibration"], **weight},
        diagnostics=entry["diagnostics"],
        warnings=tuple(entry["warnings"]),
        notes=tuple(entry["notes"]),
        loss=read_table(paths.loss),
        screen=entry["screen"],
        summary=json.loads(paths.screen_summary.read_text(encoding="utf-8")),
        config=make_config(**entry["settings"]),
        seconds=entry["parts"],
        arrays=kept,
    )


def _read(path: Path) -> pd.DataFrame:
    """Read a table that fits of an earlier version lack; then it has no rows."""
    import pandas as pd

    from fatebias.files.tables import read_table

    return read_table(path) if path.is_file() else pd.DataFrame(columns=[names.GENE])


def settings_of_fit(config: Config) -> dict[str, Any]:
    """Return the settings that make a fit what it is, discovery's included, as plain content."""
    settings = dataclasses.asdict(config)
    return {name: value for name, value in settings.items() if name not in NOT_OF_THE_FIT}


def config_yaml(config: Config) -> str:
    """Return the settings as config.yaml keeps them."""
    from omegaconf import OmegaConf

    return OmegaConf.to_yaml(OmegaConf.structured(config))
