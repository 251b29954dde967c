"""Every file that a run writes under ``out_dir``, in the order in which a reader looks at them.

The one table behind `RunPaths`, the closing lines of a run, what MLflow keeps and docs/outputs.md: a new file
is a new row here and nowhere else.
"""

from __future__ import annotations

from typing import NamedTuple


class Output(NamedTuple):
    """One file: its name in the code, its name on disk, the stage that writes it, what it holds."""

    name: str
    file: str
    stage: str
    words: str
    closing: bool = True  # named in the last lines of a run


OUTPUTS: tuple[Output, ...] = (
    Output("report", "report.html", "", "the report: open it in a browser, start here"),
    Output("hits", "hits_ranked.csv", "discover", "ranked hits"),
    Output("hits_plot", "hits.png", "discover", "picture of the top of the ranking"),
    Output("calls", "gene_calls.csv", "discover", "active days, time course, sign changes, least effects"),
    Output("mash_out", "gene_summary_mash_out.csv", "discover", "posterior of every effect", closing=False),
    Output("gene_summary", "gene_summary_for_mash.csv", "fit", "daywise effects and standard errors"),
    Output("guide_summary", "guide_summary.csv", "fit", "the same for each CRISPR guide"),
    Output("marginal_effects", "marginal_effects.csv", "fit", "effects in probability, averaged over cells"),
    Output("replicate_effects", "replicate_effects.csv", "fit", "effects by replicate", closing=False),
    Output("guides_other_fates", "guides_other_fates.csv", "fit", "guides on further fates", closing=False),
    Output(
        "replicates_other_fates",
        "replicates_other_fates.csv",
        "fit",
        "replicates on further fates",
        closing=False,
    ),
    Output("posterior", "posterior.npz", "fit", "effects on all fates, with their covariance"),
    Output("days", "days.csv", "fit", "which column is which day", closing=False),
    Output("calibration", "calibration.json", "fit", "likelihood weight that the data suggest"),
    Output("loss", "loss_trace.csv", "fit", "loss of every step", closing=False),
    Output("loss_plot", "loss.png", "fit", "picture of the loss", closing=False),
    Output("screen_summary", "screen_summary.json", "fit", "what was read and dropped", closing=False),
    Output("controls", "controls.csv", "controls", "calibration check: NTC pseudo-genes and their calls"),
    Output("controls_plot", "controls.png", "controls", "QQ plot of their z scores", closing=False),
    Output("commitment", "commitment.csv", "commitment", "effects on commitment: bias or delay"),
    Output("spike_in", "spike_in.csv", "spike_in", "power check: known effects and their calls"),
    Output("spike_in_plot", "spike_in.png", "spike_in", "share of them called, by size", closing=False),
    Output("heldout", "heldout.json", "heldout", "score on cells left out of the fit"),
    Output("bootstrap", "bootstrap.csv", "resample", "errors, signs and calls by the bootstrap"),
    Output("bootstrap_refits", "bootstrap_refits.npz", "resample", "effects in each refit", closing=False),
    Output("jackknife", "jackknife.csv", "resample", "errors by leaving out replicates or clusters"),
    Output("concordance", "concordance.csv", "resample", "agreement of replicates fitted apart"),
    Output("permutation", "permutation_fdr.csv", "", "hits beside those of shuffled guides", closing=False),
    Output("metrics", "metrics.json", "", "the run's figures by name, for pipelines", closing=False),
    Output("record", "run.json", "", "what ran, and how it ended"),
    Output("config", "config.yaml", "", "settings of the run", closing=False),
)
PLACES = {output.name: output.file for output in OUTPUTS}


def of_stage(stage: str) -> tuple[str, ...]:
    """Return the names of the files that a stage may write."""
    return tuple(output.name for output in OUTPUTS if output.stage == stage)
