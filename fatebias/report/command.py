"""Commands to paste: the one that repeats the run, and the same one with other settings."""

from __future__ import annotations

import shlex
from pathlib import Path

from fatebias.pasted import meant, setting
from fatebias.report.run_files import RunFiles

AFTER_DISCOVERY = ("commitment", "controls", "spike_in", "resample")  # checks that other hits make outdated


def again(run: RunFiles) -> str:
    """Return the command that was typed; of a run in a sweep that of the whole sweep."""
    program, words = _typed(run)
    # The shell has taken the quotes from what was typed; these put them back.
    return " ".join([program, *map(shlex.quote, words)])


def changed(run: RunFiles, *settings: tuple[str, object], folder: str) -> str:
    """Return the run's command, or its sweep's, with other settings.

    A folder that it names gets `folder` in its name.
    """
    program, words = _typed(run)
    replaced = {key for key, _ in settings} | {"out_dir"}
    if "experiment" in replaced:  # which decides these; typed settings would win over it
        replaced |= {"likelihood_weight", "export"}
    kept, places = [], []
    for word in words:
        key, _, value = word.lstrip("+").partition("=")
        if key == "out_dir":
            places = [setting("out_dir", f"{meant(value)}_{folder}")]
        elif key.partition(".")[0] not in replaced and key not in replaced:
            kept.append(word)
    return " ".join([program, *map(shlex.quote, kept), *(setting(*each) for each in settings), *places])


def discover_again(run: RunFiles, *settings: tuple[str, object]) -> str:
    """Return the command that judges the fit of this folder again, with the checks that were done."""
    done = [name for name in AFTER_DISCOVERY if run.stage(name)]
    words = [("stages", ["discover", *done]), ("out_dir", str(run.paths.root.absolute())), *settings]
    return " ".join([_typed(run)[0], *(setting(*each) for each in words)])


def _typed(run: RunFiles) -> tuple[str, list[str]]:
    """Return the program as a user types it, and its words."""
    command = [str(word) for word in run.record.get("command") or []]
    name = Path(command[0]).name if command else ""
    program = "python run.py" if name == "run.py" else "fatebias"
    known = name in ("run.py", "fatebias", "__main__.py")
    return program, command[1:] if known else []
