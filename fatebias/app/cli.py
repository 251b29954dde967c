"""The command line: it lets Hydra compose the settings, runs them, and shows a failure as one message."""

from __future__ import annotations

import argparse
import errno
import logging
import os
import select
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from fatebias.app.overrides import check_words, composition_message
from fatebias.compose import CONF, group_options, register
from fatebias.errors import FatebiasError, explain
from fatebias.tracking.password import set_words_apart

if TYPE_CHECKING:
    from omegaconf import DictConfig

log = logging.getLogger(__name__)

REPORT, PREPARE, UI = "report", "prepare", "ui"  # words of their own, no settings
TRACEBACK = "HYDRA_FULL_ERROR"
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


class PassedOn(BaseException):
    """Carries an Exception past Hydra to `launch`."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


def run(cfg: DictConfig) -> None:
    """Run the pipeline on a composed config, as Hydra's task; a single run that fails exits with code 1."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    from fatebias.sweep.task import run_task

    try:
        run_task(cfg)
    except Exception as error:
        log.error("%s", error, exc_info=not isinstance(error, FatebiasError))
        if HydraConfig.get().mode == RunMode.MULTIRUN:  # by another launcher than ours
            raise
        raise SystemExit(1) from error


def below_error() -> Callable[[logging.LogRecord], bool]:
    """Return the filter that keeps errors off stdout (conf/hydra/job_logging); they go to stderr."""
    return lambda record: record.levelno < logging.ERROR


def launch(task: Callable[[], None]) -> None:
    """Check the words typed, let Hydra run the task, and show any refusal as one message.

    ``report DIR`` writes the report of a finished run or sweep, ``prepare SCREEN`` the files of a run to
    come, ``ui`` opens MLflow: these are no runs and go without Hydra.
    ``HYDRA_FULL_ERROR=1`` in the environment shows tracebacks, as in any Hydra application.
    """
    if sys.argv[1:2] == [REPORT]:
        from fatebias.app.report import main as report

        raise SystemExit(report(sys.argv[2:], prog=f"fatebias {REPORT}"))
    if sys.argv[1:2] == [UI]:
        from fatebias.app.ui import main as ui

        raise SystemExit(ui(sys.argv[2:], prog=f"fatebias {UI}"))
    if sys.argv[1:2] == [PREPARE]:
        from fatebias.preparation.__main__ import main as prepare

        raise SystemExit(prepare(sys.argv[2:], prog=f"fatebias {PREPARE}"))
    from hydra._internal.utils import get_args_parser

    sys.argv[1:] = set_words_apart(sys.argv[1:])
    arguments = options_first(get_args_parser())
    groups = group_options([CONF, *([Path(arguments.config_dir)] if arguments.config_dir else [])])
    traceback_wanted = os.environ.get(TRACEBACK) == "1"
    os.environ[TRACEBACK] = "1"  # Hydra then raises what it would print, and this function decides
    try:
        register()
        if not arguments.shell_completion:  # whose words are no settings
            check_words(arguments.overrides, groups)
        task()
        sys.stdout.flush()
    except SystemExit as stop:
        if traceback_wanted and stop.__cause__ is not None:
            raise stop.__cause__ from None
        raise
    except KeyboardInterrupt:
        print("interrupted; finished stages are kept", file=sys.stderr)
        raise SystemExit(130) from None
    except (Exception, PassedOn) as raised:
        error = raised.error if isinstance(raised, PassedOn) else raised
        if isinstance(error, BrokenPipeError) and not _is_read(sys.stdout):  # --help | head
            raise SystemExit(128 + signal.SIGPIPE) from None
        message = _message(error, groups)
        if traceback_wanted or message is None:
            raise error from error.__cause__
        raise SystemExit(message) from None


def options_first(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Parse the command line and put its options before its settings, where Hydra looks for them."""
    arguments = parser.parse_intermixed_args()
    rest = sys.argv[1:]
    for word in reversed(arguments.overrides):
        del rest[len(rest) - 1 - rest[::-1].index(word)]
    sys.argv[1:] = [*rest, *arguments.overrides]
    return arguments


def _is_read(stream: TextIO) -> bool:
    """Say whether what is written still has a reader; without one, write to nowhere from here on."""
    # Asked of the pipe: after a failed write nothing may be left to flush, and a flush then succeeds.
    pipe = select.poll()
    pipe.register(stream.fileno(), select.POLLOUT)
    if not any(events & (select.POLLERR | select.POLLHUP) for _, events in pipe.poll(0)):
        return True
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())  # Python flushes once more when it ends
    return False


def _message(error: Exception, groups: dict[str, dict[str, str]]) -> str | None:
    if isinstance(error, FatebiasError):
        return str(error)
    if isinstance(error, ValueError) and str(error).startswith("Only one of --"):
        return explain(
            "options that do not go together", found=str(error).partition(" can be")[0], fix="give one"
        )
    if isinstance(error, OSError) and error.errno in NO_ROOM:  # Hydra's own files
        return explain(
            "a file could not be written",
            where=error.filename,
            found=error.strerror,
            fix="free some room or give another out_dir, then run the same command again",
        )
    return composition_message(error, groups)
