"""The published schema is current, and accepts every recipe that is published."""

import inspect
import json
import re
from importlib.resources import files
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from dale.recipes import schema_text
from dale.train import STRATEGIES, load_recipe, parse_recipe

ROOT = Path(__file__).parents[2]
SCHEMA = ROOT / "docs" / "_static" / "recipe.schema.json"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
YAML = re.compile(r"^```yaml\n(.*?)^```", re.M | re.S)


def published():
    """Every whole recipe in the package, the examples and the pages."""
    yield "demo", files("dale.recipes").joinpath("demo.yaml").read_text("utf-8")
    for path in sorted((ROOT / "examples").glob("*.yaml")):
        yield path.name, path.read_text("utf-8")
    for page in PAGES:
        for number, text in enumerate(YAML.findall(page.read_text("utf-8")), start=1):
            if "strategies:" in text:
                yield f"{page.name}-{number}", text


RECIPES = dict(published())


@pytest.fixture(scope="module")
def validator():
    schema = json.loads(SCHEMA.read_text("utf-8"))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def test_file_is_what_the_verb_prints():
    hint = "run: dale show --schema > docs/_static/recipe.schema.json"
    assert SCHEMA.read_text("utf-8") == schema_text(), hint


def test_recipes_were_found_in_all_places():
    assert {"demo", "images.yaml", "recipes.md-1", "tutorial.md-1"} <= set(RECIPES)


@pytest.mark.parametrize("name", RECIPES)
def test_schema_accepts(validator, name):
    problems = list(validator.iter_errors(yaml.safe_load(RECIPES[name])))
    assert problems == []


@pytest.mark.parametrize("name", RECIPES)
def test_dale_accepts(name):
    assert parse_recipe(RECIPES[name], name).trajectories(examples=10_000)


def test_a_file_is_read_as_its_text(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPES["demo"], "utf-8")
    assert load_recipe(path) == parse_recipe(RECIPES["demo"])


BROKEN = {
    "unknown key": {"epoch": 3},
    "unknown strategy": {"strategies": ["snapshots"]},
    "unknown key of a strategy": {"strategies": [{"name": "snapshot", "cycle": 3}]},
    "unknown key of a model": {"model": {"name": "mlp", "depth": 3}},
    "no strategy": {"strategies": []},
    "text for a number": {"epochs": "three"},
    "no epochs": {"epochs": 0},
    "newer version": {"version": 2},
    "smoothing out of range": {"label_smoothing": 1.0},
}


@pytest.mark.parametrize("change", BROKEN.values(), ids=BROKEN)
def test_schema_and_dale_refuse(validator, change):
    good = {"data": "digits", "model": "mlp", "epochs": 3, "strategies": ["snapshot"]}
    assert validator.is_valid(good)
    assert not validator.is_valid(good | change)
    with pytest.raises(ValueError, match="recipe"):
        parse_recipe(yaml.safe_dump(good | change))


@pytest.mark.parametrize("missing", ["data", "model", "epochs", "strategies"])
def test_schema_asks_for_what_is_required(validator, missing):
    good = {"data": "digits", "model": "mlp", "epochs": 3, "strategies": ["snapshot"]}
    del good[missing]
    assert not validator.is_valid(good)


@pytest.mark.parametrize("name", STRATEGIES)
def test_page_lists_the_settings_of_a_strategy(name):
    page = (ROOT / "docs" / "strategies.md").read_text("utf-8")
    settings = page.split("## Their settings")[1]
    row = re.search(rf"^\| `{name}` \| (.*) \|$", settings, re.M)
    assert row is not None
    parameters = list(inspect.signature(STRATEGIES[name].function).parameters)
    assert re.findall(r"`(\w+)`", row[1]) == [p for p in parameters if p != "budget"]


def test_page_explains_every_key():
    page = (ROOT / "docs" / "recipes.md").read_text("utf-8")
    keys = page.split("## The keys")[1].split("## Lengths")[0]
    schema = json.loads(SCHEMA.read_text("utf-8"))
    assert re.findall(r"^`(\w+)`", keys, re.M) == list(schema["properties"])
