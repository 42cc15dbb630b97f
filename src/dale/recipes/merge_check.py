"""The page after a merge: numbers and words beside what was merged."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dale.files import write_text
from dale.merge import Check, check
from dale.merge.engine import Model, opened
from dale.report import render_check
from dale.store import Member, finite, sealed
from dale.weights import Weights

KIND = "merge-check"
_DIGEST = 12


def write(
    out: str | Path,
    models: Sequence[Model],
    base: Model | None = None,
    *,
    loss: Callable[[Weights], float] | None = None,
    labels: Sequence[str] | None = None,
) -> Check:
    """Check a merge on the disk and put a page and its numbers beside it.

    Args:
        out: What was merged: a file, or a folder, into which they go.
        models: What it was made from.
        base: Their common ancestor.
        loss: A loss of weights on data, for barriers.
        labels: Names of the models; their paths when they have any.

    Returns:
        The check; ``merge_check.html`` shows it.

    Raises:
        WeightsError: Something cannot be read.
        DiskError: The disk refused.

    Example:
        >>> import torch
        >>> from dale.weights import save
        >>> for name in ("a", "b", "merged"):
        ...     _ = save(f"{name}.safetensors", {"w": torch.ones(3)}, {})
        >>> write("merged.safetensors", ["a.safetensors", "b.safetensors"]).level
        'sound'
        >>> sorted(path.name for path in Path().glob("*check*"))
        ['merged.merge_check.html', 'merged.merge_check.json']
    """
    out = Path(out)
    if labels is None:
        labels = [_label(model, k) for k, model in enumerate(models, start=1)]
    found = check(
        opened(out),
        [opened(model) for model in models],
        base=None if base is None else opened(base),
        loss=loss,
        labels=labels,
    )
    folder, stem = (out, "") if out.is_dir() else (out.parent, f"{out.stem}.")
    document = finite(found.to_dict())
    sealed.write(folder / f"{stem}merge_check.json", KIND, document)
    page = _page(document, out.name, f"merged from {_listed(found.labels)}")
    write_text(folder / f"{stem}merge_check.html", page)
    return found


def write_in_run(folder: Path, member: Member, found: Check) -> tuple[Path, str]:
    """Put the page of a fused member into its run.

    Args:
        folder: The run's folder.
        member: The fused member.
        found: Its check.

    Returns:
        The page, and the name under which ``results`` should hold the numbers.
    """
    name = f"merge-{member.digest[:_DIGEST]}"
    text = f"{member.how} of {_listed(found.labels)}"
    path = folder / "report" / f"{name}.html"
    write_text(path, _page(finite(found.to_dict()), member.label, text))
    return path, name


def _page(document: dict[str, Any], title: str, subtitle: str) -> str:
    created = datetime.now(UTC).isoformat(timespec="seconds")
    words = {"title": title, "subtitle": subtitle, "created": created}
    return render_check(document | words)


def _label(model: Model, position: int) -> str:
    return Path(model).name if isinstance(model, str | Path) else f"model {position}"


def _listed(labels: Sequence[str]) -> str:
    return ", ".join(labels)
