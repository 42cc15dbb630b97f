"""Sections on how far predictors can be trusted."""

from collections.abc import Mapping

from dale.report import figures_training, figures_trust
from dale.report.html_numbers import decimal, finite, percent, whole
from dale.report.html_tags import Html, boxed, join, tag
from dale.report.sections_plots import Plots, beside, place
from dale.report.style import colours

_DRIFT = ("error", "nll_calibrated", "ece", "ece_calibrated")
_GROWTH = {"ece": "Calibration error", "logit_norm": "Norm of the logits"}


def selective(document: Mapping, plots: Plots) -> Html | None:
    """Error against coverage when the least confident are left out."""
    rows = document.get("risk_coverage")
    if not rows:
        return None
    lede = (
        "Error among the most confident examples, when the others are left to somebody "
        "else. A predictor that knows when it errs falls steeply to the left; AURC is "
        "the mean height of its line, lower is better."
    )
    lines = [
        tag(
            "tr",
            tag("th", str(row["name"]), scope="row"),
            tag("td", decimal(row["aurc"]), class_="number"),
            tag("td", decimal(row["auroc"], 3), class_="number"),
        )
        for row in rows
    ]
    titles = ("AURC", "AUROC of right against wrong")
    heads = [tag("th", title, scope="col", class_="number") for title in titles]
    head = tag("thead", tag("tr", tag("th", "Predictor", scope="col"), *heads))
    table = boxed("By maximum probability.", head, tag("tbody", *lines))
    figure = figures_trust.risk_coverage(rows)
    plot = place(plots, figure, "Error against the share of examples kept")
    return join(tag("p", lede, class_="lede"), plot, table)


def confidence(document: Mapping, plots: Plots) -> Html | None:
    """Calibration error and norm of the logits over training."""
    log = document.get("log") or ()
    members = document.get("members") or ()
    made = []
    for quantity, title in _GROWTH.items():
        if figures_training.has(log, quantity):
            figure = figures_training.curves(log, members, quantity, colours(document))
            about = f"{title} on the validation split against step"
            made.append(place(plots, figure, about, tag("b", title)))
    if not made:
        return None
    lede = (
        "On the validation split. Once the training examples are right, the loss falls "
        "on by larger logits alone: where the error stands still and the norm grows, "
        "confidence grows without cause, and the calibration error with it."
    )
    return beside(lede, made)


def drift(document: Mapping, plots: Plots) -> Html | None:
    """Measures against the severity of corruptions."""
    found = document.get("drift")
    if not found or not found.get("rows"):
        return None
    lede = (
        f"The same {whole(found['n'])} examples of the {found['split']} split, ever "
        f"more corrupted; means of {', '.join(found['corruptions'])}. Temperatures are "
        f"those of the clean {found['fitted_on']} split: under drift nobody has "
        "labels. Bars: 95 % intervals over the examples."
    )
    made = []
    for measure in _DRIFT:
        title = figures_trust.TITLES[measure]
        figure = figures_trust.severity(found, measure)
        caption = tag("b", title[:1].upper() + title[1:])
        made.append(place(plots, figure, f"{title} against severity", caption))
    plot = tag("div", *made, class_="pair")
    return join(tag("p", lede, class_="lede"), plot, _by_corruption(found))


def _by_corruption(found: Mapping) -> Html:
    """Error of each predictor under each corruption at the highest severity."""
    names = list(found["corruptions"])
    worst = whole(found["severities"][-1])
    heads = [
        tag("th", n.replace("_", " "), scope="col", class_="number") for n in names
    ]
    lines = []
    for row in found["rows"]:
        ends = [row["by_corruption"].get(name, [{}])[-1] for name in names]
        cells = [
            tag("td", percent(finite(end.get("error")), 1, unit=False), class_="number")
            for end in ends
        ]
        lines.append(tag("tr", tag("th", str(row["name"]), scope="row"), *cells))
    head = tag("thead", tag("tr", tag("th", "Predictor", scope="col"), *heads))
    caption = f"Error by corruption at severity {worst}, %."
    return boxed(caption, head, tag("tbody", *lines))
