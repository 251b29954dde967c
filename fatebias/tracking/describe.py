"""What a run is called, its parameters, tags and key, from its config and its surroundings."""

from __future__ import annotations

import dataclasses
import functools
import getpass
import hashlib
import os
import platform
import re
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fatebias.config import Config
from fatebias.files.atomic import digest
from fatebias.files.provenance import git, git_state

# Settings that say where and in what manner a run is done, not what comes out of it. Paths of the data are
# among them: the data count by their content.
NOT_IN_KEY = (
    "data.adata_path",
    "data.guide_map_csv",
    "inference.checkpoint_every_s",
    "inference.progress",
    "out_dir",
    "resume",
    "stages",
    "tracking",
)
NOT_IN_NAME = ("inference.progress", "out_dir", "resume", "stages", "tracking", "launcher", "hydra")
LONGEST_NAME = 250  # MLflow's column
PACKAGE = Path(__file__).resolve().parents[1]
SLURM = ("SLURM_CLUSTER_NAME", "SLURM_JOB_ID", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID")


@dataclasses.dataclass(frozen=True)
class RunDescription:
    """A run in MLflow's words.

    Attributes
    ----------
    name
        Its overrides, or ``defaults``.
    params
        Every config value with its dotted key, and the option chosen of every group.
    tags
        Commit, host, command line, Slurm job and the like: what may change when a run is resumed.
    """

    name: str
    params: dict[str, str]
    tags: dict[str, str]


def describe_run(
    config: Config,
    overrides: Sequence[str],
    choices: Mapping[str, str],
    *,
    command: Sequence[str] | None = None,
    sweep_id: str | None = None,
) -> RunDescription:
    """Describe a run to MLflow.

    Parameters
    ----------
    config
        The resolved config.
    overrides
        As typed, ``KEY=VALUE``.
    choices
        Group to option, Hydra's own groups left out.
    command
        The command line as typed; None for this process's own. A Slurm job has that of its submission.
    sweep_id
        The same for all runs of a sweep.

    Returns
    -------
    RunDescription
        To be handed to `Spool.begin`.
    """
    params = {group: option for group, option in choices.items() if not group.startswith("hydra/")}
    settings = dataclasses.asdict(config)
    settings.pop("out_dir")  # a tag: as a parameter it would set every two runs apart
    params |= {key: without_password(_text(value)) for key, value in flat(settings)}
    tags = {
        **_code_tags(),
        **_source_tags(sys.argv if command is None else command),
        **{name.lower(): os.environ[name] for name in SLURM if name in os.environ},
        "host": platform.node(),
        "out_dir": config.out_dir or "",
        "likelihood_weight": _text(config.likelihood_weight),
    }
    if "SLURM_JOB_ID" in os.environ:  # which counts only from the first restart on
        tags["restarts"] = os.environ.get("SLURM_RESTART_COUNT", "0")
    if "priors" in choices:
        tags["priors"] = choices["priors"]
    if sweep_id is not None:
        tags["sweep_id"] = sweep_id
    return RunDescription(run_name(overrides), params, tags)


def run_key(config: Config, data_fingerprint: str) -> str:
    """Digest all that decides a run's result.

    Parameters
    ----------
    config
        The resolved config; settings of place and manner (`NOT_IN_KEY`) do not count.
    data_fingerprint
        Digest of the content of every input file.

    Returns
    -------
    str
        SHA-256 in hexadecimal; differs with any uncommitted change of the code, too.
    """
    settings = dict(flat(dataclasses.asdict(config)))
    deciding = {key: _text(value) for key, value in settings.items() if not _below(key, NOT_IN_KEY)}
    return digest({"settings": deciding, "data": data_fingerprint, "code": code_version()})


def run_name(overrides: Sequence[str]) -> str:
    """Name a run by what sets it apart.

    Parameters
    ----------
    overrides
        As typed, ``KEY=VALUE``.

    Returns
    -------
    str
        For example ``priors=weak, likelihood_weight=0.5``; paths by their last part; ``defaults`` without
        overrides.
    """
    parts = []
    for word in overrides:
        key, equals, value = word.lstrip("+").partition("=")
        if _below(key.partition("@")[0], NOT_IN_NAME):
            continue
        is_path = "/" in value and value[0] not in "[{'\""
        parts.append(key + equals + (Path(value).name if is_path else value))
    name = ", ".join(parts) or "defaults"
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"


def flat(node: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Walk through nested settings.

    Parameters
    ----------
    node
        Nested dicts.
    prefix
        What stands before their keys.

    Yields
    ------
    tuple
        Dotted key and value, such as ``("priors.s_alpha", 2.5)``.
    """
    for key, value in node.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


@functools.cache  # an edit made meanwhile does not change what this process has imported
def code_version(package: Path = PACKAGE) -> str:
    """Name the code that runs: commit and digest of uncommitted changes, or the package's version.

    Uncommitted changes of conf/ do not count: what they decide stands in a run's settings.

    Parameters
    ----------
    package
        Where the code lies.

    Returns
    -------
    str
        ``COMMIT``, ``COMMIT+DIGEST`` or ``fatebias VERSION``.
    """
    state = git_state(package)
    if state["commit"] is None:
        return f"fatebias {version('fatebias')}"
    diff = git(package, "diff", "HEAD", "--", ":(top)", ":(top,exclude)conf") if state["dirty"] else None
    changes = (diff or "").encode("utf-8", "surrogateescape")
    return str(state["commit"]) + (f"+{hashlib.sha256(changes).hexdigest()[:12]}" if changes else "")


def without_password(text: str) -> str:
    """Leave out user and password of web addresses.

    Parameters
    ----------
    text
        Any text.

    Returns
    -------
    str
        The text with ``//user:password@`` as ``//***@``.
    """
    return re.sub(r"(?<=://)[^/@\s]+@", "***@", text)


def _code_tags() -> dict[str, str]:
    tags = {"code_version": code_version()}
    state = git_state(PACKAGE)
    if state["commit"] is not None:
        tags |= {"mlflow.source.git.commit": str(state["commit"]), "git_dirty": _text(state["dirty"])}
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


def _text(value: Any) -> str:
    """Write a value as Hydra reads it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_text, value))}]"
    return str(value)
