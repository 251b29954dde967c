"""One run from its config to ranked hits: read, fit, discover, check.

A stage whose inputs, settings and code are unchanged, and whose files are still whole, is not done again.
run.json says how the run goes, at any time; MLflow is told at the end.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fatebias.api.fitting import describe_screen
from fatebias.api.results import config_yaml
from fatebias.checks.base import Check, own_discovery
from fatebias.checks.registry import CHECKS
from fatebias.config import Config
from fatebias.errors import DataError, DiscoveryError, OutputError
from fatebias.estimates.day_weights import weigh_as_fitted
from fatebias.files.atomic import atomic_json, atomic_text, digest, sha256_file
from fatebias.files.lock import one_run
from fatebias.files.paths import RunPaths, prepare_out_dir, remove_drafts, set_aside
from fatebias.files.record import STOPPED, RunRecord
from fatebias.run import discover_stage, fit_stage
from fatebias.run.continued import continue_from
from fatebias.run.report import closing_lines
from fatebias.signals import as_exceptions
from fatebias.tracking.describe import InSweep, RunDescription, code_version, describe_run
from fatebias.tracking.figures import as_json
from fatebias.tracking.password import without_password
from fatebias.tracking.tracker import Tracker

if TYPE_CHECKING:
    from fatebias.data.screen import Screen
    from fatebias.report.run_files import RunFiles

log = logging.getLogger(__name__)

# An entry of run.json that lacks one of these was written by another version: the stage counts as not done.
PARTS_OF_A_STAGE = {
    "fit": {"screen", "files", "diagnostics", "warnings", "likelihood_weight"},
    "discover": {"report"},
    **{check.name: {"report", "words", "of"} for check in CHECKS},
}
KEPT = "%s: inputs and settings unchanged, kept (resume=false does it again)"


def run(
    config: Config,
    *,
    overrides: Sequence[str] | None = None,
    choices: Mapping[str, str] | None = None,
    sweep: InSweep | None = None,
) -> RunPaths:
    """Do the stages that the config names and return the run's files.

    `overrides` are the settings that the user typed: a run without the stage fit takes all others from the
    fit in its folder (None takes `config` as it is). `choices` (config group to option) and `sweep`
    are for MLflow. Raises FatebiasError, which run.json and MLflow record too.
    """
    if config.out_dir is None:
        raise ValueError("out_dir must be set before the pipeline runs")
    paths = prepare_out_dir(Path(config.out_dir))
    with one_run(paths.lock), as_exceptions():
        remove_drafts(paths)
        fitted = RunRecord(paths).content["stages"].get("fit", {}).get("settings")
        if "fit" not in config.stages and overrides is not None and fitted:
            config = continue_from(config, overrides, fitted)
        description = describe_run(config, overrides or (), choices or {}, sweep=sweep)
        return _Run(config, paths, description).go()


class _Run:
    """What the stages of one run share."""

    def __init__(self, config: Config, paths: RunPaths, description: RunDescription) -> None:
        self.config, self.paths = config, paths
        self.record = RunRecord(paths)
        self.tracker = Tracker(config, self.record, description)
        self.preset = description.choices.get("experiment")
        self.screen: Screen | None = None
        self.begun = time.perf_counter()
        self.loading = 0.0

    def go(self) -> RunPaths:
        """Run the stages, and record how the run ended whatever happens."""
        self.record.start(command=[without_password(word) for word in sys.argv], seed=self.config.seed)
        self._write_config()
        self.paths.metrics.unlink(missing_ok=True)  # a pipeline that waits for it gets this run's
        try:
            if "fit" in self.config.stages:
                self._fit()
            if "discover" in self.config.stages:
                self._discover()
            self._set_outdated_checks_aside()
            for check in CHECKS:
                self._check(check)
            found = self._report()
        except BaseException as error:
            why = str(error) or type(error).__name__
            if isinstance(error, SystemExit):
                why = STOPPED
                log.warning("finished stages are kept: type the same command again")
            elif not isinstance(error, Exception):
                why = "interrupted from the keyboard"
            with contextlib.suppress(OutputError):  # a full disk must not hide the error that ended the run
                self.tracker.close("failed" if isinstance(error, Exception) else "killed", why)
                self.record.fail(why)
                self.tracker.send()
            raise
        atomic_json(self.paths.metrics, as_json(self.record))
        self.tracker.close("finished")
        self.record.finish()
        self.tracker.send()
        log.info("done in %.1f s", time.perf_counter() - self.begun)
        log.info("%s", closing_lines(self.paths, self.record.content, found))
        return self.paths

    def _write_config(self) -> None:
        atomic_text(self.paths.config, without_password(config_yaml(self.config)))

    def _load(self) -> Screen:
        from fatebias.data.load import load_once

        if self.screen is None:
            begun = time.perf_counter()
            self.screen = load_once(self.config.data, self.config.priors, self.paths.root)
            self.loading = time.perf_counter() - begun
            if self.screen.settings not in (None, self.config.data):  # the screen names its fates itself
                self.config.data = self.screen.settings
                self._write_config()
        return self.screen

    def _fit(self) -> None:
        from fatebias.data.load import source_files
        from fatebias.data.reading.summary import render_summary

        config = self.config
        screen = self._load()
        log.info("the screen\n%s", render_summary(screen.summary))
        for check in CHECKS:
            if check.name in config.stages:
                check.require(screen, config)
        described = describe_screen(screen)
        self.tracker.begin(described["fingerprint"])
        key = self._fit_key(described["fingerprint"])
        if config.resume and self.record.is_current("fit", key):
            log.info(KEPT, "fit")
            return
        files = source_files(config.data, config.priors, self.paths.root)
        with self._stage("fit", key, self.paths.stage("fit")) as entry:
            entry |= {"screen": described, "load_seconds": round(self.loading, 3)}
            calls = None if config.data.guide_calls is None else Path(config.data.guide_calls)
            named = {"data": files.adata, "guide_map": files.guide_map, "guide_calls": calls}
            sources = {name: path for name, path in named.items() if path is not None and path.exists()}
            entry |= fit_stage.fit(screen, config, self.paths, sources, key)
        if "discover" not in config.stages:
            self._set_stale_hits_aside()

    def _fit_key(self, fingerprint: str) -> str:
        """Return the digest of everything that decides the fit."""
        settings: dict[str, Any] = dataclasses.asdict(self.config)
        groups = ("priors", "model", "likelihood_weight", "seed", "device", "export")
        deciding = {name: settings[name] for name in groups}
        deciding["calibration"] = {key: settings["calibration"][key] for key in ("method", "control_splits")}
        deciding["inference"] = {**settings["inference"], "progress": None, "checkpoint_every_s": None}
        return digest({**deciding, "data": fingerprint, "code": code_version()})

    def _check(self, check: Check) -> None:
        """Do one check of the fit, where it is asked for and the screen allows it."""
        if check.name not in self.config.stages or not check.wanted(self.config):
            return
        absent = [stage for stage in check.needs if not self._noted(stage)]
        if absent:
            log.warning("no %s: it needs %s, not done in this folder", check.name, " and ".join(absent))
            return
        screen = self._load()
        lacking = check.lacks(screen)
        if lacking is not None:
            log.log(logging.INFO if check.by_default else logging.WARNING, "no %s: %s", check.name, lacking)
            return
        deciding = check.deciding(self.config, screen, self.paths)
        key = digest({"fit": self._fit_key(screen.fingerprint()), "deciding": deciding})
        if self.config.resume and self.record.is_current(check.name, key):
            log.info(KEPT, check.name)
            return
        fitted = self._noted("fit")
        self._same_screen(screen, fitted)
        self.tracker.begin(screen.fingerprint())
        if check.as_fitted:
            screen = weigh_as_fitted(screen, fitted)
        weight = check.weight(fitted)
        with self._stage(check.name, key, check.outputs(self.config, self.paths)) as entry:
            entry["of"] = self._keys(check.follows)
            config = self._with_baseline(fitted) if check.as_fitted else self.config
            entry["report"] = check.run(screen, config, weight, self.paths)
            entry["words"] = check.summary_line(entry["report"])

    def _with_baseline(self, fitted: Mapping[str, Any]) -> Config:
        """Return the settings with the baseline that the fit took: a check with fewer NTC guides may not."""
        if self.config.export.baseline != "auto" or "baseline" not in fitted:
            return self.config
        export = dataclasses.replace(self.config.export, baseline=fitted["baseline"])
        return dataclasses.replace(self.config, export=export)

    def _same_screen(self, screen: Screen, fitted: Mapping[str, Any]) -> None:
        """Refuse to check a fit with other data than it was made of."""
        found = fitted.get("screen", {}).get("fingerprint")
        if found is not None and found != screen.fingerprint():
            raise DataError(
                "the screen is not the one that was fitted",
                where=self.paths.root,
                found=f"{self.config.data.adata_path or self.config.data.source}, read with these settings",
                fix="give the data of the fit, or fit again: add fit to stages",
            )

    def _keys(self, names: Sequence[str]) -> dict[str, str]:
        """Return the digests of the finished stages among `names`, of discovery that of the own contrast."""
        return {name: entry.get("own_key", entry["key"]) for name in names if (entry := self._noted(name))}

    def _set_outdated_checks_aside(self) -> None:
        """Move checks of an earlier fit or discovery out of the way of this one's."""
        for check in CHECKS:
            entry = self.record.content["stages"].get(check.name)
            if entry is None or entry.get("of", {}).items() <= self._keys(check.follows).items():
                continue
            outputs = [self.paths.root / name for name in entry.get("outputs", {})]
            aside = set_aside(self.paths, outputs)
            del self.record.content["stages"][check.name]
            self.record.update()
            log.info("%s: results of an earlier fit or discovery are now in %s", check.name, aside)

    def _set_stale_hits_aside(self) -> None:
        """Move hits of an earlier fit out of the way of this one's."""
        found = self.record.content["stages"].get("discover")
        if found is None or found.get("summary") == self._gene_summary_hash():
            return
        aside = set_aside(self.paths, [*self.paths.discovery(), self.paths.contrasts])
        del self.record.content["stages"]["discover"]
        self.record.update()
        log.warning("the hits in this folder belonged to an earlier fit; they are now in %s", aside)

    def _discover(self) -> None:
        from fatebias.discovery.engine import choose_engine

        config = self.config.discovery
        summary = self._gene_summary_hash()
        screen = self._noted("fit").get("screen", {})
        self.tracker.begin(screen.get("fingerprint", summary))
        se = self._noted("fit").get("se", "posterior")
        engine, _ = choose_engine(config, n_genes=2)
        of_own = digest({"settings": own_discovery(self.config), "data": summary, "se": se,
                         "engine": engine, "code": code_version()})  # fmt: skip
        key = digest({"own": of_own, "contrasts": config.contrasts})
        if self.config.resume and self.record.is_current("discover", key):
            log.info(KEPT, "discover")
            return
        other = [self.paths.permutation, *([] if self.config.plots else [self.paths.figures])]
        set_aside(self.paths, other)  # of other results
        with self._stage("discover", key, discover_stage.outputs(config, self.paths)) as entry:
            entry["summary"] = summary
            entry["own_key"] = of_own
            entry["report"] = discover_stage.discover(
                config,
                self.paths,
                se=se,
                day_labels=screen.get("day_labels") or (),
                fate=screen.get("contrast"),
                against=(screen.get("fates") or [None])[0],
                settings=self._picture_line(),
            )

    def _picture_line(self) -> str:
        """Return the preset and the weight of soft labels, for the title of a picture."""
        weight = self._noted("fit").get("likelihood_weight")
        parts = [f"experiment={self.preset}"] if self.preset else []
        parts += [f"likelihood_weight {weight:.3g}"] if weight is not None else []
        return ", ".join(parts)

    def _report(self) -> RunFiles | None:
        """Write report and figures, or set those of an earlier run aside; failures cost nothing else.

        Return the files that they show, for the closing lines; None where there are none or they are torn.
        """
        found = None
        if not self._noted("discover"):
            set_aside(self.paths, [self.paths.report, self.paths.figures])
            return None
        try:
            from fatebias.report.page import write_page
            from fatebias.report.run_files import read_run

            found = read_run(self.paths.root)
            write_page(found)
        except Exception as error:  # whatever it is: hours of fitting must not end in it
            with contextlib.suppress(OSError):
                set_aside(self.paths, [self.paths.report])
            log.warning("no %s, all other results are there: %s", self.paths.report.name, error)
        if found is None:
            return None
        try:
            from fatebias.report.figures import write_figures

            write_figures(found, self.config.plots)
        except Exception as error:  # as above
            log.warning("not all of %s/, all other results are there: %s", self.paths.figures.name, error)
        return found

    def _gene_summary_hash(self) -> str:
        try:
            return sha256_file(self.paths.gene_summary)
        except FileNotFoundError:
            raise DiscoveryError(
                f"there is no {self.paths.gene_summary.name} to discover from",
                where=self.paths.root,
                fix="run the fit first: stages=[fit,discover], or give the out_dir of a finished fit",
            ) from None

    def _noted(self, stage: str) -> dict[str, Any]:
        """Return run.json's entry of a finished stage, of this run or an earlier one; else empty."""
        entry: dict[str, Any] = self.record.content["stages"].get(stage, {})
        whole = entry.get("status") == "done" and set(entry) >= PARTS_OF_A_STAGE[stage]
        return entry if whole else {}

    def _stage(
        self, name: str, key: str, outputs: list[Path]
    ) -> contextlib.AbstractContextManager[dict[str, Any]]:
        self.tracker.stage_begins()
        return self.record.stage(name, key, outputs)
