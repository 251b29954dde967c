"""Where MLflow's pages open: its shared views, which choose columns, order and charts of the table of runs.

MLflow keeps a view as a tag of the experiment, `mlflow.sharedViewState.KEY`, and opens it by its key in the
address of the page. What a view leaves out MLflow fills in. Its names are those of MLflow's own pages
(ExperimentPageUIState and ExperimentPageSearchFacetsState, read in 3.17), columns are ``metrics.`hits` ``.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from fatebias.tracking.describe import DIFFERING_TAG, SUMMARY_TAG, SWEEP_TAG, WEIGHT
from fatebias.tracking.figures import HEADLINE

TAG = "mlflow.sharedViewState."
ALL_RUNS = "fatebias"  # key of the view of every run of an experiment
PRIORS = "priors"
CONVERGED = "tags.`converged`"
ALONE = (f"params.`{PRIORS}`", f"params.`{WEIGHT}`")
WIDTHS = {  # pixels, for their names
    "attributes.`Run Name`": 200,
    f"params.`{PRIORS}`": 90,
    f"params.`{WEIGHT}`": 140,
    "metrics.`hits`": 75,
    "metrics.`expected_false`": 125,
    "metrics.`calls`": 75,
    "metrics.`heldout_score`": 125,
}
WIDTH = 110
# Without it MLflow opens a page for language models, whatever the experiment is tagged as.
WORKFLOW = "workflowType=machine_learning"
REPEATS = ("seed", "data.simulate.seed")
CHARTS_TITLE = "Results"


def sweep_key(sweep_id: str) -> str:
    """Return the key of the view of one sweep."""
    return f"sweep-{sweep_id}"


def key_for(tags: Mapping[str, str]) -> str:
    """Return the key of the view that shows a run with these tags beside those it belongs to."""
    sweep = tags.get(SWEEP_TAG, tags.get(SUMMARY_TAG))
    return ALL_RUNS if sweep is None else sweep_key(sweep)


def views_of(tags: Mapping[str, str], metrics: Sequence[str]) -> dict[str, str]:
    """Return the views that a run with these tags and metrics belongs to: key and content of each."""
    figures = [f"metrics.`{name}`" for name in _shown(metrics)]
    found = {ALL_RUNS: _content(figures, ALONE, newest_first=True)}
    if SWEEP_TAG in tags:
        differing = [key for key in tags.get(DIFFERING_TAG, "").split(", ") if key]
        settings = list(dict.fromkeys([*(f"params.`{key}`" for key in differing), *ALONE]))
        query = f"tags.{SWEEP_TAG} = '{tags[SWEEP_TAG]}'"
        found[sweep_key(tags[SWEEP_TAG])] = _content(figures, settings, query=query, differing=differing)
    return found


def run_page(experiment_id: str, run_id: str) -> str:
    """Return the page of one run, to be put behind the address of a server."""
    return f"/#/experiments/{experiment_id}/runs/{run_id}?{WORKFLOW}"


def runs_page(experiment_id: str, key: str) -> str:
    """Return the page of the runs in a view, to be put behind the address of a server."""
    return f"/#/experiments/{experiment_id}/runs?viewStateShareKey={key}&{WORKFLOW}"


def further_figures(content: str | None) -> list[str]:
    """Return the hits of further contrasts that a view shows already: not every run has the same."""
    columns = json.loads(content)["selectedColumns"] if content else []
    names = [column.removeprefix("metrics.`").removesuffix("`") for column in columns]
    return [name for name in names if name.startswith("hits_")]


def _shown(metrics: Sequence[str]) -> list[str]:
    further = dict.fromkeys(name for name in metrics if name.startswith("hits_"))
    return [HEADLINE[0], *further, *HEADLINE[1:]]


def _content(
    figures: Sequence[str],
    settings: Sequence[str],
    *,
    query: str = "",
    differing: Sequence[str] = (),
    newest_first: bool = False,
) -> str:
    columns = [*settings, *figures, CONVERGED]
    state: dict[str, Any] = {
        "searchFilter": query,
        "orderByKey": "attributes.start_time",
        "orderByAsc": not newest_first,
        "selectedColumns": columns,
        "columnOrder": ["attributes.`Run Name`", "runDateAndNestInfo", *columns],
        "columnWidths": {**dict.fromkeys(columns, WIDTH), **WIDTHS},
        "groupBy": _groups(differing),
        "runsHiddenMode": "SHOW_ALL",
        **_charts(list(differing) or [PRIORS, WEIGHT]),
    }
    return json.dumps(state, sort_keys=True, ensure_ascii=False)


def _groups(differing: Sequence[str]) -> dict[str, Any] | None:
    """Group runs that differ in their seed alone, where other settings differ too: a row has their mean."""
    others = [key for key in differing if key not in REPEATS]
    if not others or len(others) == len(differing):
        return None
    keys = [{"mode": "param", "groupByData": key} for key in others]
    return {"aggregateFunction": "average", "groupByKeys": keys}


def _charts(settings: list[str]) -> dict[str, Any]:
    """Return the charts that come first: settings beside the results, then each result as bars."""
    section = _id(CHARTS_TITLE)
    beside: dict[str, Any] = {
        "type": "PARALLEL",
        "displayName": "Settings and hits",
        "selectedParams": settings,
        "selectedMetrics": list(HEADLINE[:2]),
    }
    bars: list[dict[str, Any]] = [{"type": "BAR", "metricKey": name} for name in HEADLINE]
    common = {"metricSectionId": section, "deleted": False, "isGenerated": False, "runsCountToCompare": 100}
    cards = [
        {**common, **card, "uuid": _id(f"{card['type']} {card.get('metricKey')}")} for card in (beside, *bars)
    ]
    head = {"uuid": section, "name": CHARTS_TITLE, "display": True, "deleted": False}
    return {
        "compareRunCharts": cards,
        "compareRunSections": [{**head, "isReordered": False, "isGenerated": False}],
        "isAccordionReordered": True,
    }


def _id(name: str) -> str:
    """Return an id that is the same whenever the view is written."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"fatebias {name}"))
