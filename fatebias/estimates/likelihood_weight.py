"""The likelihood weight that the data suggest, by three methods that use different parts of them.

``dispersion``: one over the Pearson dispersion, how much labels scatter around the fit. ``information``: the
matching of information of Lyddon, Holmes and Walker 2019 (doi 10.1093/biomet/asz006), which picks up noise
that cells share within clusters. ``controls``: the weight at which pseudo-genes of NTC guides have z scores
of unit spread, which picks up whatever else moves a gene without effect.

Labels may scatter more on one day than on another. Under ``likelihood_weight=auto`` each day has its own
weight: the days' factors, of mean 1, go into the cells' weights, their level is the likelihood weight.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2, norm

from fatebias.config import AUTO, Config
from fatebias.data.screen import Screen
from fatebias.data.synthetic import FEWEST_NTC, pseudo_genes
from fatebias.estimates.day_weights import weigh_days
from fatebias.estimates.sandwich import FEWEST_CLUSTERS, Sandwich, fit_broad, linearise
from fatebias.estimates.score_scatter import score_scatter
from fatebias.model.design_matrix import design_of, with_more_genes

Array = NDArray[np.float64]

PILOT_ROUNDS = 2  # the first at weight 1, the second at the weight that the first suggests
# One screen in two hundred would take a smaller weight by chance alone.
SURE = 0.99
# A day whose labels hardly scatter at all, as where every cell is committed, still counts no more than this.
LEAST_DISPERSION = 1e-3
NOTHING = 1e-9  # of a variance: what rounding leaves where there is no label
# Degrees of freedom that the dispersion of all days lends to that of each.
BORROWED = 100.0


@dataclass(frozen=True)
class WeightEstimate:
    """The weight by one method."""

    weight: float | None  # None where the data do not allow it
    low: float | None = None  # 99 % interval; None where there is none
    high: float | None = None
    note: str = ""  # why there is no weight, or what limits it
    parts: dict[str, Any] = field(default_factory=dict)  # what it was made of, ready for JSON


@dataclass(frozen=True)
class WeightReport:
    """The suggested weight with its parts."""

    weight: float  # the suggestion
    method: str  # where it comes from
    estimates: dict[str, WeightEstimate]  # by method
    n_clusters: int  # groups of cells that may share noise
    cluster_source: str  # what the groups are
    notes: tuple[str, ...] = ()  # what the reader must know
    by_day: dict[str, float] | None = None  # weight of each day by its label; None for one weight on all days
    scatter: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)  # `scatter_table`

    def weigh(self, screen: Screen) -> tuple[Screen, float]:
        """Return the screen with the days' factors in its cells' weights, and the likelihood weight."""
        if self.by_day is None:
            return screen, self.weight
        return weigh_days(screen, np.array([self.by_day[label] for label in screen.day_labels]))

    def plain(self) -> dict[str, Any]:
        """Return content that JSON can hold."""
        return asdict(self)

    def summary_line(self) -> str:
        """Return one line for the terminal."""
        parts = [
            f"{name} {found.weight:.3g}" for name, found in self.estimates.items() if found.weight is not None
        ]
        line = f"suggested likelihood_weight {self.weight:.3g} by {self.method} ({', '.join(parts)})"
        if self.by_day is None:
            return line
        return f"{line}; by day {', '.join(f'{day} {weight:.3g}' for day, weight in self.by_day.items())}"


# What screens suggested so far, kept as long as their screen: runs of a sweep that differ in the likelihood
# weight alone ask for the same.
_SUGGESTED: WeakKeyDictionary[Screen, dict[str, WeightReport]] = WeakKeyDictionary()


def estimate_weight(screen: Screen, cfg: Config, *, by_cells: bool = False) -> WeightReport:
    """Return the likelihood weight that a screen suggests, without an earlier fit, estimated once.

    Gene effects are fitted free by gene and day, so that what a random walk would shrink away is not taken
    for scatter; the weight found is used in the next round. ``controls``, which needs fits of its own,
    is computed only under ``likelihood_weight=auto`` or ``calibration.method=controls``. ``by_cells`` leaves
    it out, whatever the settings: the cells' own scatter alone decides. Raises FitError when the pilot
    fit fails.
    """
    kept = _SUGGESTED.setdefault(screen, {})
    calibration = [cfg.calibration.method, cfg.calibration.control_splits]
    auto = cfg.likelihood_weight == AUTO
    key = json.dumps([asdict(cfg.priors), asdict(cfg.model), *calibration, cfg.seed, auto, by_cells])
    if key not in kept:
        kept[key] = _estimated(screen, cfg, by_cells)
    return kept[key]


def _estimated(screen: Screen, cfg: Config, by_cells: bool) -> WeightReport:
    day_by_day = cfg.likelihood_weight == AUTO and not by_cells and screen.D > 1
    weight, mean, weighed = 1.0, None, screen
    for number in range(PILOT_ROUNDS + 1):
        pilot = fit_broad(design_of(weighed, cfg.model), cfg.priors, weight, mean=mean)
        mean = pilot.mean
        cells = linearise(weighed, cfg, pilot, weight)
        if number == PILOT_ROUNDS:
            break
        if day_by_day:
            weighed, weight = weigh_days(screen, 1 / dispersion_by_day(cells, screen))
        else:
            weight = 1 / cells.dispersion()
    by_day = dispersion_by_day(cells, screen) if day_by_day else None
    estimates = {
        "dispersion": dispersion_weight(cells, screen, by_day),
        "information": information_weight(cells),
    }
    method = "auto" if by_cells else cfg.calibration.method
    if not by_cells and (cfg.likelihood_weight == AUTO or method == "controls"):
        estimates["controls"] = controls_weight(weighed, cfg, weight, mean)
    report = choose(estimates, method, cells.n_clusters, screen.cluster_source)
    report = replace(report, scatter=scatter_table(cells, screen))
    if by_day is None:
        return report
    whole = estimates["dispersion"].weight
    assert whole is not None
    of_day = report.weight / whole / by_day
    return replace(report, by_day=dict(zip(screen.day_labels, of_day.tolist(), strict=True)))


def choose(
    estimates: dict[str, WeightEstimate], method: str, n_clusters: int, cluster_source: str
) -> WeightReport:
    """Return the estimate of the method asked for.

    ``auto`` takes dispersion, or another method whose weight (the upper end of its interval, if it has one)
    is smaller. Of ``controls``, whose few z scores scatter widely, it takes that upper end itself: the weight
    falls no further than the controls are sure of. A method that is not available is replaced by dispersion,
    with a note.
    """
    notes = [f"{name}: {found.note}" for name, found in estimates.items() if found.note]
    chosen = "dispersion" if method == "auto" else method
    if estimates[chosen].weight is None:
        notes.append(
            f"calibration.method={method} is not possible on this screen; dispersion is used instead"
        )
        chosen = "dispersion"
    if method == "auto":
        for name, found in estimates.items():
            best = estimates[chosen].weight
            assert best is not None
            upper = found.weight if found.high is None else found.high
            if found.weight is not None and upper is not None and upper < best:
                chosen = name
    weight = estimates[chosen].weight
    if method == "auto" and chosen == "controls":
        weight = estimates[chosen].high
    assert weight is not None
    return WeightReport(weight, chosen, estimates, n_clusters, cluster_source, tuple(notes))


def _no_controls(n_ntc: int) -> str:
    return f"{FEWEST_NTC} NTC guides are needed to check the weight, the screen has {n_ntc or 'none'}"


def dispersion_by_day(cells: Sandwich, screen: Screen) -> Array:
    """Return the Pearson dispersion of each day, (D,), a day with few cells drawn to that of all days.

    Free effects by gene and day can follow the labels of a few cells exactly. What counts is the degrees of
    freedom that a day has left; the dispersion of all days together is as good as 100 further ones.
    """
    n_fates = cells.pi.shape[1]
    total = n_fates * np.bincount(screen.day, minlength=screen.D).astype(np.float64)
    left = np.maximum(total - cells.spent(screen.day), 0)
    squares = cells.dispersions(screen.day) / cells.residual_factor * total
    pooled = squares.sum() / max(left.sum(), 0.05 * total.sum())
    own = np.log(np.maximum(squares / np.maximum(left, 0.05 * total), LEAST_DISPERSION))
    share = left / (left + BORROWED)
    return np.asarray(np.exp(share * own + (1 - share) * np.log(max(pooled, LEAST_DISPERSION))))


def scatter_table(cells: Sandwich, screen: Screen) -> dict[str, dict[str, dict[str, float]]]:
    """Return, by day and fate, the weight that the scatter of its labels suggests, with a 99 % interval."""
    ratio, error = cells.scatter(screen.day)
    weight = 1 / np.maximum(np.diagonal(ratio, axis1=1, axis2=2), LEAST_DISPERSION)  # (D, F*)
    away = np.exp(norm.ppf((1 + SURE) / 2) * error)
    return {
        label: {
            fate: {
                "weight": weight[d, f],
                "low": weight[d, f] / away[d, f],
                "high": weight[d, f] * away[d, f],
            }
            for f, fate in enumerate(screen.fates[1:])
        }
        for d, label in enumerate(screen.day_labels)
    }


def dispersion_weight(cells: Sandwich, screen: Screen, by_day: Array | None) -> WeightEstimate:
    """Return one over the Pearson dispersion, with that of each day; for Dirichlet(c pi) labels c + 1.

    Where days have weights of their own, from ``by_day`` (`dispersion_by_day`), it is their level.
    """
    whole = cells.dispersion()
    of_day = cells.dispersions(screen.day) if by_day is None else by_day
    return WeightEstimate(
        1 / whole if by_day is None else weigh_days(screen, 1 / by_day)[1],
        parts={
            "dispersion": whole,
            "dispersion_by_day": {
                label: round(float(each), 6) for label, each in zip(screen.day_labels, of_day, strict=True)
            },
            "effective_parameters": round(cells.n_effective, 1),
        },
    )


def information_weight(cells: Sandwich) -> WeightEstimate:
    """Match informations, coefficient by coefficient of theta with everything else profiled out.

    For each theta with direction u (its column of the inverse Hessian), a = u' A u is the variance of its
    score at weight 1 under the model, b = sum_c (u' s_c)^2 that over the clusters. The weight is tr(A J^-1 A)
    / tr(A) with diagonal A = 1 / a and J = b / a^2, and 1 / b corrected for its upward bias with few clusters
    (1 - 2 / C of those that hold the gene). For Dirichlet(c pi) labels it is c + 1, less where clusters share
    noise.
    """
    found = score_scatter(cells)
    model, seen, held = found.expected, found.seen, found.clusters
    good = (model > NOTHING * found.variance) & (seen > 0) & (held > 4)
    if not good.any():
        return WeightEstimate(None, note="no gene has enough cells")
    model, seen, held = model[good], seen[good], held[good]
    single = model / seen * (1 - 2 / held)
    weight = float(np.average(single, weights=1 / model))
    share = (1 / model) / (1 / model).sum()
    error = float(np.sqrt((share**2 * (single - weight) ** 2).sum()))
    note = ""
    if not cells.clustered:
        note = (
            f"fewer than {FEWEST_CLUSTERS} clusters ({cells.n_clusters}) are too few to see shared noise; "
            "each cell counts by itself (data.cluster_key, or a neighbour graph in obsp, makes more)"
        )
    return WeightEstimate(
        weight,
        low=weight - norm.ppf((1 + SURE) / 2) * error,
        high=weight + norm.ppf((1 + SURE) / 2) * error,
        note=note,
        parts={"clustered": cells.clustered, "coefficients": int(good.sum())},
    )


def controls_weight(screen: Screen, cfg: Config, weight: float, mean: Array | None = None) -> WeightEstimate:
    """Return the weight at which NTC pseudo-genes' z scores have unit spread.

    Each part of the NTC guides is in turn grouped into pseudo-genes of the panel's usual size, which are
    fitted free like the genes at ``weight``, from the effects ``mean``, (size,), of the screen's own free fit
    where they are known. None with fewer than 6 NTC guides.
    """
    if len(screen.ntc_guide_names) < FEWEST_NTC:
        return WeightEstimate(None, note=_no_controls(len(screen.ntc_guide_names)))
    estimate: list[Array] = []
    labels: list[Array] = []
    spread: list[Array] = []
    correlated = 0.0
    n_parts = max(2, cfg.calibration.control_splits)
    for part in range(n_parts):
        split = pseudo_genes(screen, part=part, n_parts=n_parts, seed=cfg.seed)
        design = design_of(split, cfg.model)
        begin = None if mean is None else with_more_genes(design, design_of(screen, cfg.model), mean)
        fit = fit_broad(design, cfg.priors, weight, mean=begin)
        index = design.theta_index[screen.L :, screen.contrast_index]
        unit = np.zeros((design.size, index.size))
        unit[index.ravel(), np.arange(index.size)] = 1
        u = fit.curvature.solve_all(unit)
        prior = design.prior_precision(cfg.priors, fit.scale_precision)
        shared = weight * (u[index.ravel()] - u.T @ (prior @ u))  # if a cell were one draw
        of_labels = np.diagonal(shared).copy()
        correlated += float((shared**2 / np.outer(of_labels, of_labels)).sum())
        estimate.append(fit.mean[index].ravel())
        labels.append(of_labels)
        spread.append(u[index.ravel(), np.arange(index.size)])
    theta, of_labels, variance = (np.concatenate(each) for each in (estimate, labels, spread))
    known = variance < 1.0  # without cells on a day the estimate is the prior's
    n = int(known.sum())
    if n < 2 * screen.D:
        return WeightEstimate(None, note="fewer than two pseudo-genes have enough cells")
    # the labels' part of a variance goes as one over the weight
    square = float((theta[known] ** 2 / of_labels[known]).mean())
    # days of a pseudo-gene share its guides' deviations, so there are fewer independent squares than scores
    free = n * len(known) / correlated
    low, high = chi2.ppf([(1 - SURE) / 2, (1 + SURE) / 2], free) / free / square
    parts = {"z_scores": n, "independent": round(free, 1), "pseudo_genes": n // screen.D}
    return WeightEstimate(1 / square, float(low), float(high), parts=parts)
