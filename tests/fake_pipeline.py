"""run.py, or ``-m fatebias.sweep``, with a fake pipeline: the command line needs neither torch nor a fit.

The fake writes down what it is given, and no run is brought to MLflow. FAKE_FAILURES, such as
``{"priors=weak": "FitError"}``, makes it fail in the runs that have the override.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import runpy
import sys
import types
from pathlib import Path

from fatebias.config import Config
from fatebias.errors import FitError
from fatebias.tracking.describe import InSweep

RUN_PY = Path(__file__).parents[1] / "run.py"
FAILURES: dict[str, BaseException] = {
    "FitError": FitError("the fake fit failed", where="fake", fix="take the real one"),
    "ZeroDivisionError": ZeroDivisionError("a fake bug"),
    "KeyboardInterrupt": KeyboardInterrupt(),
}


def run(
    config: Config, *, overrides: list[str], choices: dict[str, str], sweep: InSweep | None = None
) -> None:
    for override, name in json.loads(os.environ.get("FAKE_FAILURES", "{}")).items():
        if override in overrides:
            raise FAILURES[name]
    logging.getLogger("fatebias").info("a note of the fake")
    logging.getLogger("fatebias").warning("a warning of the fake")
    given = {"config": dataclasses.asdict(config), "overrides": overrides, "choices": choices}
    given["sweep_id"] = sweep and sweep.id
    (Path(config.out_dir or "") / "given.json").write_text(json.dumps(given))


if __name__ == "__main__":
    pipeline = types.ModuleType("fatebias.run.pipeline")
    pipeline.run = run  # type: ignore[attr-defined]
    sys.modules["fatebias.run.pipeline"] = pipeline
    sync = types.ModuleType("fatebias.tracking.sync")
    sync.sync_run = lambda *_: types.SimpleNamespace(how_to_see=str)  # type: ignore[attr-defined]
    sys.modules["fatebias.tracking.sync"] = sync
    import fatebias.run

    fatebias.run.pipeline = pipeline  # type: ignore[attr-defined]
    if sys.argv[1:2] == ["-m"] and sys.argv[2:3] == ["fatebias.sweep"]:
        del sys.argv[1:3]
        runpy.run_module("fatebias.sweep", run_name="__main__", alter_sys=True)
    else:
        sys.argv[0] = str(RUN_PY)
        runpy.run_path(str(RUN_PY), run_name="__main__")
