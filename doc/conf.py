# SPDX-License-Identifier: GPL-2.0-only
"""Sphinx configuration. Build with: ./quickstart docs"""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

project = "GODIFF"
author = "The GODIFF developers"
copyright = author  # noqa: A001 (the name Sphinx wants)
release = re.search(r"VERSION (\d+\.\d+\.\d+)", (ROOT / "CMakeLists.txt").read_text()).group(1)
version = release

extensions = ["sphinx.ext.mathjax"]
exclude_patterns = ["_build"]
# "code-block" without a language is LAMMPS input, which Pygments does not know.
highlight_language = "none"
nitpicky = True

html_theme = "furo"
html_title = f"GODIFF {release}"
