"""Runs that failed, started again: the same command in the same folder, for their numbers alone.

Their settings are those of their submission (`fatebias.sweep.kept`), whatever conf/ says by now.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

from fatebias.errors import ConfigError, OutputError
from fatebias.sweep.record import Sweep
from fatebias.sweep.status import NOT_STARTED, statuses


def to_retry(sweep: Sweep) -> list[int]:
    """Find the runs that ended without a result or never began.

    Parameters
    ----------
    sweep
        The sweep.

    Returns
    -------
    list of int
        Their numbers.
    """
    return [each.member.number for each in statuses(sweep) if each.failed or each.state == NOT_STARTED]


def retry_command(
    submission: Mapping[str, Any], sweep: Sweep, numbers: Sequence[int], more: Sequence[str]
) -> list[str]:
    """Make the command that starts some runs of a sweep again.

    Parameters
    ----------
    submission
        The first of the sweep: its command is taken as typed.
    sweep
        The sweep, whose folder stays.
    numbers
        The runs.
    more
        Further words about the launcher, such as ``hydra.launcher.mem_gb=64``.

    Returns
    -------
    list of str
        To be run in the working directory of that submission.

    Raises
    ------
    ConfigError
        When `more` would change what the runs compute.
    """
    from hydra._internal.utils import get_args_parser

    for word in more:
        if not word.lstrip("+").startswith(("hydra.launcher.", "launcher=")):
            raise ConfigError(
                "a retry keeps the settings of its runs",
                where=word,
                allowed="launcher=OPTION and hydra.launcher.KEY=VALUE",
                fix="start another sweep for other settings",
            )
    script, *words = submission["command"]
    typed = get_args_parser().parse_args(words).overrides
    after = max((at for at, word in enumerate(words, start=1) if word in typed), default=len(words))
    added = [f"hydra.sweep.dir={quoted(str(sweep.root))}", *more]
    added += [f"hydra.launcher.only=[{','.join(map(str, numbers))}]", "hydra.launcher.as_recorded=true"]
    return [submission["python"], script, *words[:after], *added, *words[after:]]


def quoted(text: str) -> str:
    """Write text so that Hydra takes every sign as it is.

    Parameters
    ----------
    text
        For example a path.

    Returns
    -------
    str
        In single quotes, where only quotes, backslashes before them and ``$`` mean anything to Hydra.
    """
    return "'" + text.replace("\\'", "\\\\'").replace("'", "\\'").replace("${", "\\${") + "'"


def retry(sweep: Sweep, more: Sequence[str] = ()) -> int:
    """Start again what failed; runs that are done, queued or running are left alone.

    Parameters
    ----------
    sweep
        The sweep.
    more
        Further words about the launcher.

    Returns
    -------
    int
        Exit code of the command; 0 when there is nothing to do.

    Raises
    ------
    ConfigError
        When `more` would change what the runs compute.
    OutputError
        When the command can no longer be run.
    """
    numbers = to_retry(sweep)
    submission = sweep.submissions[0]
    command = retry_command(submission, sweep, numbers, more)
    if not numbers:
        print("no run has failed")
        return 0
    try:
        return subprocess.run(command, cwd=submission["cwd"], check=False).returncode
    except OSError as error:
        raise OutputError(
            "the command of the sweep cannot be run any more", where=sweep.path, found=error
        ) from error
