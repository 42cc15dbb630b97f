"""Sphinx settings, and a check that every public name is documented."""

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


def setup(app: Sphinx) -> None:
    """Connect the check."""
    app.connect("env-check-consistency", undocumented)
