"""Sphinx settings, a list of the files, a check that public names are documented."""

import ast
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging

import dale

project = "dale"
author = "dale maintainers"
copyright = "dale maintainers"
release = version = dale.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
default_role = "py:obj"

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False

html_theme = "furo"
html_title = f"dale {release}"
html_static_path = ["_static"]
html_copy_source = False


def undocumented(app: Sphinx, env: BuildEnvironment) -> None:
    """Warn, and so fail the build, when a public name is on no reference page."""
    documented = {name for name, *_ in env.domains.python_domain.get_objects()}
    for name, home in dale.HOMES.items():
        if f"{home}.{name}" not in documented:
            logging.getLogger(__name__).warning("no reference for %s.%s", home, name)


class Files(Directive):
    """A list of the package's files by room, each with its first line."""

    def run(self) -> list[nodes.Node]:
        """A section's worth of definition lists."""
        root = Path(dale.__file__).parent
        rooms = sorted({path.parent for path in root.rglob("*.py")})
        found: list[nodes.Node] = []
        for room in rooms:
            name = ".".join(("dale", *room.relative_to(root).parts))
            found += [nodes.rubric(text=name), self._table(sorted(room.glob("*.py")))]
        return found

    @staticmethod
    def _table(paths: list[Path]) -> nodes.Node:
        entries = nodes.definition_list()
        for path in paths:
            first = (ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "").split(
                "\n"
            )[0]
            term = nodes.term("", "", nodes.literal(text=path.name))
            meaning = nodes.definition("", nodes.paragraph(text=first.replace("`", "")))
            entries += nodes.definition_list_item("", term, meaning)
        return entries


def setup(app: Sphinx) -> None:
    """Connect the check and the list."""
    app.add_directive("files", Files)
    app.connect("env-check-consistency", undocumented)
