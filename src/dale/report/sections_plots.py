"""Sections that hold plots."""

from collections.abc import Mapping, Sequence

from dale.report import (
    figures_diagnosis,
    figures_judging,
    figures_rates,
    figures_training,
)
from dale.report.figures import Figure
from dale.report.html_numbers import decimal, finite, percent, whole
from dale.report.html_tags import Html, join, tag
from dale.report.style import colours

_CONSISTENCY = {"agreement": "Agreement", "consistency_weight": "Weight"}
Plots = dict[str, Figure]
"""Figures of the page by the id of the element that shows them."""


def place(
    plots: Plots, figure: Figure, title: str, caption: Html | None = None
) -> Html:
    """Add a figure to the page's plots; the element where it will be drawn.

    Args:
        plots: The page's plots.
        figure: The figure.
        title: What it shows, for those who do not see it.
        caption: Line above it.

    Returns:
        A ``<figure>`` with room for the plot.
    """
    name = f"plot-{len(plots) + 1}"
    plots[name] = figure
    height = figure["layout"]["height"]
    room = tag(
        "div",
        id=name,
        class_="plot",
        style=f"height:{height}px",
        role="img",
        aria_label=title,
    )
    above = tag("figcaption", caption) if caption else None
    return tag("figure", above, room)


def beside(lede: str, made: Sequence[Html], look: str = "pair") -> Html:
    """Plots beside one another, under what they say.

    Args:
        lede: What they say.
        made: The plots.
        look: Class of the grid that they stand in.
    """
    return join(tag("p", lede, class_="lede"), tag("div", *made, class_=look))


def schedules(document: Mapping, plots: Plots) -> Html | None:
    """Learning rate against step."""
    rows = document.get("schedules")
    if not rows:
        return None
    figure = figures_rates.schedule(rows, colours(document))
    marked = any(row.get("ends") for row in rows)
    note = "Diamonds mark the ends of cycles, where members are taken."
    return join(
        tag("p", note, class_="lede") if marked else None,
        place(plots, figure, "Learning rate against step"),
    )


def rates(document: Mapping, plots: Plots) -> Html | None:
    """Loss against learning rate, of a range test."""
    found = document.get("range_test")
    if not found:
        return None
    note = (
        "The rate rises from update to update until the loss runs away. Suggested as a "
        "peak: a tenth of the rate where the smoothed loss is lowest."
    )
    figure = figures_rates.rates(found)
    shown = place(plots, figure, "Training loss against learning rate")
    return join(tag("p", note, class_="lede"), shown)


def diagnosis(document: Mapping, plots: Plots) -> Html | None:
    """Gradient noise against batch size, and the curvatures."""
    found = document.get("diagnosis")
    if not found:
        return None
    noise = found["noise"]
    exponent, scale = decimal(noise["exponent"], 2), decimal(noise["noise_scale"], 1)
    top = decimal(found["curvature"]["values"][0], 2)
    note = (
        f"Variance of the gradient of {found['member']} over batches of training "
        f"examples: it falls with the power {exponent} of the batch, "
        f"−1 in theory. Noise and gradient are equally large at a batch of "
        f"{scale}. The largest eigenvalue of the Hessian is {top}."
    )
    figure = figures_diagnosis.noise(noise)
    shown = place(plots, figure, "Gradient variance against batch size")
    return join(tag("p", note, class_="lede"), shown)


def ergodicity(document: Mapping, plots: Plots) -> Html | None:
    """NLL against the number of networks, for single runs and independent ones."""
    found = document.get("ergodicity")
    if not found:
        return None
    note = (
        "Calibrated NLL of pools of so many networks: members of one run against "
        "independent runs. Where the lines fall together, one run sees over time what "
        "many see at once."
    )
    figure = figures_diagnosis.ergodicity(found)
    shown = place(plots, figure, "Calibrated NLL against the number of networks")
    items = []
    for entry in found["groups"]:
        gain, apart = entry["gain"], entry["disagreement"]
        items.append(
            tag(
                "li",
                f"{entry['group']}: {percent(gain['value'], 0)} of the gain "
                f"({percent(gain['low'], 0)} to {percent(gain['high'], 0)}) and "
                f"{percent(apart['value'], 0)} of the disagreement "
                f"({percent(apart['low'], 0)} to {percent(apart['high'], 0)}) of "
                f"{whole(entry['networks'])} independent networks; worth "
                f"{decimal(entry['equivalent'], 1)} of them",
            )
        )
    return join(tag("p", note, class_="lede"), shown, tag("ul", join(*items)))


def diversity(document: Mapping, plots: Plots) -> Html | None:
    """Maps of disagreement, error and gain over peak rates and lengths of a cycle."""
    found = document.get("diversity")
    if not found:
        return None
    seeds = len(found["seeds"])
    note = (
        f"Snapshots of {whole(found['epochs'])} epochs on the {found['split']} split, "
        f"for each peak rate and length T of a cycle; mean over {seeds} "
        f"{'seed' if seeds == 1 else 'seeds'}"
        f"{'' if seeds == 1 else ' ± standard deviation'}. A shorter T means more "
        "members. The gain is the calibrated NLL of single members less that of their "
        "pool."
    )
    maps = (
        ("disagreement", "Disagreement of pairs, %", 100.0),
        ("error", "Error of single members, %", 100.0),
        ("pooled_error", "Error of the pool, %", 100.0),
        ("gain", "Gain of the pool, NLL", 1.0),
        ("pooled_nll", "NLL of the pool", 1.0),
    )
    made = [
        place(
            plots,
            figures_diagnosis.diversity(found, measure, factor),
            f"{title} over peak rate and length of a cycle",
            tag("b", title),
        )
        for measure, title, factor in maps
    ]
    return beside(note, made, "tiles")


def curves(document: Mapping, plots: Plots) -> Html | None:
    """Loss and error against step."""
    log = document.get("log") or ()
    made = []
    for quantity in ("loss", "error"):
        if not figures_training.has(log, quantity):
            continue
        members = document.get("members") or ()
        figure = figures_training.curves(log, members, quantity, colours(document))
        caption = tag("b", quantity.capitalize())
        title = f"{quantity.capitalize()} in training and validation against step"
        made.append(place(plots, figure, title, caption))
    if not made:
        return None
    lede = "Solid: validation. Dotted: training. Diamonds mark members."
    return beside(lede, made)


def layers(document: Mapping, plots: Plots) -> Html | None:
    """Rates of layers, and their signal against their decay, over the steps."""
    log, made = document.get("log") or (), []
    seen: list[list] = []
    for name in dict.fromkeys(row["trajectory"] for row in log):
        rows = [row for row in log if row["trajectory"] == name and row.get("rates")]
        drawn = [(row["rates"], row.get("ratios")) for row in rows]
        if not rows or drawn in seen:
            continue
        seen.append(drawn)
        for key, title in (("rates", "rate"), ("ratios", "signal against decay")):
            mine = [row for row in rows if row.get(key)]
            if mine:
                caption = join(tag("b", name), f" · {title} by layer")
                figure = figures_rates.layers(mine, key)
                shown = f"{title.capitalize()} of each layer of {name} against step"
                made.append(place(plots, figure, shown, caption))
    if not made:
        return None
    lede = (
        "From the input, above, to the head, below, at the end of each epoch. "
        "Crosses: layers that were frozen."
    )
    return beside(lede, made)


def consistency(document: Mapping, plots: Plots) -> Html | None:
    """Predictions that agree with what they are compared with, and the weight of it."""
    log, made = document.get("log") or (), []
    for quantity, title in _CONSISTENCY.items():
        rows = [row for row in log if finite(row.get(f"train_{quantity}")) is not None]
        if rows:
            figure = figures_training.curves(rows, (), quantity, colours(document))
            made.append(place(plots, figure, f"{title} against step", tag("b", title)))
    if not made:
        return None
    lede = (
        "Share of the training examples, with a label or without, whose likeliest "
        "class is that of the prediction that they are compared with: the mean of "
        "earlier epochs, or a second one. The weight is that of their squared "
        "differences."
    )
    return beside(lede, made)


def disagreement(document: Mapping, plots: Plots) -> Html | None:
    """One heat map per group of members."""
    rows = document.get("disagreement")
    if not rows:
        return None
    shares = [figures_judging.pairs(row) for row in rows]
    top = max((value for values in shares for value in values), default=0.0)
    made = []
    for row, values in zip(rows, shares, strict=True):
        mean = sum(values) / len(values) if values else None
        caption = join(
            tag("b", str(row["group"])),
            f" · mean of pairs {percent(mean)}",
            f" · {row['split']} split" if row.get("split") else None,
        )
        title = f"Pairwise disagreement of {row['group']}, mean {percent(mean)}"
        figure = figures_judging.disagreement(row, top)
        made.append(place(plots, figure, title, caption))
    lede = (
        "Share of examples on which two members predict different classes. "
        "Members that agree everywhere add nothing to one another."
    )
    return beside(lede, made, "tiles")


def reliability(document: Mapping, plots: Plots) -> Html | None:
    """Reliability diagrams of every predictor, before and after calibration."""
    rows = document.get("reliability")
    if not rows:
        return None
    made = [
        tag("div", tag("h3", str(row["name"])), _before_after(row, plots))
        for row in rows
    ]
    lede = (
        "Bars: accuracy in each bin of confidence. Points: at the bin's mean "
        "confidence; below the dashed line they are over-confident, above it "
        "under-confident. Whiskers: Wilson's 95 % interval of the accuracy. "
        "Underneath: the share of examples in each bin."
    )
    return beside(lede, made, "predictors")


def _before_after(row: Mapping, plots: Plots) -> Html:
    stages = {"before": "Before calibration", "after": "After calibration"}
    made: Sequence[Html] = [
        _diagram(row["name"], stages[stage], row[stage], plots)
        for stage in stages
        if row.get(stage)
    ]
    return tag("div", *made, class_="beside")


def _diagram(name: str, stage: str, bins: Mapping, plots: Plots) -> Html:
    figure = figures_judging.reliability(bins, name)
    scores = [
        f"{title} {show(bins[key])}"
        for key, title, show in (("ece", "ECE", percent), ("nll", "NLL", decimal))
        if finite(bins.get(key)) is not None
    ]
    caption = join(tag("b", stage), " · ".join(scores))
    title = f"Reliability of {name}: {', '.join([stage.lower(), *scores])}"
    return place(plots, figure, title, caption)
