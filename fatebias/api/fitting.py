"""A fit from Python: the weight of a soft label, the posterior, and the estimates that mash is given.

`fit_with` is the one path: ``python run.py`` calls it too and writes its result with `write_fit`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fatebias.api.settings import make_config
from fatebias.config import AUTO, Config
from fatebias.errors import DataError
from fatebias.files.atomic import atomic_json, atomic_path, atomic_text, digest
from fatebias.files.outputs import OUTPUTS
from fatebias.files.paths import RunPaths, prepare_out_dir, set_aside
from fatebias.files.record import RunRecord

if TYPE_CHECKING:
    import pandas as pd

    from fatebias.data.screen import Screen
    from fatebias.estimates.estimates import GeneEstimates
    from fatebias.inference.checkpoint import Checkpoint
    from fatebias.inference.posterior import Posterior

log = logging.getLogger(__name__)

OnStep = Callable[[int, float, int], None]
# Settings that say where and how a run is done, not what is fitted.
NOT_OF_THE_FIT = ("tracking", "out_dir", "stages", "resume")


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
    estimates
        All fates and the covariance of errors, from which any contrast follows.
    posterior
        Means and SDs of all effects and scales.
    likelihood_weight
        The weight of a soft label that the fit used, a number also under ``likelihood_weight="auto"``.
    weight
        The weight that the data suggest, with the ways it was found and their intervals.
    diagnostics
        Figures by which to judge the fit: gradient norm, ELBO drift, k-hat.
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
    """

    effects: pd.DataFrame
    guides: pd.DataFrame
    marginal: pd.DataFrame
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
        set_aside(paths, [paths.contrasts])
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
            "calibration": self.weight["summary"],
            "notes": list(self.notes),
            "se": self.config.export.se,
            "n_steps": len(self.loss),
            "settings": settings_of_fit(self.config),
        }


def fit(screen: Screen, *, preset: str | None = None, progress: bool = True, **settings: Any) -> FitResult:
    """Fit the model to a screen and return daywise gene effects with standard errors.

    Writes no file, sets up no logging and leaves numpy's and torch's random state and thread counts as they
    are.

    Parameters
    ----------
    screen
        From `fatebias.read_screen`.
    preset
        ``"calibrated"`` for calls whose error rates hold on simulated truth; None for the plain settings.
    progress
        Show a progress bar, on a terminal and in a notebook.
    **settings
        Settings of ``conf/`` by name, over the preset: ``likelihood_weight=0.5``, ``priors="weak"``,
        ``inference="laplace"``, ``priors={"s_tau": 2.0}``, ``seed=1``, ``device="cpu"``.

    Returns
    -------
    FitResult
        Effects in logits against the reference fate, tables, diagnostics.

    Raises
    ------
    ConfigError
        For a setting that does not exist or a value that cannot be used.
    FitError
        When no posterior worth using was found.

    Examples
    --------
    >>> import fatebias as fb
    >>> screen = fb.read_screen("screen.h5ad", guides="guides.csv")  # doctest: +SKIP
    >>> fit = fb.fit(screen, preset="calibrated")  # doctest: +SKIP
    >>> fit.effects.head()  # doctest: +SKIP

    The model: docs/inference.md; soft labels as in Papke and Wooldridge 1996 (J. Appl. Econometrics 11:619).
    """
    given = {} if screen.settings is None else {"data": screen.settings}
    config = make_config(preset, **given, **settings)
    config.inference.progress = progress and config.inference.progress
    with _random_state_kept():
        return fit_with(screen, config)


def fit_with(
    screen: Screen, config: Config, *, on_step: OnStep | None = None, checkpoint: Checkpoint | None = None
) -> FitResult:
    """Fit a screen with checked settings; `on_step` is called with step, loss and time in ms."""
    import numpy as np
    import pandas as pd

    from fatebias.estimates.from_fit import gene_estimates
    from fatebias.estimates.likelihood_weight import estimate_weight
    from fatebias.estimates.marginal import marginal_effects, marginal_table
    from fatebias.estimates.tables import gene_table, guide_table, posterior_arrays
    from fatebias.inference.fit import fit_screen
    from fatebias.inference.posterior import posterior_moments

    begun = time.perf_counter()
    suggested = estimate_weight(screen, config)
    log.info("%s", suggested.summary_line())
    weight = suggested.weight if config.likelihood_weight == AUTO else float(config.likelihood_weight)
    calibrating = time.perf_counter() - begun
    fitted = fit_screen(screen, config, weight, on_step=on_step, checkpoint=checkpoint)
    begun = time.perf_counter()
    posterior = posterior_moments(fitted.draw, config.inference.num_posterior_draws, screen.guide_gene)
    estimates = gene_estimates(screen, config, posterior, weight)
    own = estimates.contrast(np.eye(screen.n_fates_star)[screen.contrast_index])
    notes = (*suggested.notes, *estimates.notes)
    for note in notes:
        log.warning("%s", note)
    trace = fitted.trace
    return FitResult(
        effects=gene_table(own.betahat, own.se, screen.gene_names),
        guides=guide_table(posterior, screen, estimates.guides),
        marginal=marginal_table(marginal_effects(screen, config, posterior, estimates), screen),
        estimates=estimates,
        posterior=posterior,
        likelihood_weight=weight,
        weight={"summary": suggested.summary_line(), **json.loads(json.dumps(suggested.plain()))},
        diagnostics=fitted.diagnostics,
        warnings=fitted.warnings,
        notes=notes,
        loss=pd.DataFrame(
            {"step": np.asarray(trace.step), "loss": trace.loss, "timestamp_ms": trace.timestamp_ms}
        ),
        screen=describe_screen(screen),
        summary=screen.summary,
        config=config,
        seconds={"calibration": calibrating, **fitted.seconds, "summary": time.perf_counter() - begun},
        arrays=posterior_arrays(posterior, estimates, screen),
    )


def write_fit(result: FitResult, paths: RunPaths) -> None:
    """Write the files of the stage ``fit``, but for the screen's summary and the loss, which come before."""
    import numpy as np

    from fatebias.pl._loss import loss_figure
    from fatebias.pl.save import save_png

    suggested = {name: value for name, value in result.weight.items() if name != "summary"}
    atomic_json(paths.calibration, {"likelihood_weight": result.config.likelihood_weight, **suggested})
    with atomic_path(paths.posterior) as draft:
        np.savez_compressed(draft, **result.arrays)
    for path, table in (
        (paths.guide_summary, result.guides),
        (paths.gene_summary, result.effects),
        (paths.marginal_effects, result.marginal),
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
    from fatebias.estimates.tables import read_posterior, read_table

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


def describe_screen(screen: Screen) -> dict[str, Any]:
    """Return names and sizes that give the tables' columns their meaning, as run.json keeps them."""
    return {
        "fingerprint": screen.fingerprint(),
        "fates": list(screen.fates),
        "contrast": screen.contrast,
        "day_labels": list(screen.day_labels),
        "rep_labels": list(screen.rep_labels),
        "cells": screen.N,
        "genes": screen.L,
        "guides": screen.G,
    }


def settings_of_fit(config: Config) -> dict[str, Any]:
    """Return the settings that make a fit what it is, discovery's included, as plain content."""
    settings = dataclasses.asdict(config)
    return {name: value for name, value in settings.items() if name not in NOT_OF_THE_FIT}


def config_yaml(config: Config) -> str:
    """Return the settings as config.yaml keeps them."""
    from omegaconf import OmegaConf

    return OmegaConf.to_yaml(OmegaConf.structured(config))


@contextlib.contextmanager
def _random_state_kept() -> Iterator[None]:
    """Give the caller's random state and Pyro's parameters back: Pyro seeds Python, numpy and torch."""
    import random

    import numpy as np
    import pyro
    import torch

    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng(), pyro.get_param_store().scope():
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)  # noqa: NPY002
