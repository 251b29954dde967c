"""What is suggested is read back as it was meant, by the shell's rules and by Hydra's."""

import shlex

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from fatebias.pasted import choice, meant, quoted, setting

HOSTILE = [
    "EC",
    "EC_1",
    "EC 1",
    "EC,MES",
    "EC(1)",
    "EC+",
    "Naïve",
    "it's",
    'say "x"',
    "a\\",
    'a\\"b',
    "a=b",
    "a:b",
    "[x]",
    "{x}",
    "$HOME",
    "${seed}",
    "`id`",
    "; rm -rf /",
    "null",
    "true",
    "1",
    "1e5",
    "007",
    "-1",
    "nan",
    "#x",
    "a\tb",
    "~x",
    "/data/run-1.5/x",
    "/1e5",
    "*",
    "",
    " padded ",
]


def read_back(typed):
    [word] = shlex.split(typed)
    override = OverridesParser.create().parse_override(word)
    content = OmegaConf.create({"seed": 7, "value": override.value()})
    return OmegaConf.to_container(content, resolve=True)["value"]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_is_read_back_by_itself_and_in_lists_and_mappings(name):
    assert read_back(setting("data.day_key", name)) == name
    (word,) = shlex.split(setting("out_dir", name))
    assert "${" in name or meant(word.partition("=")[2]) == name
    assert read_back(setting("data.fates", [name, "MES"])) == [name, "MES"]
    merged = read_back(setting("data.merge_fates", {"EC": [name, "EC_2"]}))
    assert merged == {"EC": [name, "EC_2"]}


@pytest.mark.parametrize("name", ["EC", "EC 1", "IFN (high)", "a,b", "x:y", "p=q", "[z]", "A+B"])
def test_a_key_of_a_mapping_is_read_back(name):
    assert read_back(setting("data.merge_fates", {name: ["EC_1"]})) == {name: ["EC_1"]}


@pytest.mark.parametrize("value", [40, 0.5, None, True, [1, 2], ["d0", "d2"]])
def test_other_values_are_read_back(value):
    assert read_back(setting("data.x", value)) == value


@pytest.mark.parametrize(
    ("typed", "names"),
    [
        ("[Early EC/1,MES (late),NEU+]", ["Early EC/1", "MES (late)", "NEU+"]),
        ("[NEU+-MES (late)]", ["NEU+-MES (late)"]),
        ("""["Mono, (early)", Neu+ ,Baso [x]]""", ["Mono, (early)", "Neu+", "Baso [x]"]),
        ("['a, b',3' UTR (x)]", ["a, b", "3' UTR (x)"]),
        ("MES (late)", "MES (late)"),
        ("(x)", "(x)"),
    ],
)
def test_what_was_typed_without_quotes_gets_them(typed, names):
    assert read_back(quoted(f"data.x={typed}")) == names


def test_what_needs_no_quotes_has_none():
    assert setting("data.Kmax", 40) == "data.Kmax=40"
    assert setting("data.day_key", "stage") == "data.day_key=stage"
    assert setting("data.day_order", ["d0", "d2"]) == "'data.day_order=[d0,d2]'"


def test_a_path_needs_no_quotes():
    assert setting("out_dir", "/data/my_run-2") == "out_dir=/data/my_run-2"


@pytest.mark.parametrize(
    ("names", "wanted", "offered"),
    [
        (["batch", "Day"], "day", "data.x=Day (or another of these)"),
        (["guide", "rna (1), a"], "rna", "'data.x=\"rna (1), a\"' (or another of these)"),
        (["covar"], "cov", "data.x=covar"),
        (["b", "a"], "", "data.x=b (or another of these)"),
        ([], "day", "data.x=NAME"),
    ],
)
def test_of_several_names_the_nearest_is_offered(names, wanted, offered):
    assert choice("data.x", names, wanted) == offered
