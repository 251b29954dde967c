"""What SECURITY.md promises of the code: no pickle, shell or unsafe loader; temporary folders are private."""

from __future__ import annotations

import ast
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("fatebias", "hydra_plugins")
CODE = [ROOT / "run.py", *sorted(path for top in FOLDERS for path in (ROOT / top).rglob("*.py"))]
# Modules that read objects which may run code when they are loaded, or write such.
PICKLES = {"pickle", "cloudpickle", "dill", "shelve", "marshal", "_pickle"}
CALLS = {
    "eval", "exec", "os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput",
    "yaml.load", "yaml.load_all", "yaml.unsafe_load", "yaml.full_load", "pd.read_pickle", "joblib.load",
    "joblib.dump", "tempfile.mktemp",
}  # fmt: skip


def refused(tree: ast.AST) -> Iterator[str]:
    """Yield what of a module's code may run what somebody else wrote."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            named = [each.name for each in node.names]
            module = getattr(node, "module", None) or ""
            for name in [module, *named]:
                if name.partition(".")[0] in PICKLES or f"{module}.{name}" in CALLS:
                    yield f"line {node.lineno}: import of {name}"
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            given = {word.arg: ast.unparse(word.value) for word in node.keywords}
            if name in CALLS or name.endswith(".read_pickle"):
                yield f"line {node.lineno}: {name}"
            if given.get("shell", "False") != "False" or given.get("allow_pickle", "False") != "False":
                yield f"line {node.lineno}: {name}({given})"
            if name == "torch.load" and given.get("weights_only") != "True":
                yield f"line {node.lineno}: torch.load without weights_only=True"


@pytest.mark.parametrize("path", CODE, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_code_that_runs_what_others_wrote(path):
    assert list(refused(ast.parse(path.read_text(encoding="utf-8")))) == []


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from pickle import loads",
        "from yaml import load",
        "yaml.load(text)",
        "yaml.load(text, Loader=yaml.Loader)",
        "subprocess.run(words, shell=True)",
        "subprocess.run(words, shell=wanted)",
        "np.load(path, allow_pickle=True)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "os.system(words)",
        "eval(words)",
        "pandas.read_pickle(path)",
    ],
)
def test_such_code_is_found(code):
    assert len(list(refused(ast.parse(code)))) == 1


@pytest.mark.parametrize(
    "code", ["import yaml\nyaml.safe_load(text)", "torch.load(path, weights_only=True)", "np.load(path)"]
)
def test_other_code_is_not(code):
    assert list(refused(ast.parse(code))) == []


def test_what_r_is_given_lies_in_a_folder_of_one_s_own(tmp_path, monkeypatch):
    from fatebias.config import DiscoveryConfig
    from fatebias.discovery import engine

    seen = []

    def look(summary, config, folder, v):
        seen.append((folder.parent, folder.stat().st_mode & 0o777))
        raise InterruptedError

    monkeypatch.setattr(engine, "run_rscript", look)
    before = os.umask(0)
    try:
        with pytest.raises(InterruptedError):
            engine.run_engine("rscript", None, DiscoveryConfig(), None, None, tmp_path)
    finally:
        os.umask(before)
    assert seen == [(tmp_path, 0o700)]
    assert list(tmp_path.iterdir()) == []


def test_nothing_serves_other_machines():
    """MLflow's examples and our own server listen on 127.0.0.1, MLflow's default."""
    names = subprocess.run(
        ["git", "-C", str(ROOT), "grep", "-lE", r"0\.0\.0\.0|--host|mlflow (ui|server)"],
        capture_output=True, text=True, check=False,
    ).stdout.split()  # fmt: skip
    if not names:
        pytest.skip("no checkout")
    served = [
        f"{name}: {line}"
        for name in names
        if name != "tests/test_security.py"
        for line in (ROOT / name).read_text(encoding="utf-8").splitlines()
        if re.search(r"\b0\.0\.0\.0\b|--host[ =](?!127\.0\.0\.1)", line)
    ]
    assert served == []
