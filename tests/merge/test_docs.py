"""The page of methods says what the table says."""

import inspect
import re
from pathlib import Path

import pytest

from dale.merge import METHODS
from dale.merge.engine import settings_of

PAGE = Path(__file__).parents[2] / "docs" / "merge_methods.md"
MARK = "methods from the table"


def shown(name: str, parameter: inspect.Parameter) -> str:
    name = "lambda" if name == "lambda_" else name
    if parameter.default is parameter.empty:
        return f"`{name}`"
    default = parameter.default
    text = str(default).lower() if isinstance(default, bool) else str(default)
    return f"`{name}` {text}"


def table() -> str:
    """The table of the page, made from `METHODS`."""
    head = ["method", "models", "base", "settings and defaults", "facts", "mergekit"]
    rows = [head, ["---"] * len(head)]
    for name, row in METHODS.items():
        fewest, most = row.models
        facts = {
            "idempotent": row.idempotent,
            "symmetric": row.symmetric,
            "random": not row.deterministic,
            "sees all tensors": row.scope == "global",
            "in memory": not row.streams,
            "needs a score": row.needs_score,
        }
        rows.append(
            [
                f"`{name}`",
                f"≥ {fewest}" if most is None else str(fewest),
                {"none": "–", "optional": "may", "required": "yes"}[row.base],
                ", ".join(shown(*item) for item in settings_of(row).items()) or "–",
                ", ".join(fact for fact, true in facts.items() if true) or "–",
                row.mergekit or "–",
            ]
        )
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def test_the_table_is_the_table() -> None:
    text = PAGE.read_text(encoding="utf-8")
    found = re.search(rf"<!-- {MARK} -->\n(.*?)\n<!-- end -->", text, re.DOTALL)
    assert found is not None
    assert found.group(1).strip() == table()


@pytest.mark.parametrize("name", METHODS)
def test_every_method_is_explained(name: str) -> None:
    text = PAGE.read_text(encoding="utf-8").split("<!-- end -->")[1]
    assert f"`{name}`" in text
    published = re.search(r"\d{4}\.\d{5}", METHODS[name].reference)
    assert published is None or published.group() in text
