"""One run from its config to ranked hits: load, fit, summarise, discover, rank.

A stage whose inputs, settings and code are unchanged, and whose files are still whole, is not done again.
What a run has to tell goes to run.json and to the journal in out_dir first, and to MLflow at the end.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import re
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from fatebias import names
from fatebias.checks.registry import CHECKS, Check
from fatebias.config import Config
from fatebias.discovery import stage
from fatebias.errors import DiscoveryError, OutputError
from fatebias.files.atomic import atomic_text, digest, sha256_file
from fatebias.files.paths import RunPaths, prepare_out_dir, set_aside
from fatebias.files.record import STOPPED, RunRecord
from fatebias.run import fit_stage
from fatebias.run.report import closing_words
from fatebias.tracking.describe import RunDescription, code_version, describe_run, run_key, without_password
from fatebias.tracking.follow import PATIENCE_S, Follower
from fatebias.tracking.spool import Spool

if TYPE_CHECKING:
    from fatebias.data.screen import Screen

log = logging.getLogger(__name__)

# Without these an entry of run.json is taken for that of no stage.
PARTS_OF_A_STAGE = {
    "fit": {"screen", "files", "diagnostics", "warnings", "likelihood_weight"},
    "discover": {"report"},
    **{check.name: {"report", "words", "of"} for check in CHECKS},
}
SHORT_PATIENCE_S = 5.0  # of a run that was stopped: Slurm may kill it soon
KEPT = "%s: inputs and settings unchanged, kept (resume=false does it again)"


def run(
    config: Config,
    *,
    overrides: Sequence[str] = (),
    choices: Mapping[str, str] | None = None,
    sweep_id: str | None = None,
) -> RunPaths:
    """Do the stages that the config names.

    Parameters
    ----------
    config
        Checked settings; `out_dir` must be set.
    overrides
        What the user typed, for the run's name in MLflow.
    choices
        Config group to the option chosen, for MLflow.
    sweep_id
        The same for all runs of a sweep, for MLflow.

    Returns
    -------
    RunPaths
        The run's files.

    Raises
    ------
    FatebiasError
        Whatever stopped the run; run.json and MLflow say so too.
    """
    if config.out_dir is None:
        raise ValueError("out_dir must be set before the pipeline runs")
    paths = prepare_out_dir(Path(config.out_dir))
    try:
        with FileLock(paths.lock, blocking=False):
            return _Run(config, paths, describe_run(config, overrides, choices or {}, sweep_id=sweep_id)).go()
    except Timeout:
        raise OutputError(
            "another run is at work in this folder",
            where=paths.root,
            fix="wait for it, or give another out_dir",
        ) from None


class _Run:
    """State that the stages of one run share."""

    def __init__(self, config: Config, paths: RunPaths, description: RunDescription) -> None:
        self.config, self.paths, self.description = config, paths, description
        self.record = RunRecord(paths)
        self.spool: Spool | None = None
        self.follower: Follower | None = None
        self.screen: Screen | None = None
        self.begun = time.perf_counter()
        self.loading = 0.0

    def go(self) -> RunPaths:
        """Run the stages, and leave word of how it went whatever happens."""
        from omegaconf import OmegaConf

        self.record.start(command=[without_password(word) for word in sys.argv], seed=self.config.seed)
        settings = OmegaConf.to_yaml(OmegaConf.structured(self.config))
        atomic_text(self.paths.config, without_password(settings))
        try:
            if "fit" in self.config.stages:
                self._fit()
            if "discover" in self.config.stages:
                self._discover()
            self._set_outdated_checks_aside()
            for check in CHECKS:
                self._check(check)
        except BaseException as error:
            why = str(error) or type(error).__name__
            if not isinstance(error, Exception):
                why = STOPPED if isinstance(error, SystemExit) else "interrupted from the keyboard"
            with contextlib.suppress(OutputError):  # no room: the error that ended the run is to be told
                self.record.fail(why)
                self._track("failed" if isinstance(error, Exception) else "killed", why)
            raise
        self.record.finish()
        self._track("finished")
        log.info("done in %.1f s", time.perf_counter() - self.begun)
        log.info("%s", closing_words(self.paths, self.record.content))
        return self.paths

    def _load(self) -> Screen:
        from fatebias.data.load import load_screen

        if self.screen is None:
            begun = time.perf_counter()
            self.screen = load_screen(self.config.data, self.config.priors, self.paths.root)
            self.loading = time.perf_counter() - begun
        return self.screen

    def _fit(self) -> None:
        from fatebias.checks.resample_stage import check
        from fatebias.data.load import source_files
        from fatebias.data.reading.summary import render_summary

        config = self.config
        screen = self._load()
        log.info("the screen\n%s", render_summary(screen.summary))
        if "resample" in config.stages:
            check(screen, config.calibration)
        described = fit_stage.describe_screen(screen)
        self._open_journal(described["fingerprint"])
        key = self._fit_key(described["fingerprint"])
        if config.resume and self.record.is_current("fit", key):
            log.info(KEPT, "fit")
            return
        files = source_files(config.data, config.priors, self.paths.root)
        with self._stage("fit", key, fit_stage.fit_outputs(self.paths)) as entry:
            entry |= {"screen": described, "load_seconds": round(self.loading, 3)}
            sources = {"data": files.adata, "guide_map": files.guide_map}
            entry |= fit_stage.fit(screen, config, self.paths, sources, key)
        if "discover" not in config.stages:
            self._set_stale_hits_aside()

    def _fit_key(self, fingerprint: str) -> str:
        """Hash all that decides what the fit gives."""
        settings: dict[str, Any] = dataclasses.asdict(self.config)
        groups = ("priors", "model", "likelihood_weight", "seed", "device", "export")
        deciding = {name: settings[name] for name in groups}
        deciding["calibration"] = {key: settings["calibration"][key] for key in ("method", "control_splits")}
        deciding["inference"] = {**settings["inference"], "progress": None, "checkpoint_every_s": None}
        return digest({**deciding, "data": fingerprint, "code": code_version()})

    def _check(self, check: Check) -> None:
        """Hold the fit against something, as far as asked for and possible."""
        if check.name not in self.config.stages or not check.wanted(self.config):
            return
        absent = [stage for stage in check.needs if not self._noted(stage)]
        if absent:
            log.warning("no %s: it needs %s, not done in this folder", check.name, " and ".join(absent))
            return
        screen = self._load()
        lacking = check.lacks(screen)
        if lacking is not None:
            log.log(logging.INFO if check.unasked else logging.WARNING, "no %s: %s", check.name, lacking)
            return
        deciding = check.deciding(self.config, screen, self.paths)
        key = digest({"fit": self._fit_key(screen.fingerprint()), "deciding": deciding})
        if self.config.resume and self.record.is_current(check.name, key):
            log.info(KEPT, check.name)
            return
        config = check.config(self.config, self._noted("fit"))
        with self._stage(check.name, key, check.outputs(self.config, self.paths)) as entry:
            entry["of"] = self._keys(check.follows)
            entry["report"] = check.do(screen, config, self.paths)
            entry["words"] = check.words(entry["report"])
        for line in entry["words"].splitlines():
            log.info("%s", line)

    def _keys(self, names: Sequence[str]) -> dict[str, str]:
        """Look up what stands for the outcome of stages that are done."""
        return {name: entry["key"] for name in names if (entry := self._noted(name))}

    def _set_outdated_checks_aside(self) -> None:
        """Keep checks of an earlier fit or discovery from passing for those of this one."""
        for check in CHECKS:
            entry = self.record.content["stages"].get(check.name)
            if entry is None or entry.get("of", {}).items() <= self._keys(check.follows).items():
                continue
            outputs = [self.paths.root / name for name in entry.get("outputs", {})]
            aside = set_aside(self.paths, outputs)
            del self.record.content["stages"][check.name]
            self.record.update()
            log.info("%s: that of an earlier fit or discovery is now in %s", check.name, aside)

    def _set_stale_hits_aside(self) -> None:
        """Keep hits of an earlier fit from passing for those of this one."""
        found = self.record.content["stages"].get("discover")
        if found is None or found.get("summary") == self._gene_summary_hash():
            return
        aside = set_aside(self.paths, [*fit_stage.discover_outputs(self.paths), self.paths.contrasts])
        del self.record.content["stages"]["discover"]
        self.record.update()
        log.warning("the hits in this folder were those of an earlier fit; they are now in %s", aside)

    def _discover(self) -> None:
        from fatebias.discovery.engine import choose_engine

        config = self.config.discovery
        summary = self._gene_summary_hash()
        screen = self._noted("fit").get("screen", {})
        self._open_journal(screen.get("fingerprint", summary))
        se = self._noted("fit").get("se", "posterior")
        engine, _ = choose_engine(config, n_genes=2)
        key = digest(
            {
                "settings": dataclasses.asdict(config),
                "data": summary,
                "se": se,
                "engine": engine,
                "code": code_version(),
            }
        )
        if self.config.resume and self.record.is_current("discover", key):
            log.info(KEPT, "discover")
            return
        with self._stage("discover", key, fit_stage.discover_outputs(self.paths, config.contrasts)) as entry:
            entry["summary"] = summary
            entry["report"] = stage.discover(
                config,
                self.paths,
                se=se,
                day_labels=screen.get("day_labels") or (),
                fate=screen.get("contrast"),
                against=(screen.get("fates") or [None])[0],
            )

    def _gene_summary_hash(self) -> str:
        try:
            return sha256_file(self.paths.gene_summary)
        except FileNotFoundError:
            raise DiscoveryError(
                f"there is no {names.GENE_SUMMARY_CSV} to work from",
                where=self.paths.root,
                fix="run the fit first: stages=[fit,discover], or give the out_dir of a finished fit",
            ) from None

    def _noted(self, stage: str) -> dict[str, Any]:
        """Look up what run.json says of a stage that is done, in this run or an earlier one."""
        entry: dict[str, Any] = self.record.content["stages"].get(stage, {})
        whole = entry.get("status") == "done" and set(entry) >= PARTS_OF_A_STAGE[stage]
        return entry if whole else {}

    def _open_journal(self, fingerprint: str) -> None:
        if self.config.tracking.backend != "off" and self.spool is None:
            self.spool = Spool.begin(
                self.paths.tracking,
                name=self.description.name,
                experiment=self.config.tracking.experiment,
                run_key=run_key(self.config, fingerprint),
                params=self.description.params,
                tags={**self.description.tags, "data_fingerprint": fingerprint},
                planned_steps=self.config.inference.num_steps,
            )

    def _stage(
        self, name: str, key: str, outputs: list[Path]
    ) -> contextlib.AbstractContextManager[dict[str, Any]]:
        """Begin a stage, which a server (tracking=server) shows while it goes on."""
        if self.spool is not None and self.follower is None:
            self.follower = Follower(self.paths.root, self.config.tracking)
            self.follower.start()
        return self.record.stage(name, key, outputs)

    def _track(self, status: str, why: str | None = None) -> None:
        """Close the journal and bring it to MLflow; a failure there is said and costs nothing else."""
        if self.config.tracking.backend == "off":
            return
        self._open_journal("unread")  # where the data could not be read
        spool = self.spool
        assert spool is not None
        fit, report = self._noted("fit"), self._noted("discover").get("report", {})
        if fit:
            spool.tag({f"{name}_sha256": file["sha256"] for name, file in fit["files"].items()})
            spool.tag({"converged": not fit["warnings"]})
            figures = {k: v for k, v in fit["diagnostics"].items() if isinstance(v, (int, float))}
            figures |= {name: fit[name] for name in ("likelihood_weight", "suggested_weight") if name in fit}
            spool.metrics({f"final/{name}": float(value) for name, value in figures.items()})
            spool.metrics({"final/fit_s": fit["seconds"]})
        if report:
            spool.tag({"discovery_engine": report["engine"], "discovery_method": report["method"]})
            spool.metrics({"final/n_hits": report["n_hits"], "final/mash_loglik": report["loglik"]})
            for name, found in report.get("contrasts", {}).items():
                plain = re.sub(r"[^\w.-]", "_", name, flags=re.ASCII)  # what MLflow takes for a name
                spool.metrics({f"final/n_hits_{plain}": found["n_hits"]})
        record = self.record  # what is kept from an earlier run counts with its own time
        spool.metrics(
            {"final/wall_s": record.wall_seconds(), "final/peak_memory_mb": record.peak_memory_mb()}
        )
        files = [self.paths.config, *fit_stage.fit_outputs(self.paths)]
        files += fit_stage.discover_outputs(self.paths, self.config.discovery.contrasts) if report else []
        for check in CHECKS:
            if checked := self._noted(check.name).get("report"):
                figures = check.figures(checked)
                spool.metrics({f"final/{name}": value for name, value in figures.items()})
                files += check.outputs(self.config, self.paths)
        for path in (*files, self.paths.record):
            if path.is_file():
                spool.artifact(path)
        spool.finish(status, why)
        follower = self.follower or Follower(self.paths.root, self.config.tracking)
        follower.finish(SHORT_PATIENCE_S if status == "killed" else PATIENCE_S)
