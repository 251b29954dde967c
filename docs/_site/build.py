"""Build the documentation site into build/site; a warning is an error. ``make docs`` calls this.

Pages link to files of the repository, where they are read, too. The site has pages of its own in the place of
README.md, other papers at the top and conf/, so this gathers all in build/docs with their links led to these.
"""

from __future__ import annotations

import posixpath
import re
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
GATHERED = ROOT / "build" / "docs"
SITE = ROOT / "build" / "site"

PAPERS = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
    "benchmarks/README.md": "benchmarks.md",
}
SETTINGS = "settings.md"
NOT_SHOWN = ("hydra", "local")  # Hydra's own groups and a machine's settings
A_LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\((?!https?://|#)([^)#\s]+)(#[^)\s]+)?\)")
A_FETCH = re.compile(r"<(?:script|link|img|iframe|source)\b[^>]*\b(?:src|href)=.(?:https?:)?//[^>]*>")
A_URL = re.compile(r"url\(['\"]?(?:https?:)?//[^)]*\)|@import[^;]*")


def main() -> int:
    """Gather the pages and build the site; return the exit code."""
    from sphinx.cmd.build import build_main

    gather(GATHERED)
    options = ["--fail-on-warning", "--keep-going", "--quiet", "-E", "-c", str(HERE)]
    code = int(build_main([*options, str(GATHERED), str(SITE)]))
    if code == 0 and (found := fetched()):
        print("pages fetch from elsewhere:", *found, sep="\n", file=sys.stderr)
        code = 1
    if code == 0:
        print(f"the site is in {SITE.relative_to(ROOT)}: open index.html there")
    return code


def fetched() -> list[str]:
    """Return what pages of the site would fetch from another place when they are viewed."""
    pages = sorted(SITE.glob("*.html"))
    found = [f"{page.name}: {tag}" for page in pages for tag in A_FETCH.findall(page.read_text("utf-8"))]
    styles = sorted(SITE.rglob("*.css"))
    return found + [
        f"{path.name}: {url}" for path in styles for url in A_URL.findall(path.read_text("utf-8"))
    ]


def gather(folder: Path) -> None:
    """Write all pages of the site, links led to each other, and copy what they show."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    sources = {f"docs/{path.name}": path.name for path in sorted((ROOT / "docs").glob("*.md"))}
    for source, page in (sources | PAPERS).items():
        text = (ROOT / source).read_text(encoding="utf-8")
        text = led_to_pages(text, posixpath.dirname(source))
        (folder / page).write_text(text + (contents() if page == "index.md" else ""), encoding="utf-8")
    (folder / SETTINGS).write_text(settings_page(), encoding="utf-8")
    for picture in [*ROOT.glob("docs/*.png"), *ROOT.glob("benchmarks/*.png")]:
        shutil.copy(picture, folder)


def led_to_pages(text: str, folder: str) -> str:
    """Lead the links of a paper in this folder to pages of the site; a file without a page is only named."""

    def led(found: re.Match[str]) -> str:
        picture, words, path, place = found.groups(default="")
        source = posixpath.normpath(posixpath.join(folder, path))
        page = page_of(source)
        if page is None and not (ROOT / source).exists():
            return found[0]  # leads nowhere: for Sphinx to refuse
        return f"{picture}[{words}]({page}{place})" if page else words

    return A_LINK.sub(led, text)


def page_of(source: str) -> str | None:
    """Return where the site has a file of the repository."""
    if source in PAPERS:
        return PAPERS[source]
    if source.endswith(".png") or (source.startswith("docs/") and source.endswith(".md")):
        return posixpath.basename(source)
    if source.startswith("conf/") and source.endswith(".yaml"):
        return f"{SETTINGS}#{anchor(source)}"
    return None


def contents() -> str:
    """Return the table of contents, shown at the side of every page."""
    return "\n\n" + (HERE / "contents.txt").read_text(encoding="utf-8")


def anchor(source: str) -> str:
    """Return the anchor of a file of conf/ on the page of settings."""
    return source.removeprefix("conf/").removesuffix(".yaml").replace("/", "-")


def settings_page() -> str:
    """Return all files of conf/ with their comments, the settings of no group first."""
    conf = ROOT / "conf"
    groups = sorted(path for path in conf.iterdir() if path.is_dir() and path.name not in NOT_SHOWN)
    parts = [
        "# Every setting",
        "The files of `conf/`, group by group. `GROUP=OPTION` on the command line takes a file, "
        "`GROUP.KEY=VALUE` changes one setting. `python run.py --help` lists the same.",
        section(conf / "base.yaml", "## Settings of no group"),
    ]
    for group in groups:
        parts += [f"## {group.name}", *(section(path) for path in sorted(group.glob("*.yaml")))]
    return "\n\n".join(parts)


def section(path: Path, title: str = "") -> str:
    """Return one file under its heading."""
    name = anchor(path.relative_to(ROOT).as_posix())
    title = title or f"### {path.parent.name}={path.stem}"
    return f"({name})=\n{title}\n\n```yaml\n{path.read_text(encoding='utf-8').strip()}\n```"


if __name__ == "__main__":
    sys.exit(main())
