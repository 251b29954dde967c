"""What a user copies works: examples in docstrings, commands and Python of README and docs, the tutorial."""

from __future__ import annotations

import argparse
import ast
import doctest
import os
import re
import runpy
import sys
from collections.abc import Callable
from importlib import import_module
from inspect import ismodule
from pathlib import Path

import pandas as pd
import pytest

import fatebias as fb
from fatebias import compose
from fatebias.app.overrides import check_words
from tests import examples

MODULES = [
    "fatebias.mash.joint",
    "fatebias.mash.multivariate",
    "fatebias.mash.null_correlation",
    "fatebias.mash.univariate",
    "fatebias.mash.covariances",
    "fatebias.discovery.core",
    "fatebias.api.screens",
    "fatebias.pl._controls",
    "fatebias.pl._hits",
    "fatebias.pl._loss",
    "fatebias.pl._spike_in",
    "fatebias.pl._sweep",
]
TUTORIAL = examples.ROOT / "docs" / "tutorial.md"
A_FILE = re.compile(r"[\w-]+\.(?:h5ad|h5mu|csv)")
# Options that a page tells users to write for themselves, and ours in their place.
USERS_OWN = {"launcher=mylab": "launcher=slurm", "experiment=screen7": "experiment=calibrated"}
GROUPS = compose.group_options([compose.CONF])


@pytest.mark.parametrize("name", MODULES)
def test_examples_give_what_they_show(name):
    result = doctest.testmod(import_module(name))
    assert result.attempted > 0 or name.endswith("covariances")
    assert result.failed == 0


@pytest.fixture
def taken(composed, tmp_path, monkeypatch) -> Callable[[examples.Example], None]:
    """Take a command as the command line does, up to where it would begin to work."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SCRATCH", str(tmp_path))
    (tmp_path / "compare").mkdir()  # the folder of a sweep, on the pages

    def take(example: examples.Example) -> None:
        for name in A_FILE.findall(example.text):
            (tmp_path / name).touch()
        words = [USERS_OWN.get(os.path.expandvars(word), os.path.expandvars(word)) for word in example.words]
        if words[:2] == ["python", "-m"]:
            _parsed(monkeypatch, words[2], words[3:])
            return
        words = words[2:] if words[0] == "python" else words[1:] if words[0] == "fatebias" else words
        if "=" in example.words[0]:  # settings that a page shows without their command
            check_words(words, GROUPS)
            return
        if words and "=" not in words[0] and not words[0].startswith("-"):
            _parsed(monkeypatch, "fatebias.app", words)
            return
        _composed(words, composed)

    return take


def _parsed(monkeypatch: pytest.MonkeyPatch, module: str, words: list[str]) -> None:
    """Let a command of its own parse its words, and end it there."""

    class Parsed(BaseException):
        pass

    def ending(parse):
        def parse_and_end(self, *args, **kwargs):
            parse(self, *args, **kwargs)
            raise Parsed

        return parse_and_end

    with monkeypatch.context() as patched:
        for name in ("parse_args", "parse_intermixed_args"):
            patched.setattr(argparse.ArgumentParser, name, ending(getattr(argparse.ArgumentParser, name)))
        patched.setattr(sys, "argv", [module, *words])
        for name in (module, f"{module}.__main__"):  # run as if it were the first time
            # a package imported twice would leave its parent with one that lacks its modules
            if not hasattr(sys.modules.get(name), "__path__"):
                patched.delitem(sys.modules, name, raising=False)
        with pytest.raises(Parsed):
            runpy.run_module(module, run_name="__main__", alter_sys=True)


def _composed(words: list[str], composed: Callable[..., object]) -> None:
    """Check the words of a run, all that a sweep tries among them, then compose it and check its values."""
    from hydra._internal.utils import get_args_parser
    from hydra.core.override_parser.overrides_parser import OverridesParser

    typed = get_args_parser().parse_intermixed_args(words).overrides
    check_words(typed, GROUPS)
    last = []
    for word, override in zip(typed, OverridesParser.create().parse_overrides(typed), strict=True):
        tried = [word]
        if override.is_sweep_override():
            tried = [f"{override.key_or_group}={value}" for value in override.sweep_string_iterator()]
            named(tried)
        last.append(tried[-1])
    composed(*last)


def named(settings: list[str]) -> None:
    """Check that settings exist, and options of a group."""
    check_words(settings, GROUPS)
    for each in settings:
        key, _, value = each.partition("=")
        for option in value.strip('[]"').split(",") if key in GROUPS else ():
            assert option in GROUPS[key], each


@pytest.mark.parametrize("paper", examples.PAPERS, ids=lambda path: path.name)
def test_commands_of_the_papers_are_taken(paper, taken, request):
    found = list({example.text: example for example in examples.commands(paper)}.values())
    if any("optuna" in example.text for example in found):
        request.getfixturevalue("optuna")
    for example in found:
        try:
            taken(example)
        except (Exception, SystemExit) as error:
            pytest.fail(f"{example.place}: {example.text}\n{error}")


@pytest.mark.parametrize("paper", examples.PAPERS, ids=lambda path: path.name)
def test_settings_that_the_papers_name_exist(paper):
    for example in examples.settings(paper):
        group = example.text.partition("=")[0].partition(".")[0]
        if group in GROUPS and not re.search(r"=[A-Z]+$|\.[A-Z]+=", example.text):  # NAME, KEY=VALUE
            named([USERS_OWN.get(example.text, example.text)])


@pytest.mark.parametrize("paper", examples.PAPERS, ids=lambda path: path.name)
def test_python_of_the_papers_names_what_there_is(paper):
    for example in examples.python(paper):
        for node in ast.walk(ast.parse(example.text)):
            dotted = ast.unparse(node) if isinstance(node, ast.Attribute) else ""
            if re.fullmatch(r"fb(\.\w+)+", dotted):
                found = fb
                for name in dotted.split(".")[1:]:
                    assert hasattr(found, name), f"{example.place}: {dotted}"
                    found = getattr(found, name)


@pytest.mark.parametrize(("page", "module"), [("api", fb), ("api-pl", fb.pl), ("api-mash", fb.mash)])
def test_the_reference_has_all_that_is_public(page, module):
    text = (examples.ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    shown = re.findall(rf"^\.\. auto(?:class|function):: {module.__name__}\.(\w+)$", text, re.M)
    assert sorted(shown) == sorted(name for name in module.__all__ if not ismodule(getattr(module, name)))


def small_demo(folder: Path) -> tuple[Path, Path]:
    """Write an eighth of the bundled screen's cells, with six of its genes."""
    import anndata

    file, guide_map = fb.demo_files()
    guides = pd.read_csv(guide_map)
    guides = guides[
        guides["gene_name"].isin(["ETV2", "SMARCA4", "BMP4", "KDR", "RBPJ", "TBXT"]) | guides["is_ntc"]
    ]
    demo = anndata.read_h5ad(file)[:1000].copy()
    kept = [list(demo.uns["guide_names"]).index(name) for name in guides["guide_name"]]
    demo.obsm["guide"] = demo.obsm["guide"][:, kept]
    demo.uns = {"guide_names": guides["guide_name"].to_numpy(object)}
    demo.write_h5ad(folder / "demo.h5ad")
    guides.to_csv(folder / "demo.csv", index=False)
    return folder / "demo.h5ad", folder / "demo.csv"


SMALL = [
    "inference=laplace",
    "inference.num_posterior_draws=200",
    "calibration.control_draws=1",
    "tracking=off",
]


@pytest.mark.slow
def test_the_tutorial_from_cellranks_file_to_the_report(composed, tmp_path, tmp_path_factory, monkeypatch):
    """Its Python and its commands up to the report do what they say, on a part of the bundled screen."""
    from fatebias.report.__main__ import main as write_report
    from fatebias.run import pipeline
    from fatebias.run.look import look

    monkeypatch.chdir(tmp_path)
    files = small_demo(tmp_path_factory.mktemp("demo"))
    monkeypatch.setattr("fatebias.api.demo_files", lambda: files)
    *making_files, in_python = [example.text for example in examples.python(TUTORIAL)]
    names: dict[str, object] = {}
    for block in making_files:
        exec(block, names)

    typed = [example.words[2:] for example in examples.commands(TUTORIAL) if example.words[1] == "run.py"]
    check, run, report = typed[:3]
    assert "named by obs['term_states_fwd']" in look(composed(*check))
    pipeline.run(composed(*run, *SMALL))
    assert set(pd.read_csv("results/hits_ranked.csv").query("hit_anyday")["gene"]) >= {"ETV2", "SMARCA4"}
    page = Path("results/report.html")
    page.unlink()
    assert (report[0], write_report(report[1:])) == ("report", 0)
    assert "ETV2" in page.read_text(encoding="utf-8")

    small = in_python.replace('inference="laplace"', 'inference="laplace", progress=False')
    exec(small.replace("fb.discover(fit)", 'fb.discover(fit, engine="native")'), names)
    assert set(names["hits"].table.query("hit_anyday")["gene"]) >= {"ETV2", "SMARCA4"}
    assert Path("hits.png").is_file()
