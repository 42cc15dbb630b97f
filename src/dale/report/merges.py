"""A page on whether a merge is sound."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dale.errors import InputError
from dale.files import write_together
from dale.report.gather import versions
from dale.report.html import render
from dale.store import finite

if TYPE_CHECKING:
    from dale.merge import Soundness


def write_check(
    page: str | Path,
    found: "Soundness",
    models: Sequence[str],
    *,
    title: str = "merge",
    base: str | None = None,
    measure: str = "loss",
    recipe: str | None = None,
    subtitle: str | None = None,
    notes: Sequence[str] = (),
) -> Path:
    """Write what `dale.merge.check` found as a page, and its numbers beside it.

    Args:
        page: The page, ``.html``; the numbers go beside it as ``.json``.
        found: What was found.
        models: What to call the inputs, in their order.
        title: Of the page.
        base: What to call the common ancestor, if there is one.
        measure: What the loss of the barriers is, such as ``"NLL on validation"``.
        recipe: Text of the configuration that made the merge, to be shown.
        subtitle: Under the title.
        notes: What a reader should know beside the figures, one line each.

    Returns:
        The page's path.

    Raises:
        InputError: The names do not fit the models, or the page is no ``.html``.
        DiskError: The disk refused; what was there is as it was.

    Example:
        >>> import torch
        >>> from dale.merge import check
        >>> pair = [{"w": torch.zeros(2)}, {"w": torch.ones(2)}]
        >>> mean = {"w": torch.full((2,), 0.5)}
        >>> write_check("mean.html", check(mean, pair), ["zeros", "ones"]).name
        'mean.html'
    """
    page = Path(page)
    if page.suffix.lower() != ".html":
        raise InputError(f"{page}: expected a name ending in .html")
    if len(models) != len(found.distances_K):
        raise InputError(
            f"{len(models)} names for {len(found.distances_K)} models; expected one "
            "for each"
        )
    document = finite(check_document(found, models, base, measure))
    document["soundness"]["notes"] = list(notes)
    document |= {
        "schema": 1,
        "title": title,
        "subtitle": subtitle,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "recipe": recipe,
        "recipe_name": "configuration",
        "versions": versions(),
    }
    numbers = json.dumps(document, indent=1) + "\n"
    write_together({page.with_suffix(".json"): numbers, page: render(document)})
    return page


def check_document(
    found: "Soundness", models: Sequence[str], base: str | None, measure: str
) -> dict[str, Any]:
    """The parts of a report's document that show what was found."""
    judgement = found.judgement
    return {
        "verdict": {
            "regime": judgement.verdict.capitalize(),
            "headline": judgement.headline,
            "reasons": list(judgement.reasons),
        },
        "soundness": {
            **found.to_dict(),
            "barriers": [
                {"t_T": path.t_T, "loss_T": path.loss_T, "height": path.height}
                for path in found.barriers
            ],
            "models": list(models),
            "base": base,
            "measure": measure,
        },
    }
