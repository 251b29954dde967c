"""A run's name, parameters, tags and key, from its config and its surroundings."""

from __future__ import annotations

import dataclasses
import functools
import getpass
import hashlib
import os
import platform
import shlex
import sys
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fatebias.config import Config
from fatebias.files.atomic import digest
from fatebias.files.provenance import git, git_state
from fatebias.tracking.password import without_password

# Settings that do not change a run's result. Paths are among them: the data count by their content.
NOT_IN_KEY = (
    "data.adata_path",
    "data.guide_map_csv",
    "data.guide_calls",
    "inference.checkpoint_every_s",
    "inference.progress",
    "out_dir",
    "plots",
    "resume",
    "stages",
    "tracking",
)
NOT_IN_NAME = ("inference.progress", "out_dir", "plots", "resume", "stages", "tracking", "launcher", "hydra")
WEIGHT = "likelihood_weight"
ALWAYS_PARAMETERS = (WEIGHT, "seed")
NOTE = "mlflow.note.content"  # a description, in Markdown
LONGEST_NAME = 250  # MLflow's column
SHORT = {WEIGHT: "lw"}
SWEEP_TAG, DIFFERING_TAG = "sweep_id", "sweep_settings"
SUMMARY_TAG = "summary_of_sweep"  # in place of sweep_id, so that it is not compared with the runs
PACKAGE = Path(__file__).resolve().parents[1]
SLURM = ("SLURM_CLUSTER_NAME", "SLURM_JOB_ID", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID")


@dataclasses.dataclass(frozen=True)
class RunDescription:
    """What MLflow is told of a run besides its settings."""

    name: str  # what was typed, or "defaults"
    choices: dict[str, str]  # config group to the option chosen
    tags: dict[str, str]  # commit, host, command line, Slurm job: what may change when a run is resumed
    typed: tuple[str, ...] = ()  # dotted keys of the settings that the user gave
    tracking_asked: bool = False  # by the command line or by a server, not by the default alone


@dataclasses.dataclass(frozen=True)
class InSweep:
    """The place of a run in a sweep."""

    id: str  # of the sweep
    differing: tuple[str, ...]  # the run's settings that not all runs of the sweep have, KEY=VALUE


def describe_run(
    config: Config,
    overrides: Sequence[str],
    choices: Mapping[str, str],
    *,
    command: Sequence[str] | None = None,
    sweep: InSweep | None = None,
) -> RunDescription:
    """Describe a run by its overrides (``KEY=VALUE``, as typed), its command line and its surroundings."""
    own = {group: option for group, option in choices.items() if not group.startswith("hydra/")}
    differing = sweep.differing if sweep else ()
    tags = {
        **_code_tags(),
        **_source_tags(sys.argv if command is None else command),
        **{name.lower(): os.environ[name] for name in SLURM if name in os.environ},
        "host": platform.node(),
        "out_dir": config.out_dir or "",
        WEIGHT: text(config.likelihood_weight),
    }
    if "SLURM_JOB_ID" in os.environ:  # which counts only from the first restart on
        tags["restarts"] = os.environ.get("SLURM_RESTART_COUNT", "0")
    if "priors" in choices:
        tags["priors"] = choices["priors"]
    if sweep is not None:
        tags |= {SWEEP_TAG: sweep.id, DIFFERING_TAG: ", ".join(map(key_of, differing))}
    typed = tuple(dict.fromkeys(key for key in map(key_of, overrides) if not _below(key, NOT_IN_NAME)))
    named = any(_below(key_of(word), ("tracking",)) for word in overrides)
    asked = named or config.tracking.backend == "server"
    return RunDescription(run_name(overrides, own, differing), own, tags, typed, asked)


def parameters(
    settings: Mapping[str, Any], choices: Mapping[str, str], typed: Sequence[str] = ()
) -> dict[str, str]:
    """Return the option chosen of each group, weight and seed, and the settings that were typed, as text.

    The others, more than a hundred, are in the artifact config.yaml: in MLflow's tables they would bury
    these.
    """
    wanted = (*ALWAYS_PARAMETERS, *(key for key in typed if key not in choices))
    found = {key: without_password(text(value)) for key, value in flat(settings) if _below(key, wanted)}
    return {**{group: option for group, option in choices.items() if not _below(group, NOT_IN_NAME)}, **found}


def run_key(config: Config, data_fingerprint: str) -> str:
    """Hash all that decides a run's result: settings, data and code, uncommitted changes too."""
    settings = dict(flat(dataclasses.asdict(config)))
    deciding = {key: text(value) for key, value in settings.items() if not _below(key, NOT_IN_KEY)}
    return digest({"settings": deciding, "data": data_fingerprint, "code": code_version()})


def run_name(overrides: Sequence[str], groups: Collection[str] = (), differing: Sequence[str] = ()) -> str:
    """Name a run by what sets it apart, first what differs within its sweep, such as ``lw=0.5 weak``.

    Of a setting the last part of its key is given, of a config group (`groups`) the option alone.
    """
    words = [word for word in overrides if not _below(key_of(word), NOT_IN_NAME)]
    # A stable order: the rest stays as it was typed.
    words.sort(key=lambda word: (word not in differing, key_of(word) != WEIGHT))
    lasts = Counter(key_of(word).rpartition(".")[2] for word in words)
    options = [word for word in words if key_of(word) in groups]
    parts = []
    for word in words:
        key, equals, value = word.lstrip("+").partition("=")
        if "/" in value and value[0] not in "[{'\"":  # a path
            value = Path(value).name
        last = key.rpartition(".")[2]
        shown = SHORT.get(key, last if lasts[last] == 1 else key)
        alone = word in options and not (value == "default" and len(options) > 1)
        parts.append(value if alone else shown + equals + value)
    name = " ".join(parts) or "defaults"
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"


def key_of(word: str) -> str:
    """Return the dotted key, or the group, of an override such as ``+priors.s_alpha=2``."""
    return word.lstrip("+").partition("=")[0].partition("@")[0]


def flat(node: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield nested settings as pairs such as ``("priors.s_alpha", 2.5)``."""
    for key, value in node.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


@functools.cache  # an edit made meanwhile does not change what this process has imported
def code_version(package: Path = PACKAGE) -> str:
    """Name the code: ``COMMIT``, ``COMMIT+HASH`` of uncommitted changes, or ``fatebias VERSION``."""
    state = git_state(package)
    if state["commit"] is None:
        return f"fatebias {version('fatebias')}"
    # Changes in conf/ do not count: what they decide is in a run's settings.
    diff = git(package, "diff", "HEAD", "--", ":(top)", ":(top,exclude)conf") if state["dirty"] else None
    changes = (diff or "").encode("utf-8", "surrogateescape")
    return str(state["commit"]) + (f"+{hashlib.sha256(changes).hexdigest()[:12]}" if changes else "")


def _code_tags() -> dict[str, str]:
    tags = {"code_version": code_version()}
    state = git_state(PACKAGE)
    if state["commit"] is not None:
        tags |= {"mlflow.source.git.commit": str(state["commit"]), "git_dirty": text(state["dirty"])}
    return tags


def _source_tags(command: Sequence[str]) -> dict[str, str]:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # no such user in this container
        user = "unknown"
    return {
        "mlflow.user": user,
        "mlflow.source.type": "LOCAL",
        "mlflow.source.name": Path(command[0]).name if command else "python",
        "command": without_password(shlex.join(command)),
    }


def _below(key: str, settings: Sequence[str]) -> bool:
    return any(key == setting or key.startswith((f"{setting}.", f"{setting}/")) for setting in settings)


def text(value: Any) -> str:
    """Write a value as Hydra reads it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(text, value))}]"
    return str(value)
