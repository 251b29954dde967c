"""From a screen to a fit: the weight of a soft label, the posterior, and the estimates that mash is given.

`fit_with` is the one path: ``python run.py`` calls it too.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from fatebias.api.results import FitResult
from fatebias.api.settings import make_config
from fatebias.config import AUTO, Config
from fatebias.errors import ConfigError

if TYPE_CHECKING:
    from fatebias.data.screen import Screen
    from fatebias.inference.checkpoint import Checkpoint

log = logging.getLogger(__name__)

OnStep = Callable[[int, float, int], None]
OF_A_FIT = (
    "priors", "model", "inference", "export", "calibration", "discovery",
    "likelihood_weight", "seed", "device",
)  # fmt: skip
# Settings of the command line that mean something else here, and what to use.
NOT_HERE = {
    "data": "give settings of data to fatebias.read_screen",
    "out_dir": "save the fit: fit.save(folder)",
    "stages": "call fatebias.fit, then fatebias.discover",
    "resume": "save the fit, and load it: fatebias.load(folder)",
    "plots": "draw them: fatebias.pl, such as fatebias.pl.hits(hits)",
    "tracking": "runs of the command line are tracked: fatebias tracking=local",
}
# Pyro's parameters and the random state belong to the process: a second thread waits for its turn.
_ONE_FIT = threading.Lock()


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
    from fatebias.data.screen import Screen

    if not isinstance(screen, Screen):
        raise TypeError("fit takes a Screen: screen = fatebias.read_screen(adata, guides=guides)")
    for name in settings:
        if name.partition(".")[0] in NOT_HERE:
            raise ConfigError(
                f"{name} is not a setting of a fit from Python",
                where=name,
                allowed=OF_A_FIT,
                fix=NOT_HERE[name.partition(".")[0]],
            )
    given = {} if screen.settings is None else {"data": screen.settings}
    config = make_config(preset, **given, **settings)
    config.inference.progress = progress and config.inference.progress
    with _ONE_FIT, _random_state_kept():
        result = fit_with(screen, config)
    for note in result.notes:
        log.warning("%s", note)
    for warning in result.warnings:
        log.warning("NOT CONVERGED: %s", warning)
    return result


def fit_with(
    screen: Screen, config: Config, *, on_step: OnStep | None = None, checkpoint: Checkpoint | None = None
) -> FitResult:
    """Fit a screen with checked settings; `on_step` is called with step, loss and time in ms."""
    import numpy as np
    import pandas as pd

    from fatebias.estimates.by_replicate import replicate_effects
    from fatebias.estimates.covariate_effects import covariate_effects, covariate_line
    from fatebias.estimates.days import gene_days
    from fatebias.estimates.from_fit import gene_estimates
    from fatebias.estimates.likelihood_weight import estimate_weight
    from fatebias.estimates.marginal import marginal_effects, marginal_table
    from fatebias.estimates.tables import gene_table, guide_tables, other_fates, posterior_arrays
    from fatebias.inference.fit import choose_device, fit_screen
    from fatebias.inference.posterior import flat_means, posterior_moments
    from fatebias.model.design_matrix import design_of

    choose_device(config.device)  # one that is absent is refused before anything is computed
    begun = time.perf_counter()
    suggested = estimate_weight(screen, config)
    log.info("%s", suggested.summary_line())
    described = describe_screen(screen)
    if config.likelihood_weight == AUTO:
        screen, weight = suggested.weigh(screen)
    else:
        weight = float(config.likelihood_weight)
    calibrating = time.perf_counter() - begun
    fitted = fit_screen(screen, config, weight, on_step=on_step, checkpoint=checkpoint)
    begun = time.perf_counter()
    posterior = posterior_moments(fitted.draw, config.inference.num_posterior_draws, screen.guide_gene)
    estimates = gene_estimates(screen, config, posterior, weight, judge=True)
    days = gene_days(screen, config.data.min_cells)
    estimates = dataclasses.replace(estimates, days=days)
    own = estimates.contrast(np.eye(screen.n_fates_star)[screen.contrast_index])
    lacking = days.note(screen.gene_names)
    covariates = covariate_effects(posterior, screen)
    if covariates:
        log.info("%s", covariate_line(covariates, screen.contrast))
    notes = (*suggested.notes, *estimates.notes, *([] if lacking is None else [lacking]))
    trace = fitted.trace
    design = design_of(screen, config.model)
    flat = flat_means(posterior, design)
    guides = guide_tables(posterior, screen, estimates.guides)
    replicates = replicate_effects(design, flat, weight, estimates.mean, screen)
    return FitResult(
        effects=gene_table(own.betahat, own.se, screen.gene_names),
        guides=guides[screen.contrast],
        marginal=marginal_table(marginal_effects(screen, config, posterior, estimates), screen),
        replicates=replicates[screen.contrast],
        guides_other_fates=other_fates(guides, screen.contrast),
        replicates_other_fates=other_fates(replicates, screen.contrast),
        estimates=estimates,
        posterior=posterior,
        likelihood_weight=weight,
        weight={"summary": suggested.summary_line(), **json.loads(json.dumps(suggested.plain()))},
        diagnostics=fitted.diagnostics | {f"export_{k}": value for k, value in estimates.diagnostics.items()},
        warnings=(*fitted.warnings, *estimates.warnings),
        notes=notes,
        covariates=covariates,
        loss=pd.DataFrame(
            {"step": np.asarray(trace.step), "loss": trace.loss, "timestamp_ms": trace.timestamp_ms}
        ),
        screen=described,
        summary=screen.summary,
        config=config,
        seconds={"calibration": calibrating, **fitted.seconds, "summary": time.perf_counter() - begun},
        arrays=posterior_arrays(posterior, estimates, screen),
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
        "warnings": list(screen.summary.get("warnings", ())),
    }


@contextlib.contextmanager
def _random_state_kept() -> Iterator[None]:
    """Restore the caller's random state and Pyro's parameters: Pyro seeds Python, numpy and torch."""
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
