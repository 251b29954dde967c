"""Pictures of MLflow's pages for docs/tracking.md: ``python -m benchmarks.mlflow_screens DIR``.

DIR is a finished sweep whose runs are in ``mlflow.db`` of the folder where this is typed (the command is in
benchmarks/README.md). Writes docs/mlflow_runs.png and docs/mlflow_compare.png, as a real Chromium shows the
server that ``fatebias ui`` starts. Needs selenium (``pip install '.[test]'``), chromium and chromium-driver.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fatebias.config import TrackingConfig
from fatebias.sweep.snapshot import read_sweep
from fatebias.tracking.place import resolve_place
from fatebias.tracking.store import Store, quiet_mlflow
from fatebias.tracking.ui import local_server
from fatebias.tracking.view import WORKFLOW, sweep_key

DOCS = Path(__file__).parents[1] / "docs"
WIDTH, HEIGHT = 1520, 600
PATIENCE_S = 60.0
FLAGS = "--headless --no-sandbox --disable-gpu --no-first-run --hide-scrollbars"
CLOSE = "for (const e of document.querySelectorAll('{}')) e.click()"
ASSISTANT = CLOSE.format('[data-component-id="mlflow.assistant.chat_panel.close"], [aria-label=Close]')
BANNER = CLOSE.format('[aria-label="Hide banner"]')
ROWS = "return document.querySelectorAll('.ag-center-cols-container [role=row]').length"
AXES = "return document.querySelectorAll('.parcoords .axis-title').length"


def main() -> None:
    """Take the pictures."""
    parser = argparse.ArgumentParser("python -m benchmarks.mlflow_screens", description=__doc__)
    parser.add_argument("folder", metavar="DIR", type=Path, help="out_dir of a finished sweep")
    sweep = read_sweep(parser.parse_args().folder)
    place = resolve_place(TrackingConfig())
    with quiet_mlflow():
        store = Store(place)
        page = store.find_view(sweep_key(sweep.id))
        if page is None:
            parser.error(f"{place.shown} has no runs of this sweep")
        experiment = page.split("/")[3]
        runs = store.client.search_runs([experiment], f"tags.sweep_id = '{sweep.id}'")
    ids = json.dumps([run.info.run_id for run in runs])
    with local_server(place) as root:
        browser = _browser()
        try:
            browser.get(root + page)
            _wait(browser, ROWS, lambda found: found >= len(runs))
            _take(browser, DOCS / "mlflow_runs.png")
            browser.get("about:blank")
            browser.get(f'{root}/#/compare-runs?runs={ids}&experiments=["{experiment}"]&{WORKFLOW}')
            _wait(browser, AXES, lambda found: found > 1)
            _take(browser, DOCS / "mlflow_compare.png")
        finally:
            browser.quit()


def _browser() -> Any:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for flag in [*FLAGS.split(), f"--window-size={WIDTH},{HEIGHT}"]:
        options.add_argument(flag)
    tab = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    size = {"width": WIDTH, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": False}
    tab.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    return tab


def _wait(browser: Any, script: str, fits: Callable[[Any], bool]) -> None:
    patience = time.monotonic() + PATIENCE_S
    while not fits(found := browser.execute_script(script)):
        if time.monotonic() > patience:
            raise SystemExit(f"MLflow's page does not show what it should: {script} gives {found}")
        time.sleep(0.2)


def _take(browser: Any, final: Path) -> None:
    """Save what is shown, without MLflow's own banner and assistant."""
    for script in (ASSISTANT, BANNER):
        browser.execute_script(script)
    time.sleep(1.5)  # they slide away
    browser.save_screenshot(str(final))
    print(f"{final} {final.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
