"""conf/ against the schema: the same defaults in both, and every option of every group composes."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import yaml

from fatebias import compose
from fatebias.config import Config

OPTIONS = [
    (group, option)
    for group, options in compose.group_options([compose.CONF]).items()
    for option in options
    if group not in ("experiment", "local")
]
NEEDED = {
    ("data", "anndata"): ["data.adata_path=screen.h5ad", "data.guide_map_csv=guides.csv"],
    ("tracking", "server"): ["tracking.uri=http://127.0.0.1:5000"],
}
# What an option says about itself is not a default; the rest of these files is.
OWN_CHOICE = {"data": "source", "inference": "method", "discovery": "method", "tracking": "backend"}


def flat(node: object, prefix: str = "") -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in (node if isinstance(node, dict) else {}).items():
        found |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return found


@pytest.mark.parametrize(("group", "option"), OPTIONS)
def test_every_option_of_every_group_composes_and_passes_the_checks(composed, group, option):
    config = composed(f"{group}={option}", *NEEDED.get((group, option), []))
    assert isinstance(config, Config)


@pytest.mark.parametrize(
    ("group", "option"),
    [
        ("data", "anndata"),
        ("data", "simulated"),
        ("priors", "default"),
        ("model", "default"),
        ("inference", "svi"),
        ("discovery", "mashr"),
        ("tracking", "local"),
    ],
)
def test_the_values_in_a_default_option_are_those_of_its_dataclass(group, option):
    written = flat(yaml.safe_load((compose.CONF / group / f"{option}.yaml").read_text()))
    schema = flat(dataclasses.asdict(getattr(Config(), group)))
    written.pop(OWN_CHOICE.get(group, ""), None)
    assert written
    assert {key: schema[key] for key in written} == written


def test_the_values_of_no_group_are_those_of_the_dataclass():
    written = yaml.safe_load((compose.CONF / "base.yaml").read_text())
    del written["hydra"]
    schema = dataclasses.asdict(Config())
    assert set(written) == {key for key, value in schema.items() if not isinstance(value, dict)}
    assert {key: schema[key] for key in written} == written


def test_a_bare_command_is_the_schema_itself(composed):
    assert composed() == Config()


@pytest.mark.parametrize(("option", "factor"), [("weak", 2.0), ("tight", 0.5)])
def test_weak_and_tight_are_about_twice_and_half_as_broad(composed, option, factor):
    default = dataclasses.asdict(composed().priors)
    other = dataclasses.asdict(composed(f"priors={option}").priors)
    assert {name: other[name] / default[name] for name in default} == pytest.approx(
        dict.fromkeys(default, factor), rel=0.2
    )


def test_ashr_differs_from_mashr_in_the_method_alone(composed):
    mashr = dataclasses.asdict(composed("discovery=mashr").discovery)
    ashr = dataclasses.asdict(composed("discovery=ashr").discovery)
    assert {key for key in mashr if mashr[key] != ashr[key]} == {"method"}


def test_every_option_says_in_its_first_comment_what_it_is():
    silent = [
        f"{group}={option}"
        for group, options in compose.group_options([compose.CONF]).items()
        for option, comment in options.items()
        if not comment
    ]
    assert not silent


def test_a_comment_that_is_a_package_line_is_no_description(tmp_path: Path):
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text("# @package _global_\n# What it is for.\nseed: 1\n")
    assert compose.group_options([tmp_path])["experiment"] == {"mine": "What it is for."}
