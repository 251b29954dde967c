"""run.py with a fake pipeline: it writes down what it is given and fails when told to, so that tests of the
command line need neither torch nor a fit.

Run as a script with the words of a command line. A FAKE_FAIL of ``KEY=VALUE`` fails the runs that have this
override, by a FitError; FAKE_BUG does the same by a ZeroDivisionError.
"""

from __future__ import annotations

import dataclasses
import json
import os
import runpy
import sys
import types
from pathlib import Path

from fatebias.config import Config
from fatebias.errors import FitError, explain

RUN_PY = Path(__file__).parents[1] / "run.py"


def run(config: Config, *, overrides: list[str], choices: dict[str, str]) -> None:
    if os.environ.get("FAKE_FAIL", "none") in overrides:
        raise FitError(explain("the fake fit failed", where="fake", fix="take the real one"))
    if os.environ.get("FAKE_BUG", "none") in overrides:
        raise ZeroDivisionError("a fake bug")
    given = {"config": dataclasses.asdict(config), "overrides": overrides, "choices": choices}
    (Path(config.out_dir or "") / "given.json").write_text(json.dumps(given))


if __name__ == "__main__":
    pipeline = types.ModuleType("fatebias.pipeline")
    pipeline.run = run  # type: ignore[attr-defined]
    sys.modules["fatebias.pipeline"] = pipeline
    sys.argv[0] = str(RUN_PY)
    runpy.run_path(str(RUN_PY), run_name="__main__")
