"""What the papers tell a user to type: commands of the shell, and Python."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[1]
PAPERS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/*.md"))]
PACKAGE = "fatebias"
OURS = ("python run.py", f"{PACKAGE} ", f"python -m {PACKAGE}.")
# Programs of others that pages name; whether they work is not for these tests to say.
OTHERS = ("make", "source", "git", "pip", "rsync", "mlflow", ".ci/run", ".venv/bin/", "python -m pytest")
SETTINGS = re.compile(r"'?(?:data|hydra)\.[\w.]+=\S")
FROM_PYTHON = re.compile(r"^(?:import|from) \w|^fb\.\w|^\w+ = fb\.", re.M)
A_SETTING = re.compile(r"[a-z]\w*(?:\.\w+)*=[^\s=]+")


@dataclass(frozen=True)
class Example:
    """One command, or one block of Python, and its place."""

    text: str
    place: str

    @property
    def words(self) -> list[str]:
        return shlex.split(self.text, comments=True)


@cache
def tokens(paper: Path) -> list[Token]:
    top = MarkdownIt("commonmark").enable("table").parse(paper.read_text(encoding="utf-8"))
    return [inner for token in top for inner in (token, *_inline(token))]


def _inline(token: Token) -> list[Token]:
    children = token.children or []
    for child in children:
        child.map = token.map
    return children


def commands(paper: Path) -> Iterator[Example]:
    """Yield every command of the paper; a line of a block marked sh that is none is an error."""
    for token in tokens(paper):
        if token.type == "code_inline" and token.content.startswith(OURS) and len(token.content.split()) > 3:
            yield Example(token.content, _place(paper, token))
        elif token.type == "code_block" or (token.type == "fence" and token.info in ("", "sh")):
            for line in re.sub(r"\\\n\s*", "", token.content).splitlines():
                example = Example(line.strip(), _place(paper, token))
                if example.text.startswith(OURS) or SETTINGS.match(example.text):
                    yield example
                elif token.info == "sh" and not example.text.startswith(OTHERS):
                    raise AssertionError(f"{example.place}: no command that the tests know: {line}")


def settings(paper: Path) -> Iterator[Example]:
    """Yield every setting that the text names, such as `export=unshrunken`."""
    for token in tokens(paper):
        if token.type == "code_inline" and A_SETTING.fullmatch(token.content):
            yield Example(token.content, _place(paper, token))


def python(paper: Path) -> Iterator[Example]:
    """Yield every block of Python."""
    for token in tokens(paper):
        fenced = token.type == "fence" and token.info == "python"
        indented = token.type == "code_block" and FROM_PYTHON.search(token.content)
        if fenced or indented:
            yield Example(token.content, _place(paper, token))


def _place(paper: Path, token: Token) -> str:
    line = token.map[0] + 1 if token.map else 0
    return f"{paper.relative_to(ROOT)}:{line}"
