"""``fatebias ui`` in a real browser: where it lands, what the table shows, what Compare draws first.

Screenshots are kept in build/screens.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from fatebias.config import TrackingConfig
from fatebias.sweep.snapshot import Member, Sweep
from fatebias.sweep.status import statuses
from fatebias.sweep.summary import write_summary_run
from fatebias.tracking.sync import sync
from tests.conftest import ROOT, RUN_PY
from tests.integration.mlflow.server import PATIENCE_S
from tests.report import browser as real
from tests.tracking.folders import finished_run
from tests.tracking.stored import Stored

pytestmark = pytest.mark.slow
SCREENS = ROOT / "build" / "screens"
SWEEP = "abc"
SUBMISSION = {
    "time": "2026-01-01T00:00:00+00:00",
    "command": ["/checkout/run.py", "-m", "priors=default,weak"],
}


class Opened(NamedTuple):
    """A running ``fatebias ui``."""

    process: subprocess.Popen[str]
    pages: dict[str, str]  # what it printed: address by what it is
    database: Path


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    """Type ``fatebias ui DIR`` in a folder with a sweep, and end it as Ctrl-C does."""
    folder = tmp_path_factory.mktemp("a sweep's place")
    members = []
    for number, prior in enumerate(("default", "weak")):
        choices = {"priors": prior, "data": "demo"}
        tags = {"sweep_id": SWEEP, "sweep_settings": "priors", "mlflow.user": "me"}
        finished_run(folder / "out" / str(number), name=f"lw=0.5 {prior}", choices=choices, tags=tags)
        members.append(Member(number, (f"priors={prior}",), folder / "out" / str(number)))
    sweep = Sweep(folder / "out", "local", tuple(members), (SUBMISSION,), SWEEP)
    sweep.write()
    (folder / "out" / "hit_stability.csv").write_text("gene,hit_share\nJAK2,1\n")
    write_summary_run(sweep, statuses(sweep), [folder / "out" / "hit_stability.csv"])
    assert not sync([folder], TrackingConfig(), folder).failed
    process = subprocess.Popen(
        [sys.executable, str(RUN_PY), "ui", "out", "--no-browser"], cwd=folder, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(3)]
    pages = dict(line.strip().split(": ", 1) for line in lines if ": " in line)
    try:
        assert lines[2] == "Ctrl-C ends it\n", lines
        yield Opened(process, pages, folder / "mlflow.db")
        os.killpg(process.pid, signal.SIGINT)  # as a terminal sends it
        rest, _ = process.communicate(timeout=60)
        assert (process.returncode, rest.strip()) == (0, "")
        port = int(re.findall(r":(\d+)/", pages["the runs"])[0])
        listening = Path("/proc/net/tcp").read_text() if Path("/proc/net/tcp").exists() else ""
        assert f"0100007F:{port:04X} 00000000:0000 0A" not in listening  # the server has ended with it
    finally:
        process.kill()


@pytest.fixture(scope="module")
def browser() -> Iterator[real.Browser]:
    yield from real.start()


def wait(browser: real.Browser, script: str, fits: Callable[[Any], object]) -> Any:
    """Ask a page until the answer fits; it is drawn in several steps."""
    patience = time.monotonic() + PATIENCE_S / 10
    while not fits(found := browser.ask(script)):
        assert time.monotonic() < patience, found
        time.sleep(0.2)
    return found


def picture(browser: real.Browser, name: str) -> None:
    SCREENS.mkdir(parents=True, exist_ok=True)
    assert browser.tab.save_screenshot(str(SCREENS / f"{name}.png"))


def errors(browser: real.Browser) -> list[str]:
    """Return errors of the console, less one that MLflow makes itself: it asks who is logged in."""
    told = [entry for entry in browser.tab.get_log("browser") if entry["level"] == "SEVERE"]
    return [entry["message"] for entry in told if "users/current" not in entry["message"]]


COLUMNS = """
const at = e => e.getBoundingClientRect().left;
return [...document.querySelectorAll('.ag-header-cell[col-id*="`"]')].sort((a, b) => at(a) - at(b))
  .map(e => e.getAttribute('col-id'))
"""
NAMES = """
const cells = '.ag-pinned-left-cols-container [role=row], .ag-center-cols-container [role=row]';
return [...document.querySelectorAll(cells)].map(e => e.innerText)
"""


def test_the_sweep_opens_on_the_table_of_its_runs_with_what_matters(
    opened: Opened, browser: real.Browser
) -> None:
    browser.size(1500, 800)
    browser.tab.get(opened.pages["the runs"])
    columns = wait(browser, COLUMNS, lambda found: len(found) >= 6)
    picture(browser, "mlflow_runs")
    assert columns[1:] == [
        "params.`priors`", "params.`likelihood_weight`", "metrics.`hits`", "metrics.`expected_false`",
        "metrics.`calls`", "tags.`converged`",
    ]  # fmt: skip
    rows = wait(browser, NAMES, lambda found: sum("lw=0.5" in row for row in found) == 2)
    assert not any("sweep of" in row for row in rows)
    assert any("weak" in row and "0.25" in row and "true" in row for row in rows)
    assert f"sweep_id+%3D+%27{SWEEP}%27" in browser.tab.current_url
    assert errors(browser) == []


def test_compare_draws_the_setting_that_differs_and_hits_first(opened: Opened, browser: real.Browser) -> None:
    stored = Stored(f"sqlite:///{opened.database}")
    runs = [run.info.run_id for run in stored.runs() if "sweep_id" in run.data.tags]
    root = opened.pages["the runs"].partition("/#/")[0]
    browser.tab.get("about:blank")
    browser.tab.get(f'{root}/#/compare-runs?runs={json.dumps(runs)}&experiments=["1"]')
    drawn = "return [...document.querySelectorAll('.parcoords .axis-title')].map(e => e.textContent)"
    assert wait(browser, drawn, lambda found: len(found) > 1) == ["priors", "hits"]
    picture(browser, "mlflow_compare")
    assert errors(browser) == []


def test_the_summary_of_the_sweep_has_its_description_and_files(
    opened: Opened, browser: real.Browser
) -> None:
    browser.tab.get(opened.pages["pictures and tables of the sweep"])
    text = "return document.body.innerText"
    shown = wait(browser, text, lambda found: "2 runs of one sweep (2 done), which differ in priors" in found)
    picture(browser, "mlflow_sweep")
    assert "sweep of priors" in shown
    stored = Stored(f"sqlite:///{opened.database}")
    (summary,) = (run for run in stored.runs() if "summary_of_sweep" in run.data.tags)
    assert stored.artifacts(summary) == {"hit_stability.csv"}
    members = [run for run in stored.runs() if "sweep_id" in run.data.tags]
    for run in members:
        assert f"runs/{summary.info.run_id}" in run.data.tags["mlflow.note.content"]
    assert errors(browser) == []
