"""Where a run's files are."""

from __future__ import annotations

import dataclasses
import shutil
import uuid
from collections.abc import Iterable
from pathlib import Path

from fatebias import names
from fatebias.errors import OutputError


@dataclasses.dataclass(frozen=True)
class RunPaths:
    """Every file of a run, as a property.

    Parameters
    ----------
    root
        The run's folder, ``out_dir``.
    """

    root: Path

    @property
    def gene_summary(self) -> Path:
        """Daywise effects and standard errors, what mash is given."""
        return self.root / names.GENE_SUMMARY_CSV

    @property
    def guide_summary(self) -> Path:
        """The same for each CRISPR guide."""
        return self.root / names.GUIDE_SUMMARY_CSV

    @property
    def marginal_effects(self) -> Path:
        """Changes of probability, averaged over cells."""
        return self.root / names.MARGINAL_CSV

    @property
    def posterior(self) -> Path:
        """Means and SDs of all effects, both contrasts, with names."""
        return self.root / names.POSTERIOR_NPZ

    @property
    def mash_out(self) -> Path:
        """What the discovery engine returned."""
        return self.root / names.MASH_OUT_CSV

    @property
    def hits(self) -> Path:
        """The ranked table."""
        return self.root / names.HITS_CSV

    @property
    def hits_plot(self) -> Path:
        """Picture of the top of the ranking."""
        return self.root / names.HITS_PNG

    @property
    def calls(self) -> Path:
        """What more there is to say of each gene: active days, sign changes, time course."""
        return self.root / names.CALLS_CSV

    def contrast(self, name: str) -> RunPaths:
        """Files of a further contrast; its folder has the name, slashes replaced."""
        return RunPaths(self.contrasts / name.replace("/", "_"))

    @property
    def contrasts(self) -> Path:
        """Folder of further contrasts."""
        return self.root / names.CONTRASTS_DIR

    @property
    def loss(self) -> Path:
        """The whole loss trace."""
        return self.root / names.LOSS_CSV

    @property
    def loss_plot(self) -> Path:
        """Picture of the loss trace."""
        return self.root / names.LOSS_PNG

    @property
    def screen_summary(self) -> Path:
        """What was read, what was dropped and why."""
        return self.root / names.SCREEN_SUMMARY_JSON

    @property
    def calibration(self) -> Path:
        """The weight that the data suggest, with its parts."""
        return self.root / names.CALIBRATION_JSON

    @property
    def heldout(self) -> Path:
        """The score on cells left out of the fit."""
        return self.root / names.HELDOUT_JSON

    @property
    def controls(self) -> Path:
        """Pseudo-genes of NTC guides, and what discovery made of them."""
        return self.root / names.CONTROLS_CSV

    @property
    def controls_plot(self) -> Path:
        """QQ plot of their z scores."""
        return self.root / names.CONTROLS_PNG

    @property
    def commitment(self) -> Path:
        """Effects on how far cells are committed, beside the contrast's."""
        return self.root / names.COMMITMENT_CSV

    @property
    def spike_in(self) -> Path:
        """Known effects in NTC pseudo-genes, and what discovery made of them."""
        return self.root / names.SPIKE_IN_CSV

    @property
    def spike_in_plot(self) -> Path:
        """Share of them that is called, by size."""
        return self.root / names.SPIKE_IN_PNG

    @property
    def bootstrap(self) -> Path:
        """Errors, signs and calls by the bootstrap."""
        return self.root / names.BOOTSTRAP_CSV

    @property
    def bootstrap_refits(self) -> Path:
        """Effects in each refit of the bootstrap."""
        return self.root / names.BOOTSTRAP_NPZ

    @property
    def jackknife(self) -> Path:
        """Errors by leaving out replicates or clusters."""
        return self.root / names.JACKKNIFE_CSV

    @property
    def concordance(self) -> Path:
        """How far replicates fitted apart agree."""
        return self.root / names.CONCORDANCE_CSV

    @property
    def config(self) -> Path:
        """The composed config."""
        return self.root / names.CONFIG_YAML

    @property
    def record(self) -> Path:
        """run.json."""
        return self.root / names.RUN_JSON

    @property
    def checkpoint(self) -> Path:
        """State of a fit that is running or was interrupted."""
        return self.root / "checkpoint.pt"

    @property
    def lock(self) -> Path:
        """Held while a run is at work in the folder."""
        return self.root / ".lock"


def set_aside(paths: RunPaths, outdated: Iterable[Path]) -> Path:
    """Move what belongs to an earlier fit out of the way, so that it does not pass for results of this one.

    Parameters
    ----------
    paths
        The run's files.
    outdated
        Files and folders below ``out_dir``; those that are absent are passed over.

    Returns
    -------
    Path
        The folder ``superseded``, where they are now, in place of what stood there under their names.
    """
    aside = paths.root / names.SUPERSEDED_DIR
    for path in outdated:
        if path.exists():
            final = aside / path.relative_to(paths.root)
            final.parent.mkdir(parents=True, exist_ok=True)
            if final.is_dir():
                shutil.rmtree(final)
            path.replace(final)
    return aside


def prepare_out_dir(root: Path) -> RunPaths:
    """Make the run's folder and see that files can be written there.

    Parameters
    ----------
    root
        The folder; its parents are made too.

    Returns
    -------
    RunPaths
        The paths below it.

    Raises
    ------
    OutputError
        When the folder cannot be made or written to.
    """
    probe = root / f".probe-{uuid.uuid4().hex[:8]}"
    try:
        root.mkdir(parents=True, exist_ok=True)
        try:
            probe.write_bytes(b"\0")  # a full disk may still make empty files
        finally:
            probe.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(
            "out_dir cannot be written",
            where=root,
            found=error.strerror or error,
            fix="free some room there, or give a folder that you may write to: out_dir=PATH",
        ) from error
    return RunPaths(root)
