"""Colours, and the page's style sheet and scripts.

The style sheet holds the two colour schemes (light, dark); the script reads them
from it, so plots and text always agree. What a plot needs whatever the scheme,
the colours that tell trajectories apart, is here.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from itertools import cycle

# Okabe and Ito (2008), without black and yellow, which vanish on one of the two
# backgrounds; those that stand out on both come first.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
ACCENT = PALETTE[0]
MID = "#808890"
GRID = "rgba(128,136,144,0.28)"
CLEAR = "rgba(0,0,0,0)"
# Low to high on either background: a mid-tone that grows opaque. The page's script
# replaces it by the scale of the colour scheme.
SCALE = [[0, "rgba(0,114,178,0.06)"], [1, "rgba(0,114,178,0.6)"]]


def colours(document: Mapping) -> dict[str, str]:
    """A colour for every trajectory and group, the same throughout the page.

    Args:
        document: The report's document.

    Returns:
        Name → colour, in the order in which the names first appear.

    Example:
        >>> colours({"log": [{"trajectory": "b"}, {"trajectory": "a"}]})
        {'b': '#0072B2', 'a': '#D55E00'}
    """
    named = (
        *((row, "trajectory") for row in document.get("schedules") or ()),
        *((row, "trajectory") for row in document.get("log") or ()),
        *((row, "group") for row in (document.get("table") or {}).get("rows") or ()),
        *((row, "group") for row in document.get("disagreement") or ()),
    )
    names = dict.fromkeys(row[key] for row, key in named if row.get(key) is not None)
    return dict(zip(names, cycle(PALETTE), strict=False))


@cache
def css() -> str:
    """The page's style sheet."""
    return _package_file("report.css")


@cache
def scripts() -> Sequence[str]:
    """plotly's script, then the page's own."""
    # Imported here: it takes longer than the rest of the report together.
    from plotly.offline import get_plotlyjs

    return get_plotlyjs(), _package_file("report.js")


def _package_file(name: str) -> str:
    return files("dale.report").joinpath(name).read_text(encoding="utf-8")
