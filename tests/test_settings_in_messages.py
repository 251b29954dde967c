"""Settings in messages, comments of the code apart: each can be typed as it is written."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from fatebias import pasted
from fatebias.api.settings import GROUPS, keys, make_config, option
from fatebias.compose import CONF, group_options
from fatebias.errors import ConfigError
from fatebias.report.advice import what_next
from fatebias.report.command import changed, discover_again
from fatebias.report.run_files import read_run
from fatebias.sweep.settings import PREFIX, SlurmSettings
from tests.report.folders import write_run

PACKAGE = Path(pasted.__file__).parent
WORD = re.compile(
    r"(?<![\w.*-])((?:[a-z_]+\.)*[A-Za-z_]+)=(?!=)(\[[^\]\s]*\]|[^\s,;:`'\")\[]+(?:://?[^\s,;'\")]+)?)"
)
# Names in capitals are for the reader to fill in, figures in f-strings come from the run.
FILLED_IN = re.compile(r"(?:[A-Z]+|\[COLUMN\]|PATH|KEY|INPUT|N|B)$")


def words_of(path: Path) -> list[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    texts = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings
    ]
    known = {*keys(), *group_options([CONF])}
    found = [match for text in texts for match in WORD.finditer(text)]
    return [
        match[0].rstrip(".")
        for match in found
        if (match[1] in known or match[1].startswith(PREFIX)) and not FILLED_IN.match(match[2])
    ]


MESSAGES = {path: found for path in sorted(PACKAGE.rglob("*.py")) if (found := words_of(path))}
# With other settings of their own: each says so in its place.
NEED_OTHERS = {
    "data=anndata": "data.adata_path",
    "tracking=server": "tracking.uri",
    "data.cell_weights=column": "data.weights",
    "data.fates=[Monocyte,Neutrophil,Baso]": "data.ref_fate",
    "data.guide_map_csv=guides.csv": "data.adata_path",
    "data.ref_fate=Monocyte": "data.ref_fate",
    "data.contrast_fate=Baso": "data.contrast_fate",
}


def refusal(key: str, value: object) -> str | None:
    try:
        make_config(**{key: value})
    except ConfigError as error:
        return str(error)
    return None


@pytest.mark.parametrize("path", MESSAGES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_setting_in_a_message_can_be_typed(path):
    for word in MESSAGES[path]:
        override = OverridesParser.create().parse_override(word)
        key, value = override.key_or_group, override.value()
        if key.startswith(PREFIX):
            assert hasattr(SlurmSettings(), key.removeprefix(PREFIX)), word
        elif key in group_options([CONF]):
            options = group_options([CONF])[key]
            assert value in options, (word, list(options))
            if key in GROUPS:
                assert option(key, value) is not None
        else:
            needed = NEED_OTHERS.get(word, "with ")
            refused = refusal(key, value)
            assert refused is None or needed in refused, (word, refused)


def test_there_are_messages_with_settings():
    assert sum(map(len, MESSAGES.values())) > 80


def test_the_advice_of_a_report_can_be_pasted(tmp_path, composed):
    """From a run whose words hold what shells and Hydra read as their own."""
    typed = [
        "run.py",
        'out_dir="a (1), b"',
        'data.fates=["Mono, (early)",EC,MES,NEU]',
        "likelihood_weight=2.0",
    ]
    folder = write_run(
        tmp_path / "b [2], c",
        command=typed,
        weight=2.0,
        ntc=0,
        warnings=["raise inference.max_rounds"],
        contrasts=(),
    )
    run = read_run(folder)
    advised = [each.command for each in what_next(run, (), {}, ()) if each.command]
    assert advised
    commands = [*advised, changed(run, ("data.day_order", ["day 0, a", "day (2)"]), folder="it's $HOME")]
    for command in commands:
        program, script, *words = shlex.split(command)
        assert (program, script) == ("python", "run.py")
        config = composed(*words)
        assert config.data.fates == ["Mono, (early)", "EC", "MES", "NEU"]
        assert config.out_dir.startswith("a (1), b_")
    assert config.out_dir == "a (1), b_it's $HOME"
    assert config.data.day_order == ["day 0, a", "day (2)"]
    (judged,) = [word for word in shlex.split(discover_again(run)) if word.startswith("out_dir=")]
    assert composed(judged).out_dir == str(folder.absolute())
