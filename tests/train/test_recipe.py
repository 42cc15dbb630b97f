import jsonschema
import pytest
import yaml

from cases.bad_input import RECIPES
from cases.runs import RECIPE
from dale.data import SOURCES
from dale.errors import RecipeError
from dale.models import MODELS
from dale.schedules import SCHEDULES
from dale.train import (
    OPTIMIZERS,
    STRATEGIES,
    load_recipe,
    parse_recipe,
    read_recipe,
    recipe_schema,
)

SHORT = "{data: digits, model: mlp, epochs: 4, strategies: [snapshot]}"


def test_a_word_stands_for_a_variant_with_its_defaults():
    recipe = parse_recipe(SHORT)
    assert recipe.data.source == "digits"
    assert recipe.model.name == "mlp"
    assert recipe.optimizer.name == "sgd"
    assert recipe.strategies[0].name == "snapshot"
    assert recipe.strategies[0].cycles == 5


def test_a_recipe_says_the_same_after_it_was_written_out():
    recipe = parse_recipe(RECIPE)
    again = parse_recipe(yaml.safe_dump(recipe.model_dump(mode="json")))
    assert again == recipe


def test_a_recipe_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        parse_recipe(SHORT).seed = 3


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_can_be_named(name):
    recipe = parse_recipe(SHORT.replace("snapshot", name))
    trajectories = recipe.trajectories(1000)
    assert {t.group for t in trajectories} == {name}
    assert trajectories[0].seed == recipe.seed


def test_equal_budgets_for_all():
    recipe = parse_recipe(SHORT.replace("[snapshot]", "[single, snapshot, swa]"))
    assert {t.steps for t in recipe.trajectories(1000)} == {4 * 8}
    assert {t.steps for t in recipe.trajectories(1025)} == {4 * 9}
    assert recipe.budget(1000).per_epoch == 8


def test_repeated_strategies_have_numbers_and_unique_names():
    names = "[short_cycles, single, short_cycles, short_cycles]"
    recipe = parse_recipe(SHORT.replace("[snapshot]", names))
    found = recipe.trajectories(1000)
    assert len({t.name for t in found}) == len(found)
    assert list(dict.fromkeys(t.group for t in found)) == [
        *("short_cycles", "single", "short_cycles-2", "short_cycles-3")
    ]
    assert found[-1].name == "short_cycles-05-3"


def test_the_schema_takes_what_dale_takes():
    schema = recipe_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    for text in (SHORT, RECIPE):
        jsonschema.validate(yaml.safe_load(text), schema)


@pytest.mark.parametrize(
    "name",
    [
        *("key", "data key", "model key", "strategy key", "optimizer key"),
        *("augment key", "engine key", "schedule key", "key in a piece"),
        *("text for a number", "number for a list", "text in a list", "clip"),
        *("device", "batch of one", "no strategy", "missing key", "model", "source"),
        *("strategy", "optimizer", "schedule", "newer", "one type of several"),
    ],
)
def test_the_schema_refuses_what_dale_refuses(name):
    text, _ = RECIPES[name]
    with pytest.raises(RecipeError):
        parse_recipe(text)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(yaml.safe_load(text), recipe_schema())


def test_the_schema_names_every_variant_and_describes_it():
    definitions = recipe_schema()["$defs"]
    described = {
        # two families have a variant of this name; pydantic then writes both out
        key.removesuffix("__1").split("__")[-1]
        for key, definition in definitions.items()
        if definition["description"]
    }
    for table in (SOURCES, MODELS, OPTIMIZERS, STRATEGIES, SCHEDULES):
        assert described >= set(table)


def test_an_origin_is_named():
    with pytest.raises(RecipeError, match=r"^my\.yaml: epochs is missing$"):
        parse_recipe("{data: digits, model: mlp, strategies: [swa]}", "my.yaml")


def test_unknown_keys_come_before_what_they_leave_missing():
    with pytest.raises(RecipeError, match="unknown key 'epoch'; did you mean 'epochs'"):
        parse_recipe(SHORT.replace("epochs", "epoch").replace("model: mlp, ", ""))


def test_merged_yaml_keys_are_no_repetition():
    text = f"base: &base {{seed: 3}}\n<<: *base\n{SHORT[1:-1].replace(', ', chr(10))}"
    with pytest.raises(RecipeError, match="unknown key 'base'"):
        parse_recipe(text)


def test_recipes_from_files(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text(SHORT)
    assert load_recipe(path) == parse_recipe(SHORT)
    with pytest.raises(RecipeError, match=r"gone\.yaml does not exist; expected"):
        read_recipe(tmp_path / "gone.yaml")
    with pytest.raises(RecipeError, match=r"cannot be read as text: .*directory"):
        read_recipe(tmp_path)
