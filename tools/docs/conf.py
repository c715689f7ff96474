"""Sphinx settings of the pages that ``make docs`` builds; ``build.py`` writes the sources."""

from pygments.lexers.special import TextLexer
from sphinx.highlighting import lexers

import bus_toolkit

project = "bus_toolkit"
author = "The bus_toolkit authors"
version = release = bus_toolkit.__version__
extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode", "myst_parser"]

html_theme = "furo"
html_title = f"bus_toolkit {version}"
html_show_sphinx = False
add_module_names = False
toc_object_entries_show_parents = "hide"
python_use_unqualified_type_names = True

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
napoleon_numpy_docstring = False
# Attributes as a list inside their class: dataclasses would otherwise describe each of them twice.
napoleon_use_ivar = True
myst_heading_anchors = 3

lexers["mermaid"] = TextLexer()  # shown as it is written: a diagram would need a script from elsewhere
