"""What mash is given: an estimate, a standard error and an error covariance for each gene and day."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fatebias.config import AUTO, Config, weight_asked
from fatebias.data.screen import Screen
from fatebias.estimates.baseline import choose_baseline
from fatebias.estimates.estimates import AVERAGE_GENE, NTC_CELLS, ContrastEstimates, GeneEstimates
from fatebias.estimates.few_clusters import robust_theta
from fatebias.estimates.guide_mixture import fit_guide_mixture
from fatebias.estimates.sandwich import BROAD_ROUNDS, FEWEST_CLUSTERS, fit_broad, linearise, linearise_at
from fatebias.estimates.theta_covariance import theta_covariance
from fatebias.inference.diagnostics import convergence_warnings, gene_k_hats, laplace_figures
from fatebias.inference.laplace import LaplaceFit
from fatebias.inference.posterior import Posterior, flat_means
from fatebias.model.design_matrix import DesignMatrix, design_of

Array = NDArray[np.float64]

NO_SPREAD = 1e-3  # logits
ONE_GUIDE = (
    "each gene has one guide: its effect is that guide's, since one guide cannot tell how far others of the "
    "gene would differ"
)


def contrast_estimates(
    screen: Screen, cfg: Config, posterior: Posterior, weight: float | None = None
) -> ContrastEstimates:
    """Return `gene_estimates` of the screen's own contrast."""
    own = np.eye(screen.n_fates_star)[screen.contrast_index]
    return gene_estimates(screen, cfg, posterior, weight).contrast(own)


def gene_estimates(
    screen: Screen, cfg: Config, posterior: Posterior, weight: float | None = None, *, judge: bool = False
) -> GeneEstimates:
    """Return the estimates and errors that ``export=`` asks for.

    ``estimates=posterior`` takes posterior means. ``unshrunken`` fits theta once more with scales of the walk
    so broad that they do not shrink, guides around their gene as in the fit. ``se=sandwich`` replaces the
    labels' part of the covariance by the scatter of the cells' scores, summed within clusters. ``baseline``
    says what unshrunken effects are counted from (`baseline`), ``guides`` what their guides may do
    (`guide_mixture`). ``weight`` is that of the fit, by default the number in ``cfg``. ``judge`` adds the
    diagnostics of the unshrunken fit. Raises FitError when that fit fails.
    """
    export = cfg.export
    if (export.estimates, export.se) == ("posterior", "posterior"):
        return GeneEstimates(posterior.theta_mean, posterior.theta_joint, posterior.theta_flip)
    weight = weight_asked(cfg) if weight is None else weight
    flat = flat_means(posterior, design_of(screen, cfg.model))
    if export.estimates == "posterior":
        return _robust(screen, cfg, flat, posterior.scales_mean**-2.0, weight, posterior.theta_mean)
    return unshrunken_estimates(screen, cfg, flat, posterior.scales_mean[:, -1], weight, judge=judge)


def unshrunken_estimates(
    screen: Screen,
    cfg: Config,
    flat: Array,
    spread: Array,
    weight: float,
    *,
    judge: bool = False,
    rough: bool = False,
) -> GeneEstimates:
    """Return `gene_estimates` with ``estimates=unshrunken``.

    The fit with broad scales begins at the effects ``flat``, (size,), and holds the SD of guides around their
    gene at ``spread``, (F*,). ``rough`` leaves out of each gene's error what links it to other genes, where
    there are many: a percent or two.
    """
    design = design_of(screen, cfg.model)
    # With one guide a gene, an SD that nothing tells from the effects would take them for deviations.
    if cfg.export.guides == "mixture" and _one_guide_each(design):
        spread = np.full_like(spread, NO_SPREAD)
    rounds = max(BROAD_ROUNDS, cfg.inference.max_rounds)
    fit = fit_broad(design, cfg.priors, weight, spread, mean=flat, max_rounds=rounds)
    if cfg.export.se == "sandwich":
        theta = fit.mean[design.theta_index]
        found = _robust(screen, cfg, fit.mean, fit.scale_precision, weight, theta)
    else:
        found = _of_broad_fit(screen, cfg, fit, weight, spread, rough)
    return _judged(found, design, fit, weight, cfg.seed) if judge else found


def _of_broad_fit(
    screen: Screen, cfg: Config, fit: LaplaceFit, weight: float, spread: Array, rough: bool
) -> GeneEstimates:
    """Return unshrunken estimates with the fit's own errors, guides as ``export.guides`` has them."""
    design = design_of(screen, cfg.model)
    cells = linearise(screen, cfg, fit, weight) if cfg.likelihood_weight == AUTO else None
    covariance = theta_covariance(design, fit, cells, rough=rough)
    theta, n_ntc = fit.mean[design.theta_index], len(screen.ntc_guide_names)
    base = choose_baseline(theta, covariance, cfg.export.baseline, n_ntc)
    baseline = AVERAGE_GENE if base.against_genes else NTC_CELLS
    if cfg.export.guides == "normal":
        return GeneEstimates(base.mean, base.covariance, notes=base.notes, baseline=baseline)
    found = fit_guide_mixture(design, fit.mean, base, weight, spread)
    alone = [ONE_GUIDE] if _one_guide_each(design) else []
    notes = (*base.notes, *alone, *found.notes(screen.fates[1:]))
    return GeneEstimates(
        found.mean, found.covariance, notes=notes, guides=found.guides, likelihood=found.likelihood,
        baseline=baseline,
    )  # fmt: skip


def _one_guide_each(design: DesignMatrix) -> bool:
    return bool((np.bincount(design.rows.guide_gene) < 2).all())


def _judged(
    found: GeneEstimates, design: DesignMatrix, fit: LaplaceFit, weight: float, seed: int
) -> GeneEstimates:
    """Add what the main fit is judged by, of the fit that the estimates come from."""
    figures = laplace_figures(fit) | gene_k_hats(design, fit, None, weight, seed)
    said = convergence_warnings(figures, compare="inference=nuts export=posterior")
    return replace(found, diagnostics=figures, warnings=tuple(f"unshrunken effects: {each}" for each in said))


def _robust(
    screen: Screen, cfg: Config, flat: Array, precision: Array, weight: float, mean: Array
) -> GeneEstimates:
    """Return estimates, (L, F*, D), with errors by the scatter of scores around a mode, (size,)."""
    cells = linearise_at(screen, cfg, flat, precision, weight)
    index = design_of(screen, cfg.model).theta_index
    note: tuple[str, ...] = ()
    if not cells.clustered:
        note = (
            f"robust errors take each cell by itself: {cells.n_clusters} clusters ({screen.cluster_source}) "
            f"are fewer than {FEWEST_CLUSTERS}",
        )
    return GeneEstimates(mean, robust_theta(cells).reshape(*index.shape, *index.shape[1:]), notes=note)
