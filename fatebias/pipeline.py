"""One run from its config to ranked hits: load, fit, summarise, discover, rank.

A stage whose inputs, settings and code are unchanged, and whose files are still whole, is not done again.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from fatebias import names
from fatebias.artifacts import (
    RunPaths,
    RunRecord,
    atomic_json,
    atomic_path,
    atomic_text,
    digest,
    peak_memory_mb,
    prepare_out_dir,
    sha256_file,
)
from fatebias.config import Config
from fatebias.errors import DiscoveryError, explain
from fatebias.tracking.describe import code_version, describe_run, run_key
from fatebias.tracking.spool import Spool

log = logging.getLogger(__name__)

HASHED_UP_TO_BYTES = 1e9
SHOWN_HITS = 10


def run(config: Config, *, overrides: Sequence[str] = (), choices: Mapping[str, str] | None = None) -> RunPaths:
    """Do the stages that the config names.

    Parameters
    ----------
    config
        Checked settings; `out_dir` must be set.
    overrides
        What the user typed, for the run's name in MLflow.
    choices
        Config group to the option chosen, for MLflow.

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
    return _Run(config, paths, overrides, choices or {}).go()


class _Run:
    """State that the stages of one run share."""

    def __init__(
        self, config: Config, paths: RunPaths, overrides: Sequence[str], choices: Mapping[str, str]
    ) -> None:
        self.config, self.paths = config, paths
        self.description = describe_run(config, overrides, choices)
        self.record = RunRecord(paths)
        self.spool: Spool | None = None
        self.begun = time.perf_counter()

    def go(self) -> RunPaths:
        """Run the stages, and leave word of how it went whatever happens."""
        self.record.start(command=sys.argv, seed=self.config.seed)
        self._write_config()
        try:
            if "fit" in self.config.stages:
                self._fit()
            if "discover" in self.config.stages:
                self._discover()
        except BaseException as error:
            why = str(error) or type(error).__name__
            self.record.fail(why)
            self._finish("failed" if isinstance(error, Exception) else "killed", why)
            raise
        self.record.finish()
        self._finish("finished")
        self._tell()
        return self.paths

    def _write_config(self) -> None:
        from omegaconf import OmegaConf

        atomic_text(self.paths.config, OmegaConf.to_yaml(OmegaConf.structured(self.config)))

    def _open_spool(self, fingerprint: str) -> Spool | None:
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
        return self.spool

    # -- fit ---------------------------------------------------------------------------------------

    def _fit(self) -> None:
        from fatebias.data.load import load_screen, source_files
        from fatebias.data.summary import render_summary

        config, paths = self.config, self.paths
        screen = load_screen(config.data, config.priors, paths.root)
        log.info("the screen\n%s", render_summary(screen.summary))
        fingerprint = screen.fingerprint()
        spool = self._open_spool(fingerprint)
        settings = {
            name: dataclasses.asdict(getattr(config, name)) for name in ("priors", "model", "inference")
        } | {"likelihood_weight": config.likelihood_weight, "seed": config.seed, "device": config.device}
        settings["inference"].pop("progress")
        key = digest({"settings": settings, "data": fingerprint, "code": code_version()})
        if config.resume and self.record.is_current("fit", key):
            log.info("fit: inputs and settings unchanged, kept (resume=false does it again)")
            return
        files = source_files(config.data, config.priors, paths.root)
        with ThreadPoolExecutor(1, thread_name_prefix="sha256") as hashing:
            hashes = {
                name: hashing.submit(_file_hash, path)
                for name, path in (("data", files.adata), ("guide_map", files.guide_map))
            }
            outputs = [paths.gene_summary, paths.guide_summary, paths.posterior, paths.loss, paths.screen_summary]
            with self.record.stage("fit", key, outputs) as entry:
                atomic_json(paths.screen_summary, screen.summary)
                self._fit_and_summarise(screen, entry)
                self._note_data(screen, fingerprint, {"data": files.adata, "guide_map": files.guide_map}, hashes)
        if spool is not None:
            for path in (*outputs, paths.loss_plot, paths.config):
                spool.artifact(path)

    def _fit_and_summarise(self, screen: Any, entry: dict[str, Any]) -> None:
        from fatebias.inference.fit import fit_screen
        from fatebias.plots import plot_loss
        from fatebias.posterior import summarise, write_posterior
        from fatebias.loss_log import LossLog

        config = self.config
        with LossLog(self.paths.loss) as losses:
            fit = fit_screen(screen, config, on_step=losses.add)
        begun = time.perf_counter()
        posterior = summarise(fit.draw, config.inference.num_posterior_draws, screen.gene_of_guide)
        write_posterior(posterior, screen, self.paths)
        plot_loss(self.paths.loss, self.paths.loss_plot)
        entry["parts"] = {
            name: round(took, 3) for name, took in {**fit.seconds, "summary": time.perf_counter() - begun}.items()
        }
        entry["diagnostics"] = fit.diagnostics
        entry["warnings"] = list(fit.warnings)
        figures = {name: value for name, value in fit.diagnostics.items() if isinstance(value, (int, float))}
        if self.spool is not None:
            self.spool.metrics({f"final/{name}": float(value) for name, value in figures.items()})
            self.spool.tag({"converged": fit.converged})

    def _note_data(
        self, screen: Any, fingerprint: str, files: dict[str, Path], hashes: dict[str, Future[str | None]]
    ) -> None:
        found = {name: each.result() for name, each in hashes.items()}
        self.record.update(
            data={
                "fingerprint": fingerprint,
                "files": {name: {"path": str(path), "sha256": found[name]} for name, path in files.items()},
                "cells": screen.N,
                "genes": screen.L,
                "guides": screen.G,
            },
            fates=list(screen.fates),
            contrast=screen.contrast,
            day_labels=list(screen.day_labels),
            rep_labels=list(screen.rep_labels),
        )
        if self.spool is not None:
            self.spool.tag({f"{name}_sha256": value for name, value in found.items()})

    # -- discover ----------------------------------------------------------------------------------

    def _discover(self) -> None:
        from fatebias.discovery.engine import choose_engine, discover, thresholds
        from fatebias.discovery.ranking import rank

        import pandas as pd

        config, paths = self.config, self.paths
        summary_hash = self._gene_summary_hash()
        spool = self._open_spool(summary_hash)
        settings = dataclasses.asdict(config.discovery)
        engine, _ = choose_engine(config.discovery, n_genes=2)
        key = digest({"settings": settings, "summary": summary_hash, "engine": engine, "code": code_version()})
        outputs = [paths.mash_out, paths.hits, paths.hits_plot]
        if config.resume and self.record.is_current("discover", key):
            log.info("discover: inputs and settings unchanged, kept (resume=false does it again)")
            return
        with self.record.stage("discover", key, outputs) as entry:
            report = discover(paths.gene_summary, paths.mash_out, config.discovery)
            ranked = rank(pd.read_csv(paths.mash_out), *thresholds(config.discovery), where=paths.mash_out)
            with atomic_path(paths.hits) as draft:
                ranked.to_csv(draft, index=False)
            self._plot_hits(ranked, report.n_days)
            entry["report"] = dataclasses.asdict(report)
        self.record.update(engine=report.engine, n_hits=report.n_hits)
        if spool is not None:
            spool.tag({"discovery_engine": report.engine, "discovery_method": report.method})
            spool.metrics({"final/n_hits": report.n_hits, "final/mash_loglik": report.loglik})
            for path in outputs:
                spool.artifact(path)

    def _gene_summary_hash(self) -> str:
        try:
            return sha256_file(self.paths.gene_summary)
        except FileNotFoundError:
            raise DiscoveryError(
                explain(
                    f"there is no {names.GENE_SUMMARY_CSV} to work from",
                    where=self.paths.root,
                    fix="run the fit first: stages=[fit,discover], or give the out_dir of a finished fit",
                )
            ) from None

    def _plot_hits(self, ranked: Any, n_days: int) -> None:
        from fatebias.discovery.engine import thresholds
        from fatebias.plots import plot_hits

        labels = self.record.content.get("day_labels") or [f"d{d}" for d in range(n_days)]
        fates = self.record.content.get("fates") or [self.config.data.ref_fate]
        contrast = self.record.content.get("contrast") or self.config.data.contrast_fate
        plot_hits(ranked, labels, thresholds(self.config.discovery)[0], contrast, fates[0], self.paths.hits_plot)

    # -- the end -----------------------------------------------------------------------------------

    def _finish(self, status: str, why: str | None = None) -> None:
        """Close the journal and bring it to MLflow; a failure there is said and costs nothing else."""
        if self.config.tracking.backend == "off":
            return
        from fatebias.tracking.sync import sync_run

        spool = self._open_spool("unread")
        assert spool is not None
        spool.metrics(
            {"final/wall_s": time.perf_counter() - self.begun, "final/peak_memory_mb": peak_memory_mb()}
        )
        if status == "failed":
            spool.artifact(self.paths.record)
        spool.finish(status, why)
        sync_run(self.paths.root, self.config.tracking)

    def _tell(self) -> None:
        """Close with what a user wants to know first."""
        lines = []
        if "discover" in self.config.stages:
            lines += _top_hits(self.paths)
        for stage in self.record.content["stages"].values():
            lines += [f"  NOT CONVERGED: {each}" for each in stage.get("warnings", [])]
        lines.append(f"results: {self.paths.root}")
        for path, what in (
            (self.paths.hits, "ranked hits"),
            (self.paths.hits_plot, "their picture"),
            (self.paths.gene_summary, "daywise effects and standard errors"),
            (self.paths.guide_summary, "the same by guide"),
            (self.paths.record, "what ran, and how it went"),
        ):
            if path.is_file():
                lines.append(f"  {path.name:<28} {what}")
        log.info("done in %.1f s\n%s", time.perf_counter() - self.begun, "\n".join(lines))


def _top_hits(paths: RunPaths) -> list[str]:
    import pandas as pd

    ranked = pd.read_csv(paths.hits)
    labels = json.loads(paths.record.read_text(encoding="utf-8")).get("day_labels")
    hits = int(ranked[names.HIT_ANYDAY].sum())
    lines = [f"{hits} of {len(ranked)} genes are hits; the top of the ranking:"]
    lines.append(f"  {'gene':<12} {'best day':>9} {'effect':>8} {'sd':>7} {'lfsr':>9}")
    for row in ranked.head(SHOWN_HITS).to_dict("records"):
        day = int(row[names.BEST_DAY])
        label = labels[day] if labels else f"d{day}"
        effect, sd = row.get(f"{names.POSTMEAN}{day}"), row.get(f"{names.POSTSD}{day}")
        mark = "*" if row[names.HIT_ANYDAY] else " "
        lines.append(
            f"{mark} {row[names.GENE]!s:<12} {label:>9} {effect:>+8.3f} {sd:>7.3f} {row[names.LFSR_MIN]:>9.2g}"
        )
    return lines


def _file_hash(path: Path) -> str | None:
    """SHA-256 of a file; None for a folder (zarr) and for large files, whose X would cost its time."""
    if not path.is_file() or path.stat().st_size > HASHED_UP_TO_BYTES:
        return None
    return sha256_file(path)
