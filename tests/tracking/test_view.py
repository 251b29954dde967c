"""What a shared view of MLflow holds, and which page opens it."""

from __future__ import annotations

import json

from fatebias.tracking.view import key_for, runs_page, views_of

IN_SWEEP = {"sweep_id": "abc", "sweep_settings": "seed, priors", "priors": "weak"}


def test_a_sweep_has_a_view_of_its_own_beside_that_of_all_runs() -> None:
    assert list(views_of({}, [])) == ["fatebias"]
    views = {key: json.loads(content) for key, content in views_of(IN_SWEEP, ["hits", "hits_NEU"]).items()}
    assert list(views) == ["fatebias", "sweep-abc"]
    every, own = views.values()
    assert (every["searchFilter"], every["orderByAsc"]) == ("", False)
    assert (own["searchFilter"], own["orderByAsc"]) == ("tags.sweep_id = 'abc'", True)
    assert own["selectedColumns"] == [
        "params.`seed`",
        "params.`priors`",
        "params.`likelihood_weight`",
        "metrics.`hits`",
        "metrics.`hits_NEU`",
        "metrics.`expected_false`",
        "metrics.`calls`",
        "metrics.`heldout_score`",
        "metrics.`weight_used`",
        "tags.`converged`",
    ]
    assert set(own["selectedColumns"]) < set(own["columnOrder"])


def test_runs_that_repeat_others_with_another_seed_are_grouped() -> None:
    assert json.loads(views_of(IN_SWEEP, [])["sweep-abc"])["groupBy"] == {
        "aggregateFunction": "average",
        "groupByKeys": [{"mode": "param", "groupByData": "priors"}],
    }
    for settings in ("seed", "priors, likelihood_weight"):
        view = views_of({**IN_SWEEP, "sweep_settings": settings}, [])["sweep-abc"]
        assert json.loads(view)["groupBy"] is None


def test_a_view_fits_a_tag_of_mlflow_and_opens_the_table_of_runs() -> None:
    many = {**IN_SWEEP, "sweep_settings": ", ".join(f"data.simulate.setting_{n}" for n in range(12))}
    assert all(len(content) <= 5000 for content in views_of(many, ["hits"]).values())
    assert (key_for({}), key_for(IN_SWEEP), key_for({"summary_of_sweep": "abc"})) == (
        "fatebias", "sweep-abc", "sweep-abc",
    )  # fmt: skip
    assert runs_page("3", "k") == "/#/experiments/3/runs?viewStateShareKey=k&workflowType=machine_learning"
