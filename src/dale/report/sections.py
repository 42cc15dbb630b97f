"""The sections of the page, in their order.

Every section is a function of the document that returns its body, or None when
the document holds nothing for it: a missing section is left out, with its entry in
the list of contents. `SECTIONS` is the table the page is made from.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from dale.report.html_tags import Html, join, tag
from dale.report.sections_folds import folds
from dale.report.sections_merging import soundness
from dale.report.sections_plots import (
    Plots,
    consistency,
    curves,
    diagnosis,
    disagreement,
    diversity,
    ergodicity,
    layers,
    rates,
    reliability,
    schedules,
)
from dale.report.sections_results import results
from dale.report.sections_run import decisions, footer, header, members, prices, recipe
from dale.report.sections_trust import confidence, drift, selective

__all__ = ["SECTIONS", "Section", "body"]


@dataclass(frozen=True)
class Section:
    """One part of the page.

    Attributes:
        key: Its anchor on the page.
        title: Its heading, also in the list of contents.
        make: Document and the page's plots (added to) → body, or None.
    """

    key: str
    title: str
    make: Callable[[Mapping, Plots], Html | None]


SECTIONS = (
    Section("results", "Results", results),
    Section("folds", "Cross-validation", folds),
    Section("schedules", "Learning rate", schedules),
    Section("prices", "Cost", prices),
    Section("range_test", "Range test", rates),
    Section("curves", "Training", curves),
    Section("layers", "Layers", layers),
    Section("consistency", "Agreement of predictions", consistency),
    Section("diagnosis", "Gradients and curvature", diagnosis),
    Section("disagreement", "Disagreement of members", disagreement),
    Section("ergodicity", "Time and ensemble averages", ergodicity),
    Section("diversity", "Rate, cycle length and diversity", diversity),
    Section("reliability", "Reliability", reliability),
    Section("selective", "Risk and coverage", selective),
    Section("confidence", "Confidence over training", confidence),
    Section("drift", "Under drift", drift),
    Section("decisions", "Greedy soup", decisions),
    Section("soundness", "Is the merge sound?", soundness),
    Section("members", "Members", members),
    Section("recipe", "Recipe", recipe),
)


def body(document: Mapping, plots: Plots) -> Html:
    """Header, list of contents, sections that have something to show, footer.

    Args:
        document: The report's document.
        plots: The page's plots; the sections add theirs.

    Returns:
        The content of the page's body.
    """
    made = [(section, section.make(document, plots)) for section in SECTIONS]
    shown = [(section, content) for section, content in made if content is not None]
    links = [tag("a", section.title, href=f"#{section.key}") for section, _ in shown]
    contents = tag("nav", *links, aria_label="Contents", class_="contents")
    parts = [
        tag(
            "section",
            tag("h2", section.title, id=f"{section.key}-title"),
            content,
            id=section.key,
            aria_labelledby=f"{section.key}-title",
        )
        for section, content in shown
    ]
    main = tag("main", *parts) if parts else None
    return join(header(document), contents if links else None, main, footer(document))
