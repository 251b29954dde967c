"""A search (experiment=optuna): its sweeper proposes runs and learns their scores on cells left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fatebias.errors import ConfigError, SweepError
from fatebias.sweep.settings import PREFIX, LocalSettings
from fatebias.sweep.status import MemberStatus, read_record

if TYPE_CHECKING:
    from hydra.core.utils import JobReturn
    from omegaconf import DictConfig

GRID = ".BasicSweeper"  # Hydra's own, which wants no answer


def is_search(config: DictConfig) -> bool:
    """Return whether a sweep's runs depend on the results of those before, as with Optuna's sweeper."""
    return not str(config.hydra.sweeper._target_).endswith(GRID)


def check_search(settings: LocalSettings) -> None:
    """Refuse a launcher that cannot bring the scores back."""
    if getattr(settings, "wait", True) is False:
        raise ConfigError(
            "a search waits for its runs: what to try next depends on their scores",
            where=f"{PREFIX}wait=false",
            fix=f"{PREFIX}wait=true, in a session that outlives your login (tmux), or a sweep",
        )
    if settings.only is not None:
        raise ConfigError(
            "a search starts all of its runs", where=f"{PREFIX}only={settings.only}", allowed="null"
        )


def check_objective(config: DictConfig) -> ConfigError | None:
    """Return the error for a run of a search that would have no score; None when it will have one."""
    missing = None
    if config.calibration.heldout == "none":
        missing = ("calibration.heldout=none", "calibration.heldout=replicate, or clusters")
    for stage in ("heldout", "fit"):
        if stage not in config.stages:
            missing = (f"stages=[{','.join(config.stages)}]", f"stages with {stage} among them")
    if missing is None:
        return None
    where, fix = missing
    return ConfigError(
        "a search needs the score of each run on cells left out of the fit", where=where, fix=fix
    )


def score_of(record: Mapping[str, Any]) -> float | None:
    """Return the score on cells left out, nats a cell, higher is better, from the content of run.json."""
    score = record.get("stages", {}).get("heldout", {}).get("report", {}).get("score")
    return None if score is None else float(score)


def answer(status: MemberStatus, config: DictConfig) -> JobReturn:
    """Return a run's score to the sweeper, or the error to raise for a run that has none."""
    from hydra.core.utils import JobReturn, JobStatus

    score = score_of(read_record(status.member.folder)) if not status.failed else None
    returned = JobReturn(overrides=status.member.overrides, cfg=config, working_dir=str(status.member.folder))
    returned.status = JobStatus.FAILED if score is None else JobStatus.COMPLETED
    why = status.reason or "it has no score"
    returned.return_value = (
        SweepError(f"run {status.member.number} of the search failed: {why}\n  log: {status.log}")
        if score is None
        else score
    )
    return returned
