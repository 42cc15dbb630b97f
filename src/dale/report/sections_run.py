"""Sections about the run: verdict, decisions, members, recipe, versions."""

from collections.abc import Container, Mapping, Sequence

from dale.report.html_numbers import (
    MISSING,
    decimal,
    finite,
    number,
    percent,
    score,
    whole,
)
from dale.report.html_tags import Html, boxed, join, tag
from dale.report.sections_plots import Plots

REGIMES = {"overfits": "Overfits", "underfits": "Underfits", "balanced": "Balanced"}
_DIGEST = 12  # characters of a digest that tell members apart


def header(document: Mapping) -> Html:
    """Title and verdict."""
    subtitle, created = document.get("subtitle"), document.get("created")
    return tag(
        "header",
        tag("h1", str(document["title"])),
        tag("p", str(subtitle), class_="subtitle") if subtitle else None,
        tag("p", _moment(str(created)), class_="small") if created else None,
        _verdict(document.get("verdict")),
    )


def _moment(created: str) -> Html:
    """An ISO time to the minute."""
    universal = created.endswith(("Z", "+00:00"))
    text = created[:16].replace("T", " ") + (" UTC" if universal else "")
    return tag("time", text, datetime=created)


def _verdict(verdict: Mapping | None) -> Html | None:
    """Regime, reasons, and what they mean for the strategy."""
    if not verdict:
        return None
    regime = str(verdict.get("regime") or "")
    reasons = [tag("li", str(reason)) for reason in verdict.get("reasons") or ()]
    headline, advice = verdict.get("headline"), verdict.get("advice")
    words = tag(
        "div",
        tag("p", REGIMES.get(regime, regime), class_="regime") if regime else None,
        tag("p", str(headline), class_="headline") if headline else None,
        tag("ul", *reasons) if reasons else None,
        tag("p", tag("b", "What it means. "), str(advice)) if advice else None,
    )
    table = _gaps(verdict.get("figures") or {})
    return tag("div", words, table, class_="verdict", role="note", aria_label="Verdict")


def _gaps(figures: Mapping) -> Html | None:
    """Training against validation, and the difference."""
    lines = []
    for key, title, show in (("error", "Error", percent), ("nll", "NLL", decimal)):
        train, val = (
            finite(figures.get(f"train_{key}")),
            finite(figures.get(f"val_{key}")),
        )
        if train is None and val is None:
            continue
        gap = None if train is None or val is None else val - train
        cells = [tag("td", show(value), class_="number") for value in (train, val, gap)]
        lines.append(tag("tr", tag("th", title, scope="row"), *cells))
    if not lines:
        return None
    titles = ("", "Training", "Validation", "Gap")
    heads = [tag("th", title, scope="col", class_="number") for title in titles[1:]]
    caption = tag("caption", "Training against validation", class_="unseen")
    return tag(
        "table",
        caption,
        tag("thead", tag("tr", tag("td"), *heads)),
        tag("tbody", *lines),
    )


def decisions(document: Mapping, plots: Plots) -> Html | None:
    """What a greedy soup kept, in the order in which it asked."""
    soups = [soup for soup in document.get("decisions") or () if soup.get("rows")]
    if not soups:
        return None
    lede = (
        "Networks are tried from the best alone downwards; one is kept when the "
        "soup with it scores no worse than without. Higher scores are better."
    )
    return join(tag("p", lede, class_="lede"), *(_soup(soup) for soup in soups))


def _soup(soup: Mapping) -> Html:
    lines = []
    for turn, row in enumerate(soup["rows"], start=1):
        kept = bool(row.get("kept"))
        lines.append(
            tag(
                "tr",
                tag("td", str(turn), class_="number"),
                tag("th", str(row["label"]), scope="row"),
                tag("td", decimal(row.get("score_alone")), class_="number"),
                tag("td", decimal(row.get("score_with")), class_="number"),
                tag("td", "✓ kept" if kept else "left out", class_="text"),
                class_="kept" if kept else "dropped",
            )
        )
    kept = sum(bool(row.get("kept")) for row in soup["rows"])
    caption = f"{soup['soup']}: {kept} of {len(soup['rows'])} kept"
    heads = _heads(
        "#", "Member", "Alone", "Soup with it", "Decision", numeric={0, 2, 3}
    )
    return boxed(caption, heads, tag("tbody", *lines))


def prices(document: Mapping, plots: Plots) -> Html | None:
    """What every strategy of a plan costs."""
    rows = document.get("prices")
    if not rows:
        return None
    lede = (
        "All spend the same budget but those with more updates. Times are forecasts "
        "from a few measured updates; * with the recipe's own settings."
    )
    heads = _heads(
        "Strategy", "Updates", "Members", "Time", "Disk", numeric={1, 2, 3, 4}
    )
    lines = [
        tag(
            "tr",
            tag("th", str(name), scope="row"),
            # of one that does not fit there is only a reason
            *(tag("td", str(cell), class_="number") for cell in cells if cells[0]),
            None if cells[0] else tag("td", "".join(cells), colspan="4", class_="wrap"),
        )
        for name, *cells in rows
    ]
    table = boxed("Cost of each strategy", heads, tag("tbody", *lines))
    return join(tag("p", lede, class_="lede"), table)


def members(document: Mapping, plots: Plots) -> Html | None:
    """Every network of the run and where it came from."""
    rows = document.get("members")
    if not rows:
        return None
    keys = list(dict.fromkeys(key for row in rows for key in row.get("scores") or ()))
    heads = _heads(
        *("Label", "Trajectory", "Cycle", "Step", "Made by"),
        *(key.replace("_", " ") for key in keys),
        *("Parents", "Digest"),
        numeric={2, 3, *range(5, 5 + len(keys))},
    )
    lines = tag("tbody", *(_member(row, keys) for row in rows))
    count = f"{len(rows)} network" + ("s" if len(rows) > 1 else "")
    return _folded(f"{count} in this run", boxed("Members of the run", heads, lines))


def _member(row: Mapping, keys: Sequence[str]) -> Html:
    scores = row.get("scores") or {}
    parents = ", ".join(str(parent) for parent in row.get("parents") or ())
    digest = str(row.get("digest") or MISSING)
    return tag(
        "tr",
        tag("th", str(row["label"]), scope="row"),
        tag("td", str(row.get("trajectory") or MISSING)),
        tag("td", whole(row.get("cycle")), class_="number"),
        tag("td", whole(row.get("step")), class_="number"),
        tag("td", str(row.get("how") or MISSING)),
        *(tag("td", score(key, scores.get(key)), class_="number") for key in keys),
        tag("td", parents or MISSING, class_="wrap"),
        tag("td", tag("code", digest[:_DIGEST], title=digest)),
    )


def recipe(document: Mapping, plots: Plots) -> Html | None:
    """The recipe that made the run, to copy."""
    text = document.get("recipe")
    name = str(document.get("recipe_name") or "recipe.yaml")
    return _folded(name, _copyable(str(text), "recipe")) if text else None


def footer(document: Mapping) -> Html | None:
    """The command and the versions that make the report again."""
    command, versions = document.get("command"), document.get("versions") or {}
    if not (command or versions):
        return None
    pairs = [
        tag("div", tag("dt", str(name)), tag("dd", str(_known(value))))
        for name, value in versions.items()
    ]
    return tag(
        "footer",
        tag("h2", "Made with"),
        _copyable(str(command), "command") if command else None,
        tag("dl", *pairs, class_="versions") if pairs else None,
    )


def _known(value: object) -> object:
    """A version, or the mark of a missing one."""
    missing = value is None or (isinstance(value, float) and number(value) is None)
    return MISSING if missing else value


def _copyable(text: str, what: str) -> Html:
    """Text as it stands, with a button that copies it."""
    name = f"Copy {what}"
    button = tag("button", "Copy", type="button", class_="copy", aria_label=name)
    code = tag("pre", tag("code", text), tabindex="0", aria_label=what)
    return tag("div", code, button, class_="copyable")


def _folded(title: str, content: Html) -> Html:
    return tag("details", tag("summary", title), content)


def _heads(*titles: str, numeric: Container[int]) -> Html:
    """A row of headings; those over numbers stand to the right."""
    cells = [
        tag("th", title, scope="col", class_="number" if place in numeric else None)
        for place, title in enumerate(titles)
    ]
    return tag("thead", tag("tr", *cells))
