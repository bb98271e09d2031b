"""Sphinx: Markdown by MyST, the theme Furo. ``make docs`` builds it, and a warning is an error."""

from modelpool import __version__

project = "Modelpool"
author = "The Modelpool developers"
copyright = "2026, The Modelpool developers"
release = version = __version__

extensions = ["myst_parser"]
myst_enable_extensions = ["colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = f"Modelpool {release}"
html_show_sourcelink = False
html_copy_source = False
