"""``fatebias ui``: the runs in MLflow, in a browser, in the view that suits them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from fatebias import compose
from fatebias.app.overrides import check_words
from fatebias.config import TrackingConfig
from fatebias.errors import ConfigError, FatebiasError, OutputError
from fatebias.tracking.place import Place, resolve_place
from fatebias.tracking.view import ALL_RUNS, sweep_key


def main(words: Sequence[str], prog: str = "fatebias ui") -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(
        prog,
        description="Opens the runs in MLflow. For the database of tracking=local a server is started on this "
        "machine alone, which Ctrl-C ends; with tracking=server the page of that server is opened.",
    )
    parser.add_argument(
        "words",
        metavar="DIR | tracking.KEY=VALUE",
        nargs="*",
        help="out_dir of a sweep, for its runs alone; where the runs are kept, as for the runs themselves",
    )
    parser.add_argument("--no-browser", action="store_true", help="print the address, open nothing")
    parser.add_argument(
        "--port", type=int, help="of the server; by default 5000, a free one where it is taken"
    )
    wanted = parser.parse_intermixed_args(words)
    settings = [word for word in wanted.words if "=" in word and not Path(word).is_dir()]
    folders = [Path(word) for word in wanted.words if word not in settings]
    if len(folders) > 1:
        parser.error("one DIR at most")
    try:
        from fatebias.tracking.ui import show

        tracking = _tracking(settings)
        place = resolve_place(tracking)
        page = _page(place, tracking.experiment, folders[0] if folders else None)
        show(place, page, port=wanted.port, browser=not wanted.no_browser)
    except FatebiasError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:  # before the server answered
        return 130
    return 0


def _tracking(words: Sequence[str]) -> TrackingConfig:
    """Return where runs are kept: conf/tracking, conf/local and these words."""
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir

    for word in words:
        if word.partition("=")[0].partition(".")[0] != "tracking":
            raise ConfigError(
                "only settings of tracking say where runs are kept",
                where=f"command line, {word}",
                allowed="tracking=server, tracking.uri=ADDRESS, tracking.experiment=NAME",
            )
    compose.register()
    check_words(words, compose.group_options([compose.CONF]))
    with initialize_config_dir(str(compose.CONF), version_base="1.3"):
        tracking = compose.to_config(hydra_compose("config", overrides=list(words))).tracking
    if tracking.backend == "off":
        raise ConfigError("tracking=off keeps no runs in MLflow", where="tracking=off", fix="leave it out")
    return tracking


def _page(place: Place, experiment: str, folder: Path | None) -> str:
    """Return the page to open: of the sweep in a folder, or of all runs of the experiment."""
    if folder is not None:
        from fatebias.sweep.snapshot import read_sweep

        key, within = sweep_key(read_sweep(folder).id), None
    else:
        key, within = ALL_RUNS, experiment
    absent = OutputError(
        "MLflow has no runs of this sweep"
        if folder
        else f"MLflow has no runs in the experiment {experiment}",
        where=place.shown,
        found="no such database" if place.database and not place.database.exists() else None,
        fix=f"{place.sync_command(folder or Path('DIR'))}; or go where the runs were started",
    )
    if place.database is not None and not place.database.exists():
        raise absent
    if not place.answers():
        raise OutputError("the MLflow server does not answer", where=place.shown)
    from fatebias.tracking.store import Store, quiet_mlflow

    with quiet_mlflow():
        page = Store(place).find_view(key, within)
    if page is None:
        raise absent
    return page
