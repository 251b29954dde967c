"""Templates filled in: each page is one file, whose names are text and which runs its own script alone."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

HERE = Path(__file__).parent / "template"


def as_html(name: str, **content: object) -> str:
    """Fill in ``NAME.html`` with its script ``NAME.js`` and the style that all pages have."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    from fatebias.names import short
    from fatebias.report import text

    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {"lfsr": text.lfsr, "signed": text.signed, "chance": text.chance, "short": short}
    script, style = ((HERE / file).read_text(encoding="utf-8") for file in (f"{name}.js", "page.css"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    own = {"script": Markup(script), "style": Markup(style), "digest": digest}
    return environment.get_template(f"{name}.html").render(**own, **content)
