"""What is said of a merge that was just made, and the page beside it."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dale.cli.common import err, out

if TYPE_CHECKING:
    from dale.merge import Soundness
    from dale.merge.after import Checked

PAGE = "soundness.html"
"""Beside the weights that a configuration makes. It is no part of the result."""


def write_page(
    page: Path, checked: "Checked", notes: Sequence[str] = (), **words: Any
) -> bool:
    """Write the page and its numbers.

    The merge is whole already, so a disk that refuses is a warning and no failure.

    Args:
        page: Where.
        checked: What was found.
        notes: What was done otherwise than one might think.
        words: More of `dale.report.write_check`.

    Returns:
        Whether it was written.
    """
    from dale.errors import DaleError
    from dale.report import write_check

    left = [f"not compared, as they are no real numbers: {', '.join(checked.carried)}"]
    more = [*notes, *(left if checked.carried else [])]
    try:
        write_check(
            page, checked.found, checked.models, base=checked.base, notes=more, **words
        )
    except DaleError as error:
        line = f"warning: the merge is whole, its page is not there: {error}"
        err.print(line, style="yellow", soft_wrap=True)
        return False
    return True


def verdict(
    name: str, found: "Soundness", page: Path | None, quiet: bool
) -> dict[str, Any]:
    """Say whether a merge is sound, with a warning for each reason if it is not.

    Args:
        name: Of the result.
        found: What was found.
        page: Where more is to be read, if it could be written.
        quiet: Print nothing.

    Returns:
        The same for JSON.
    """
    judgement = found.judgement
    if not quiet:
        for reason in judgement.reasons[: judgement.against]:
            err.print(f"warning: {name}: {reason}", style="yellow", soft_wrap=True)
        where = "" if page is None else f" {page}"
        out.print(f"{name}: {judgement.verdict}. {judgement.headline}{where}")
    return {
        "soundness": {
            "verdict": judgement.verdict,
            "headline": judgement.headline,
            "reasons": list(judgement.reasons),
            "share": found.share,
            "apart": list(found.apart),
            "page": None if page is None else str(page),
        }
    }
