# SPDX-License-Identifier: GPL-2.0-only
"""Sphinx configuration. Build with: ./quickstart docs"""

import re
from pathlib import Path

from docutils.nodes import SkipNode
from docutils.utils.math.latex2mathml import tex2mathml
from pygments.lexer import RegexLexer
from pygments.token import Comment, Keyword, Name, Number, String, Text

ROOT = Path(__file__).resolve().parent.parent

project = "GODIFF"
author = "The GODIFF developers"
copyright = author  # noqa: A001 (the name Sphinx wants)
release = re.search(r"VERSION (\d+\.\d+\.\d+)", (ROOT / "CMakeLists.txt").read_text()).group(1)
version = release

extensions = ["sphinx.ext.extlinks"]
# :lammps:`text <page>` links to a page of the LAMMPS manual, where it would be :doc:`text <page>`.
extlinks = {"lammps": ("https://docs.lammps.org/%s.html", None)}
# Tables that Performance.rst includes.
exclude_patterns = ["_build", "performance_*.rst"]
highlight_language = "none"
nitpicky = True

html_math_renderer = "mathml"
html_theme = "furo"
html_title = f"GODIFF {release}"


class LammpsLexer(RegexLexer):
    """Input scripts, which Pygments does not know: comments, commands, variables, numbers, strings."""

    tokens = {
        "root": [
            (r"#.*$", Comment),
            (r"^\s*[a-z_]+(?=\s)", Keyword),
            (r"\$(\{\w+\}|\([^)]*\)|\w)", Name.Variable),
            (r'"[^"\n]*"', String),
            (r"(?<![\w.])[-+]?\d+(\.\d*)?([eE][-+]?\d+)?(?![\w.])", Number),
            (r"\S+", Text),
            (r"\s+", Text),
        ]
    }


def inline_math(writer, node):
    """Formulas as MathML, which browsers draw by themselves: the pages need no network."""
    writer.body.append(tex2mathml(node.astext()))
    raise SkipNode


def block_math(writer, node):
    writer.body.append(f"<div>{tex2mathml(node.astext(), as_block=True)}</div>")
    raise SkipNode


def setup(app):
    app.add_html_math_renderer("mathml", (inline_math, None), (block_math, None))
    app.add_lexer("LAMMPS", LammpsLexer)
