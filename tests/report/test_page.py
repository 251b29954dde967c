"""The page as a file: names are text, nothing is fetched, the same run gives the same bytes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from html.parser import HTMLParser

import pytest

import fatebias as fb
from fatebias.pl._ranking import sureness
from fatebias.report.charts.frame import Frame, linear, logarithmic
from tests.report.folders import HOSTILE, write_run

OWN_SCRIPTS = 2  # the cards' JSON and page.js


class Elements(HTMLParser):
    """What a browser makes of a page: elements, their attributes, texts outside scripts and styles."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.names.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data):
        if self.names and self.names[-1] not in ("script", "style"):
            self.texts.append(data)


def parsed(folder) -> tuple[str, Elements]:
    page = fb.write_report(folder).read_text(encoding="utf-8")
    found = Elements()
    found.feed(page)
    return page, found


def test_hostile_names_are_text_and_nothing_else(hostile_folder):
    page, found = parsed(hostile_folder)
    assert found.names.count("script") == OWN_SCRIPTS
    assert page.lower().count("</script") == OWN_SCRIPTS
    assert not {"img", "b", "i>", "u", "iframe", "object", "link"} & set(found.names)
    assert not [name for name, _ in found.attributes if name.startswith("on")]
    said = " ".join(found.texts)
    for gene in HOSTILE:
        assert gene in said
    assert "<u>loss</u> falls" in said


def test_nothing_is_fetched(run_folder):
    _, found = parsed(run_folder)
    places = [
        value for name, value in found.attributes if name in ("src", "href", "action", "data", "poster")
    ]
    assert places
    assert all(place.startswith("#") for place in places)
    (policy,) = [value for name, value in found.attributes if name == "content" and "default-src" in value]
    assert "default-src 'none'" in policy


def test_anchors_of_the_page_exist(run_folder):
    _, found = parsed(run_folder)
    ids = [value for name, value in found.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    assert {value[1:] for name, value in found.attributes if name == "href"} <= set(ids)
    cards = {value for name, value in found.attributes if name == "data-card"}
    assert {f"row-{card}" for card in cards} <= set(ids)


def test_the_same_files_give_the_same_bytes(run_folder):
    assert fb.write_report(run_folder).read_bytes() == fb.write_report(run_folder).read_bytes()


def test_the_command_needs_neither_torch_nor_anndata_nor_matplotlib(tmp_path):
    folder = write_run(tmp_path / "it's a run")
    code = (
        "import sys; from fatebias.report.__main__ import main\n"
        f"assert main([{str(folder)!r}]) == 0\n"
        "print(sorted({'torch', 'pyro', 'anndata', 'matplotlib', 'hydra', 'mlflow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [str(folder / "report.html"), "[]"]
    assert (folder / "report.html").stat().st_size > 50_000


def test_the_command_refuses_a_file_that_is_not_the_run_s(run_folder, tmp_path, capsys):
    from fatebias.files.atomic import sha256_file
    from fatebias.report.__main__ import main

    folder = tmp_path / "cut"
    shutil.copytree(run_folder, folder)
    record = json.loads((folder / "run.json").read_text())
    table = folder / "guide_summary.csv"
    record["stages"]["fit"]["outputs"] = {table.name: sha256_file(table)}
    (folder / "run.json").write_text(json.dumps(record))
    assert main([str(folder)]) == 0
    before = (folder / "report.html").read_bytes()
    table.write_bytes(table.read_bytes()[:400])
    assert main([str(folder)]) == 1
    assert "guide_summary.csv is not what the run wrote" in capsys.readouterr().err
    assert (folder / "report.html").read_bytes() == before


def test_a_guide_that_no_cell_holds_does_not_agree(run_folder, tmp_path):
    import pandas as pd

    from fatebias.report.page import page_of
    from fatebias.report.run_files import read_run

    folder = tmp_path / "unheld"
    shutil.copytree(run_folder, folder)
    whole = page_of(read_run(folder)).rows[0]
    guides = pd.read_csv(folder / "guide_summary.csv", keep_default_na=False)
    guides.loc[guides.index[guides["gene"] == whole.gene][0], "cells"] = 0
    guides.to_csv(folder / "guide_summary.csv", index=False)
    assert page_of(read_run(folder)).rows[0].guides == whole.guides - 1


def test_the_command_says_what_it_lacks(tmp_path, capsys):
    from fatebias.report.__main__ import main

    assert main([str(tmp_path)]) == 1
    assert "there is no finished discovery to report" in capsys.readouterr().err


def test_lfsr_is_spread_so_that_the_surest_are_told_apart():
    apart = [sureness(rate) for rate in (0.5, 0.05, 1e-10, 1e-40, 1e-100)]
    assert all(b - a > 0.5 for a, b in zip(apart, apart[1:], strict=False))
    assert sureness(0.0) > sureness(1e-300)


@pytest.mark.parametrize(("low", "high"), [(-1.3, 1.3), (0, 0.0007), (5, 5), (-2, 40_000)])
def test_axes_cover_their_values_with_a_handful_of_ticks(low, high):
    axis = linear(low, high, "")
    assert axis.low <= low
    assert axis.high >= high
    assert 3 <= len(axis.ticks) <= 12
    assert len({text for _, text in axis.ticks}) == len(axis.ticks)


@pytest.mark.parametrize(("low", "high"), [(150, 340), (1, 2), (3, 90_000), (20, 20), (20, 23)])
def test_logarithmic_axes_have_ticks_even_over_a_narrow_range(low, high):
    axis = logarithmic(low, high, "")
    assert 2 <= len(axis.ticks) <= 10
    assert axis.share(low) > 0
    assert axis.share(high) < 1


def test_a_name_in_capitals_goes_to_the_left_where_the_right_has_no_room_for_it():
    frame = Frame(linear(0, 100, "", tight=True), linear(0, 1, ""), title="")
    at = next(x for x in range(100) if frame.px(x) + 5 + 6.2 * 8 > frame.width)
    frame.label(at, 0.5, "MMMGENE1")
    assert 'text-anchor="end"' in frame.svg().split("MMMGENE1")[0].rpartition("<text")[2]


@pytest.mark.parametrize(
    "changed",
    [
        lambda record: record["stages"]["fit"].update(screen=3),
        lambda record: record.update(command=7, versions=None),
        lambda record: record.update(stages={"fit": {"status": "done"}, "discover": {"status": "done"}}),
        lambda record: record.update(stages=[]),
    ],
    ids=["a number for the screen", "no command", "empty stages", "a list of stages"],
)
def test_the_command_refuses_a_record_of_another_shape(run_folder, tmp_path, capsys, changed):
    from fatebias.report.__main__ import main

    folder = tmp_path / "other"
    shutil.copytree(run_folder, folder)
    record = json.loads((folder / "run.json").read_text())
    changed(record)
    (folder / "run.json").write_text(json.dumps(record))
    assert main([str(folder)]) == 1
    said = capsys.readouterr().err
    assert "another shape" in said or "no finished discovery" in said
    assert "Traceback" not in said
