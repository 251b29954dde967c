"""The methods paragraph, with this run's settings, and the papers it rests on."""

from __future__ import annotations

from typing import Any

import numpy as np

from fatebias.report.content import ContrastResults, Methods
from fatebias.report.run_files import RunFiles
from fatebias.report.text import count, listed, plain
from fatebias.report.verdict import against_average

PAPKE = (
    "Papke LE, Wooldridge JM. Econometric methods for fractional response variables with an application to "
    "401(k) plan participation rates. J Appl Econometrics 11:619 (1996)."
)
URBUT = (
    "Urbut SM, Wang G, Carbonetto P, Stephens M. Flexible statistical methods for estimating and testing "
    "effects in genomic studies with multiple conditions. Nat Genet 51:187 (2019). "
    "doi:10.1038/s41588-018-0268-8."
)
STEPHENS = (
    "Stephens M. False discovery rates: a new deal. Biostatistics 18:275 (2017). "
    "doi:10.1093/biostatistics/kxw041."
)
PYRO = "Bingham E, et al. Pyro: deep universal probabilistic programming. J Mach Learn Res 20:28 (2019)."
LYDDON = (
    "Lyddon SP, Holmes CC, Walker SG. General Bayesian updating and the loss-likelihood bootstrap. "
    "Biometrika 106:465 (2019). doi:10.1093/biomet/asz006."
)
INFERENCE = {
    "svi": "by stochastic variational inference from an empirical-Bayes Laplace solution "
    "(Pyro; Bingham et al. 2019)",
    "svi_meanfield": "by mean-field stochastic variational inference (Pyro; Bingham et al. 2019)",
    "laplace": "by an empirical-Bayes Laplace approximation",
    "nuts": "by the No-U-Turn sampler (Pyro; Bingham et al. 2019)",
}
CORRELATION = {
    "simple": "the error correlation between days estimated from genes without effect",
    "identity": "errors taken as independent between days",
    "fit": "the error correlation between days averaged over the fit's genes",
    "per_gene": "each gene's own error correlation between days, from the fit",
}
PATTERNS = {
    "canonical": "canonical",
    "days": "canonical patterns and patterns of effects on some days, with onsets, ends and sign changes, as",
    "datadriven": "canonical and data-driven",
    "learnt": "canonical patterns, patterns of days and learnt patterns as",
}


def methods(run: RunFiles, contrasts: list[ContrastResults], rule: str) -> Methods:
    """Return the paragraph, its references, and what the author has to add."""
    parts = [_model(run), _weight(run), _inference(run), _export(run), _discovery(run, contrasts, rule)]
    references = [PAPKE, *([PYRO] if _method(run) != "laplace" else [])]
    if (run.calibration or {}).get("method") == "information":
        references.append(LYDDON)
    references += [*([URBUT] if run.discovery.get("method") == "mashr" else []), STEPHENS]
    return Methods(
        " ".join(part for part in parts if part),
        tuple(references),
        "Add how the fate probabilities were computed (for CellRank: Lange et al. 2022, Weiler et al. 2024), "
        "how guides were assigned to cells, and how cells were filtered before.",
    )


def _model(run: RunFiles) -> str:
    screen = run.fit.get("screen")
    if not screen:
        return "Daywise effects and their standard errors were estimated beforehand."
    fates = [str(fate) for fate in screen["fates"]]
    ntc = "" if run.screen is None else f" and {count(run.screen['guides']['ntc'], 'non-targeting guide')}"
    days = [str(day) for day in screen["day_labels"]]
    over_time = " that follow a random walk over days" if len(days) > 1 else ""
    return (
        f"Fate probabilities ({listed(fates)}) of {screen['cells']:,} cells from {count(len(days), 'day')} "
        f"({listed(days)}) and {count(len(screen['rep_labels']), 'replicate')} were modelled with fatebias "
        f"{run.record.get('versions', {}).get('fatebias', '')}: each cell's probabilities enter as soft "
        "labels of a multinomial logistic regression (Papke and Wooldridge 1996) with "
        f"{fates[0]} as the reference, with intercepts by day, effects of replicates, a slope for the number "
        f"of guides in the cell, effects of genes{over_time} "
        f"and deviations of guides ({screen['guides']:,} guides for {screen['genes']:,} genes{ntc}; "
        "non-targeting guides have no effect)."
    )


def _weight(run: RunFiles) -> str:
    used = run.fit.get("likelihood_weight")
    if used is None:
        return ""
    if run.asked.get("likelihood_weight") != "auto":
        return f"The weight of a soft label was {plain(float(used))}."
    by = {
        "dispersion": "the Pearson dispersion of the labels",
        "information": "information by clusters (Lyddon et al. 2019)",
        "controls": "the scatter of non-targeting pseudo-genes",
    }.get((run.calibration or {}).get("method", ""), "the data")
    days = ", day by day" if (run.calibration or {}).get("by_day") else ""
    return f"The weight of a soft label, {plain(float(used))}, was estimated from {by}{days}."


def _method(run: RunFiles) -> str:
    inference: dict[str, Any] = run.asked.get("inference", {})
    return str(inference.get("method", "svi"))


def _inference(run: RunFiles) -> str:
    if not run.fit:
        return ""
    how = INFERENCE.get(_method(run), f"by {_method(run)}")
    return f"The posterior was found {how}."


def _export(run: RunFiles) -> str:
    export = run.asked.get("export", {})
    if not run.fit or export.get("estimates") != "unshrunken":
        return "Posterior means and SDs of the daywise effects were passed on." if run.fit else ""
    guides = (
        ", with guides that may be inactive and whose spread may differ between genes and days"
        if export.get("guides") == "mixture"
        else ""
    )
    errors = " with robust (sandwich) standard errors" if export.get("se") == "sandwich" else ""
    baseline = " Effects are against the average gene." if against_average(run) else ""
    told = f"Daywise effects without the shrinkage of the random walk were passed on{errors}{guides}."
    return told + baseline


def _correlation(run: RunFiles) -> str:
    """Return how errors were taken to be correlated; too few genes without effect leave the identity."""
    found = run.discovery.get("V")
    if found is not None and np.array_equal(found, np.eye(len(found))):
        return "identity"
    return str(run.config.get("discovery", {}).get("null_correlation", ""))


def _discovery(run: RunFiles, contrasts: list[ContrastResults], rule: str) -> str:
    settings = run.config.get("discovery", {})
    engine = "R package mashr" if run.discovery.get("engine") == "rscript" else "fatebias' own implementation"
    if run.discovery.get("method") != "mashr":
        shared = (
            f"Each day was judged by adaptive shrinkage (Stephens 2017; {engine.replace('mashr', 'ashr')})"
        )
    else:
        patterns = PATTERNS.get(settings.get("covariances", ""), "")
        correlation = CORRELATION.get(_correlation(run), "")
        shared = (
            "Effects were shared between days by multivariate adaptive shrinkage (mash; Urbut et al. 2019; "
            f"{engine}) with {patterns} prior covariances{' and ' if correlation else ''}{correlation}"
        )
    titles = listed([each.title for each in contrasts])
    return (
        f"{shared}, for {titles}. A gene was called on a day where {rule} "
        "(lfsr: local false sign rate; Stephens 2017)."
    )
