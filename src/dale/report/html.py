"""The page: one HTML file that needs nothing else and opens offline."""

from collections.abc import Mapping

from dale.errors import InputError, SchemaError
from dale.report.html_tags import Html, json_script, tag
from dale.report.sections import body
from dale.report.sections_plots import Plots
from dale.report.style import css, scripts

SCHEMA = 1

# The browser itself refuses every request: the page is whole or it shows it is not.
_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data: blob:; base-uri 'none'; form-action 'none'"
)


def render(document: Mapping) -> str:
    """A report as one self-contained HTML page.

    The page holds plotly's script once, its own style sheet and script, and the
    figures as plain JSON; a content security policy forbids any request. Text is
    escaped wherever it comes from. A number that is None or NaN is shown as an en
    dash, and left out of plots.

    Args:
        document: The report's JSON document. ``title`` is required; a section whose
            key is missing or empty is left out. Keys that the page does not know
            are for other readers of the document.

    Returns:
        The page, a complete HTML document.

    Raises:
        InputError: The title is missing, a number is not a number, or lists that
            belong together differ in length.
        SchemaError: The document was written by a newer version of dale.

    Example:
        >>> page = render({"schema": 1, "title": "digits · mlp"})
        >>> page.startswith("<!doctype html>"), "<h1>digits · mlp</h1>" in page
        (True, True)
    """
    if not document.get("title"):
        raise InputError("a report needs a title, got a document without one")
    schema = document.get("schema", SCHEMA)
    if schema != SCHEMA:
        raise SchemaError(f"expected a report of schema {SCHEMA}, got {schema!r}")
    plots: Plots = {}
    content = body(document, plots)
    return _page(str(document["title"]), content, plots)


def _page(title: str, content: Html, plots: Plots) -> str:
    library, own = scripts()
    # Neither style sheets nor scripts are escaped: they are the package's own files.
    return "\n".join(
        (
            "<!doctype html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            '<meta name="generator" content="dale">',
            '<link rel="icon" href="data:,">',
            tag("title", f"{title} — dale"),
            f"<style>\n{css()}</style>",
            "</head>",
            "<body>",
            tag("div", content, class_="page"),
            tag("noscript", "The plots of this page need JavaScript.") if plots else "",
            json_script("figures", plots),
            f"<script>{library}</script>" if plots else "",
            f"<script>\n{own}</script>",
            "</body>",
            "</html>",
            "",
        )
    )
