"""The pages of methods say what the tables say, and explain every row."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from dale.merge import INFORMED, METHODS

DOCS = Path(__file__).parents[2] / "docs"
ROWS = METHODS | INFORMED


def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("methods", DOCS / "methods.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_tables_are_the_tables() -> None:
    made = script()
    for path in made.pages():
        text = path.read_text(encoding="utf-8")
        assert "<!-- methods" in text
        assert made.page(text) == text, f"{path.name}: run python docs/methods.py"


def test_every_method_is_in_one_family() -> None:
    names = [name for family in script().FAMILIES.values() for name in family]
    assert sorted(names) == sorted(ROWS)


@pytest.mark.parametrize("name", ROWS)
def test_every_method_is_explained(name: str) -> None:
    made = script()
    (family,) = (f for f, names in made.FAMILIES.items() if name in names)
    text = (DOCS / made.PAGES[family]).read_text(encoding="utf-8")
    after = text.split("<!-- end -->")[1]
    spoken = ROWS[name].function.__name__ if name in INFORMED else name
    assert f"`{spoken}`" in after
    published = re.search(r"\d{4}\.\d{5}", ROWS[name].reference)
    assert published is None or published.group() in after
