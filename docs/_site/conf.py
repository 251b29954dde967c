"""Sphinx's settings. Nothing is fetched when a page is viewed: neither fonts nor scripts nor styles."""

import sys
from pathlib import Path

from docutils.nodes import SkipNode
from latex2mathml.converter import convert

sys.path.insert(0, str(Path(__file__).parents[2]))

project = "fatebias"
copyright = "the fatebias developers"  # noqa: A001
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]

myst_enable_extensions = ["dollarmath"]
myst_dmath_allow_space = False  # so that $SCRATCH is a variable of the shell
myst_heading_anchors = 4  # as GitHub makes them

autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
napoleon_google_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
default_role = "code"
add_module_names = False
python_maximum_signature_line_length = 90

html_theme = "furo"
html_title = "fatebias"
html_static_path = ["site.css"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_copy_source = False
pygments_style = "default"
pygments_dark_style = "github-dark"
html_math_renderer = "mathml"


def _formula(display):
    """Return the method by which Sphinx writes a formula, in the text (inline) or apart (block)."""

    def write(writer, node):
        formula = convert(node.astext(), display=display)
        writer.body.append(f'<div class="formula">{formula}</div>' if display == "block" else formula)
        raise SkipNode

    return write, None


def setup(app):
    """Write formulas as MathML, which browsers draw by themselves."""
    app.add_html_math_renderer("mathml", _formula("inline"), _formula("block"))
