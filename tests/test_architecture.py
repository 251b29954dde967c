"""Imports run one way, mash needs numpy and scipy alone, the papers name files and modules that exist."""

from __future__ import annotations

import ast
import functools
import graphlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# From the ground up: a room imports only from itself and from rooms before it. A file at the root of the
# package is a room of its own; "fatebias" is its __init__.py, "run.py" the script at the top of the project.
ROOMS = [
    "errors",
    "pasted",
    "names",
    "contrasts",
    "slurm_queue",
    "signals",
    "files",
    "mash",
    "config",
    "data",
    "model",
    "inference",
    "estimates",
    "discovery",
    "pl",
    "report",
    "api",
    "preparation",
    "fatebias",
    "checks",
    "tracking",
    "run",
    "compose",
    "sweep",
    "app",
    "hydra_plugins",
    "run.py",
]
HEAVY = ("torch", "pyro", "mlflow", "anndata", "zarr", "matplotlib", "submitit", "pandas", "hydra")


@functools.cache
def modules() -> dict[str, Path]:
    """Return every module of the project by its dotted name; run.py is called "run.py"."""
    found = {"run.py": ROOT / "run.py"}
    for top in ("fatebias", "hydra_plugins"):
        for path in sorted((ROOT / top).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def room(module: str) -> str:
    first, _, rest = module.partition(".")
    return rest.partition(".")[0] if first == "fatebias" and rest else "run.py" if first == "run" else first


def imports(name: str) -> Iterator[tuple[str, int]]:
    """Yield what a module imports of the project, with the line, wherever in the file the import is."""
    path = modules()[name]
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            wanted = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            source = ".".join([*above, *([node.module] if node.module else [])])
            wanted = [f"{source}.{alias.name}" for alias in node.names]
        elif (
            isinstance(node, ast.Call)
            and ast.unparse(node.func).endswith("import_module")
            and node.args
            and isinstance(node.args[0], ast.Constant)
        ):
            wanted = [str(node.args[0].value)]
        else:
            continue
        for word in wanted:
            if word == "fatebias.__version__":  # a constant of the package, which every room may tell
                continue
            # `from package import thing`: the thing is a module, or else lies in the package itself
            for known in (word, word.rpartition(".")[0]):
                if known in modules():
                    yield known, node.lineno
                    break


@functools.cache
def arrows() -> list[tuple[str, str, int]]:
    """Return who imports whom, and on which line."""
    return [(name, other, line) for name in modules() for other, line in imports(name) if other != name]


def test_every_module_lies_in_a_room_of_the_list():
    assert {name for name in modules() if room(name) not in ROOMS} == set()


def test_a_module_imports_only_from_its_own_room_and_those_before_it():
    up = [
        f"{name}:{line} ({room(name)}) imports {other} ({room(other)})"
        for name, other, line in arrows()
        if ROOMS.index(room(other)) > ROOMS.index(room(name))
    ]
    assert not up, "\n" + "\n".join(up)


def test_no_modules_import_each_other_in_a_circle():
    graph: dict[str, set[str]] = {}
    for name, other, _ in arrows():
        graph.setdefault(name, set()).add(other)
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


def test_mash_knows_nothing_of_screens():
    used = {f"{name}:{line} {other}" for name, other, line in arrows() if room(name) == "mash"}
    assert {each for each in used if room(each.split()[1]) not in ("mash", "errors")} == set()


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("fatebias", HEAVY),
        ("fatebias.mash", HEAVY),
        ("fatebias.app.cli", [name for name in HEAVY if name not in ("hydra", "pandas")]),
    ],
)
def test_what_an_import_does_not_load(module, absent):
    code = f"import sys, {module}; print([name for name in {list(absent)} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=600
    )
    assert done.stdout.strip() == "[]"


# What papers, settings and code say of files and modules of the project. CHANGELOG.md tells of the past.
PAPERS = [
    path
    for pattern in ("*.md", "docs/*.md", "benchmarks/**/*", "conf/**/*", "fatebias/**/*", "tests/**/*")
    for path in sorted(ROOT.glob(f"{pattern}"))
    if path.suffix in (".md", ".py", ".yaml", ".R") and path.name not in ("CHANGELOG.md", Path(__file__).name)
    if "local" not in path.parts
]
FOLDERS = "benchmarks|conf|docs|examples|fatebias|hydra_plugins|mashr|tests"
A_PATH = re.compile(rf"(?<![\w/.~$*{{}}-])(?:{FOLDERS})/[\w./-]*\w")
A_MODULE = re.compile(r"(?<![\w/.{-])(?:fatebias|benchmarks)(?:\.[A-Za-z_]\w*)+")
A_COMMAND = re.compile(r"-m (fatebias[\w.]*|benchmarks[\w.]*)")
A_LINK = re.compile(r"\]\((?!https?://)([^)#\s]*)(?:#([^)\s]+))?\)")
MADE_BY_USERS = ("conf/local", "conf/launcher/mylab.yaml")  # in .gitignore, or an example of a name
NO_MODULES = (
    "fatebias.id",
    "fatebias.imported",
    "fatebias.command",
    "fatebias.folder",
    "fatebias.options",
)  # tags of MLflow, Hydra's resolvers


def known(dotted: str) -> bool:
    """Say whether it is a module, or a name that its module holds."""
    parts = dotted.split(".")
    for length in range(len(parts), 0, -1):
        path = ROOT.joinpath(*parts[:length])
        for file in (path.with_suffix(".py"), path / "__init__.py"):
            if file.is_file():
                rest = parts[length : length + 1]
                return not rest or re.search(rf"\b{rest[0]}\b", file.read_text(encoding="utf-8")) is not None
    return False


def headings(path: Path) -> set[str]:
    """Return the anchors of a markdown file as GitHub makes them."""
    lines = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", line.strip().lower()).replace(" ", "-") for line in lines}


def _places(paper: Path, text: str, found: re.Match[str]) -> str:
    return f"{paper.relative_to(ROOT)}:{text.count(chr(10), 0, found.start()) + 1}: {found[0]}"


def test_files_and_modules_that_are_named_exist():
    dead = []
    for paper in PAPERS:
        text = paper.read_text(encoding="utf-8")
        for found in A_PATH.finditer(text):
            path = found[0]
            if path.startswith(MADE_BY_USERS) or "NAME" in path or text[found.end() :].startswith(("*", "{")):
                continue
            if not any((ROOT / word).exists() for word in (path, f"{path}.yaml")):
                dead.append(_places(paper, text, found))
        for found in A_MODULE.finditer(text):
            if found[0] not in NO_MODULES and "NAME" not in found[0] and not known(found[0]):
                dead.append(_places(paper, text, found))
        for found in A_COMMAND.finditer(text):
            path = ROOT.joinpath(*found[1].rstrip(".").split("."))
            if "NAME" not in found[1] and not any(
                each.is_file() for each in (path.with_suffix(".py"), path / "__main__.py")
            ):
                dead.append(_places(paper, text, found))
    assert not dead, "\n" + "\n".join(dead)


def test_links_of_the_papers_lead_somewhere():
    dead = []
    for paper in [each for each in PAPERS if each.suffix == ".md"]:
        text = paper.read_text(encoding="utf-8")
        for found in A_LINK.finditer(text):
            target = paper.parent / found[1] if found[1] else paper
            if not target.exists() or (found[2] and found[2] not in headings(target)):
                dead.append(_places(paper, text, found))
    assert not dead, "\n" + "\n".join(dead)


def test_make_targets_that_papers_name_exist():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    for paper in [each for each in PAPERS if each.suffix == ".md"]:
        for line in re.findall(r"^    make (.+?)(?:  +#.*)?$", paper.read_text(encoding="utf-8"), re.M):
            assert {word for word in line.split() if re.fullmatch("[a-z]+", word)} <= targets, paper.name
