"""Writes the tables of merging methods in the pages from the tables in the code.

    python docs/methods.py

A table stands between the comments ``methods: FAMILY`` (or ``methods on a run``) and
``end``. A test holds the pages against this file.
"""

import inspect
import re
from pathlib import Path
from typing import Any

from dale.merge import INFORMED, METHODS, Method
from dale.merge.engine import settings_of
from dale.recipes.fusion import FUSIONS

HERE = Path(__file__).parent
PAGES = {
    "averages": "merge_averages.md",
    "task vectors": "merge_task_vectors.md",
    "geometry": "merge_geometry.md",
    "data": "merge_data.md",
}
FAMILIES = {
    "averages": (
        "uniform",
        "weighted",
        "linear",
        "greedy_soup",
        "random_subsets",
        "importance",
        "contribution",
        "contribution_literal",
        "passthrough",
    ),
    "task vectors": (
        "task_arithmetic",
        "wise_ft",
        "expo",
        "ties",
        "ties_global",
        "dare_linear",
        "dare_ties",
        "breadcrumbs",
        "breadcrumbs_ties",
        "della",
        "della_linear",
        "sce",
        "ram",
        "ramplus_tl",
        "nearswap",
        "arcee_fusion",
    ),
    "geometry": (
        "slerp",
        "nuslerp",
        "multislerp",
        "karcher",
        "model_stock",
        "subspace",
    ),
    "data": tuple(INFORMED),
}
ROWS = METHODS | INFORMED
_BLOCK = re.compile(r"<!-- methods(: [a-z ]+| on a run) -->\n.*?<!-- end -->", re.S)


def page(text: str) -> str:
    """The page with every table as it should be."""
    return _BLOCK.sub(lambda found: block(found[1]), text)


def block(which: str) -> str:
    """What stands between the comments, with them."""
    lines = on_a_run() if which == " on a run" else table(FAMILIES[which[2:]])
    return "\n".join([f"<!-- methods{which} -->", *lines, "<!-- end -->"])


def table(names: tuple[str, ...]) -> list[str]:
    """Some methods: what they take, and what is true of them.

    The last column is mergekit's name, or what the method is where it has none.
    """
    named = any(ROWS[name].mergekit for name in names)
    head = ["method", "models", "base", "settings", "facts"]
    head += ["mergekit" if named else "what it is"]
    rows = [
        [*_row(n, ROWS[n]), (ROWS[n].mergekit or "–") if named else ROWS[n].summary]
        for n in names
    ]
    return _lines([head, ["---"] * len(head), *rows])


def on_a_run() -> list[str]:
    """What ``dale merge RUN --method`` takes."""
    head = ["`--method`", "members", "`--base`", "`--set`", "`--scan`"]
    rows = [head, ["---"] * len(head)]
    for name, fusion in FUSIONS.items():
        known = [
            _shown(setting, default)
            for setting, (hint, default) in fusion.settings.items()
            if "Callable" not in str(hint)
        ]
        scans = [f"`{setting.removesuffix('_')}`" for setting in fusion.scans]
        fewest = 2 if fusion.row.base == "none" else 1
        rows.append(
            [
                f"`{name}`",
                _span(max(fewest, fusion.row.models[0]), fusion.row.models[1]),
                _base(fusion.row),
                ", ".join(known) or "–",
                ", ".join(scans) or "–",
            ]
        )
    return _lines(rows)


def _row(name: str, row: Method) -> list[str]:
    facts = {
        "idempotent": row.idempotent,
        "symmetric": row.symmetric,
        "random": not row.deterministic,
        "sees all tensors": row.scope == "global",
        "in memory": not row.streams,
        "needs a score": row.needs_score,
    }
    known = {n: p.default for n, p in settings_of(row).items()}
    return [
        f"`{name}`",
        _span(*row.models),
        _base(row),
        ", ".join(_shown(*item) for item in known.items()) or "–",
        ", ".join(fact for fact, true in facts.items() if true) or "–",
    ]


def _span(fewest: int, most: int | None) -> str:
    return str(most) if most is not None else f"≥ {fewest}"


def _base(row: Method) -> str:
    return {"none": "–", "optional": "may", "required": "yes"}[row.base]


def _shown(name: str, default: Any) -> str:
    shown = f"`{name.removesuffix('_')}`"
    if default is inspect.Parameter.empty:
        return shown
    text = getattr(default, "__name__", str(default))
    text = text.lower() if isinstance(default, bool) else text
    return f"{shown} {text}"


def _lines(rows: list[list[str]]) -> list[str]:
    return ["| " + " | ".join(row) + " |" for row in rows]


def pages() -> list[Path]:
    """The pages with tables."""
    return [HERE / name for name in ("merging.md", *PAGES.values())]


if __name__ == "__main__":
    for path in pages():
        path.write_text(page(path.read_text("utf-8")), "utf-8")
