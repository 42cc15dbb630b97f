"""The table of results: every predictor on the same examples, on the same terms."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from dale.report.html_numbers import MISSING, decimal, finite, number, percent, whole
from dale.report.html_tags import Html, boxed, join, tag
from dale.report.sections_plots import Plots
from dale.report.style import colours

_share = partial(percent, unit=False)


@dataclass(frozen=True)
class Column:
    """One numeric column.

    Attributes:
        key: The row's key.
        title: Heading, with the unit.
        meaning: What the heading stands for.
        show: Number → text.
        ranked: Whether the lowest value is the best; else no value is.
    """

    key: str
    title: str
    meaning: str
    show: Callable[[object], str]
    ranked: bool = True


COLUMNS = (
    Column("networks", "Networks", "networks run for one prediction", whole, False),
    Column("error", "Error, %", "share of wrong predictions", _share),
    Column("nll", "NLL", "mean negative log-likelihood, nats", decimal),
    Column("ece", "ECE, %", "expected calibration error", _share),
    Column("brier", "Brier", "Brier score", decimal),
    Column("temperature", "T", "fitted temperature", partial(decimal, places=3), False),
    Column("nll_calibrated", "NLL at T", "NLL after dividing logits by T", decimal),
    Column("ece_calibrated", "ECE at T, %", "ECE after dividing logits by T", _share),
)
_BESTS = (
    ("error", "Lowest error", percent),
    ("nll", "Lowest NLL", decimal),
    ("nll_calibrated", "Lowest NLL, calibrated", decimal),
)


def results(document: Mapping, plots: Plots) -> Html | None:
    """The best by error and by NLL, and the table of all."""
    table = document.get("table") or {}
    rows = table.get("rows")
    if not rows:
        return None
    bests = [_best(rows, *best) for best in _BESTS]
    return join(
        tag("dl", *bests, class_="bests"),
        _table(table, colours(document)),
        _legend(rows),
    )


def lowest(rows: Sequence[Mapping], key: str) -> float | None:
    """The lowest value of a column, holes left out; None for an empty column."""
    values = (finite(row.get(key)) for row in rows)
    return min((value for value in values if value is not None), default=None)


def _best(
    rows: Sequence[Mapping], key: str, title: str, show: Callable[[object], str]
) -> Html | None:
    best = lowest(rows, key)
    if best is None:
        return None
    names = [str(row["name"]) for row in rows if finite(row.get(key)) == best]
    value = tag("dd", show(best), class_="value")
    return tag("div", tag("dt", title), value, tag("dd", ", ".join(names)))


def _table(table: Mapping, inks: Mapping[str, str]) -> Html:
    rows = table["rows"]
    columns, span = _filled(rows), _span(rows)
    best = {c.key: lowest(rows, c.key) for c in columns if c.ranked and len(rows) > 1}
    grouped = len({row.get("group") for row in rows}) > 1
    lines = [_row(row, columns, best, span, inks if grouped else {}) for row in rows]
    head = tag("thead", tag("tr", *_headings(columns, span is not None)))
    body = tag("tbody", *lines)
    return boxed(_caption(table), head, body, class_="sortable results")


def _filled(rows: Sequence[Mapping]) -> list[Column]:
    """Columns that hold a number in some row."""
    return [c for c in COLUMNS if any(number(r.get(c.key)) is not None for r in rows)]


def _headings(columns: Sequence[Column], intervals: bool) -> list[Html]:
    made = [_heading(title, None, "text") for title in ("Predictor", "Kind")]
    for column in columns:
        made.append(_heading(column.title, column.meaning, "number"))
        if column.key == "error" and intervals:
            title = "confidence interval of the error, %"
            made.append(tag("th", "Interval, %", scope="col", title=title))
    return made


def _heading(title: str, meaning: str | None, kind: str) -> Html:
    """A heading whose click sorts the table."""
    button = tag("button", title, type="button", title=meaning)
    return tag("th", button, scope="col", class_=kind, aria_sort="none")


def _caption(table: Mapping) -> str:
    counts = {row.get("n") for row in table["rows"]} - {None}
    parts = []
    if table.get("split"):
        count = f" ({whole(counts.pop())} examples)" if len(counts) == 1 else ""
        parts.append(f"Scores on the {table['split']} split{count}.")
    if table.get("fitted_on"):
        parts.append(f"Temperatures fitted on the {table['fitted_on']} split.")
    return " ".join([*parts, "A heading sorts the table."])


def _row(
    row: Mapping,
    columns: Sequence[Column],
    best: Mapping[str, float | None],
    span: tuple[float, float] | None,
    inks: Mapping[str, str],
) -> Html:
    ink = inks.get(row.get("group") or "")
    style = f"background:{ink}"
    dot = tag("span", class_="dot", style=style, aria_hidden="true") if ink else None
    note = tag("span", str(row["note"]), class_="note") if row.get("note") else None
    kind = row.get("kind")
    cells = [
        tag("th", dot, str(row["name"]), note, scope="row"),
        tag("td", kind or MISSING, class_="text"),
    ]
    for column in columns:
        cells.append(_cell(row, column, best.get(column.key)))
        if column.key == "error" and span is not None:
            cells.append(_interval(row, span))
    return tag("tr", *cells)


def _cell(row: Mapping, column: Column, best: float | None) -> Html:
    value = number(row.get(column.key))
    text: Html | str = column.show(value)
    if value is not None and value == best:
        text = tag("strong", text, title="best of this column")
    kept = None if value is None else repr(value).replace("inf", "Infinity")
    return tag("td", text, class_="number", data_value=kept)


def _ends(row: Mapping) -> tuple[float, float] | None:
    low, high = (finite(end) for end in row.get("error_interval") or (None, None))
    return None if low is None or high is None else (low, high)


def _span(rows: Sequence[Mapping]) -> tuple[float, float] | None:
    """From the lowest to the highest end of all intervals."""
    ends = [end for row in rows for end in (_ends(row) or ())]
    return (min(ends), max(ends)) if ends else None


def _interval(row: Mapping, span: tuple[float, float]) -> Html:
    """An interval in figures, and drawn on a scale that all rows share."""
    ends = _ends(row)
    if ends is None:
        return tag("td", MISSING, class_="interval")
    low, high = span

    def x(value: float) -> str:
        return f"{4 + 88 * (value - low) / (high - low or 1):.1f}"

    whisker = tag("line", x1=x(ends[0]), x2=x(ends[1]), y1="8", y2="8")
    error = finite(row.get("error"))
    point = None if error is None else tag("circle", cx=x(error), cy="8", r="3.2")
    picture = tag(
        "svg", whisker, point, viewBox="0 0 96 16", class_="whisker", aria_hidden="true"
    )
    text = "–".join(_share(end) for end in ends)
    return tag("td", picture, tag("span", text), class_="interval")


def _legend(rows: Sequence[Mapping]) -> Html:
    """What the headings stand for, in words."""
    terms = [f"{c.title.removesuffix(', %')}: {c.meaning}" for c in _filled(rows)]
    return tag("p", "; ".join(terms) + ". Bold: best of its column.", class_="small")
