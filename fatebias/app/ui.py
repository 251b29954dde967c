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
from fatebias.sweep.snapshot import read_sweep
from fatebias.tracking.place import Place, resolve_place
from fatebias.tracking.view import ALL_RUNS, sweep_key


def main(words: Sequence[str], prog: str = "fatebias ui") -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(
        prog,
        description="Opens the runs in MLflow. For the database of tracking=local a server is started on "
        "this machine alone, which Ctrl-C ends; with tracking=server the page of that server is opened.",
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
        pages = _pages(place, tracking.experiment, folders[0] if folders else None)
        show(place, pages, port=wanted.port, browser=not wanted.no_browser)
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


def _pages(place: Place, experiment: str, folder: Path | None) -> list[tuple[str, str]]:
    """Return pages, each after what it is: a sweep's runs and summary, or the runs of an experiment."""
    sweep = read_sweep(folder).id if folder else None
    key, within = (ALL_RUNS, experiment) if sweep is None else (sweep_key(sweep), None)
    here = place.database is None or place.database.exists()
    if not place.answers():
        raise OutputError("the MLflow server does not answer", where=place.shown)
    page = None
    if here:
        from fatebias.tracking.store import Store, quiet_mlflow

        with quiet_mlflow():
            store = Store(place)
            page, summary = store.find_view(key, within), store.find_summary(sweep) if sweep else None
    if page is None:
        raise OutputError(
            f"MLflow has no runs {'of this sweep' if sweep else f'in the experiment {experiment}'}",
            where=place.shown,
            found=None if here else "no such database",
            fix=f"{place.sync_command(folder or Path('DIR'))}; or go where the runs were started",
        )
    found = [("the runs", page)]
    return [*found, ("pictures and tables of the sweep", summary)] if summary else found
