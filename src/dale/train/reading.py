"""Reads recipes: YAML in, a checked recipe or one line about what is wrong out."""

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from dale.errors import RecipeError
from dale.train.engine import EngineSpec
from dale.train.guard import GuardSpec
from dale.train.plateau import PlateauSpec
from dale.train.problems import Anatomy, first_problem
from dale.train.recipe import (
    COLLECTOR,
    DATA,
    LAYER,
    MODEL,
    OPTIMIZER,
    STRATEGY,
    TRACKER,
    VERSION,
    AugmentSpec,
    Recipe,
)
from dale.train.specs import SCHEDULE


def parse_recipe(text: str, origin: str = "recipe") -> Recipe:
    """Read a recipe.

    Args:
        text: YAML.
        origin: Where the text comes from, for messages.

    Returns:
        The recipe.

    Raises:
        RecipeError: One line for the first problem: where, what, what was expected.

    Example:
        >>> text = "{data: digits, model: mlp, epochs: 2, strategies: [snapshot]}"
        >>> parse_recipe(text).strategies[0].cycles
        5
        >>> parse_recipe(text.replace("epochs", "epoch"))
        Traceback (most recent call last):
        dale.errors.RecipeError: recipe: unknown key 'epoch'; did you mean 'epochs'?
    """
    try:
        document = yaml.load(text, Loader=_Loader)  # a safe loader
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        place = getattr(error, "problem_mark", None)
        line = f" line {place.line + 1}" if place else ""
        problem = getattr(error, "problem", None) or getattr(error, "reason", error)
        raise RecipeError(f"{origin}{line} is not YAML: {problem}") from None
    if not isinstance(document, dict):
        kind = _KINDS.get(type(document), f"a {type(document).__name__}")
        raise RecipeError(f"{origin} holds {kind}; expected a mapping of keys")
    version = document.get("version", VERSION)
    if isinstance(version, int) and version > VERSION:
        raise RecipeError(
            f"{origin} has version {version}; this dale reads up to {VERSION}"
        )
    try:
        return Recipe.model_validate(document)
    except ValidationError as error:
        raise RecipeError(f"{origin}: {first_problem(error, _ANATOMY)}") from None


def read_recipe(path: str | Path) -> str:
    """The text of a recipe's file.

    Raises:
        RecipeError: There is no such file, or it is not text.
    """
    path = Path(path)
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise RecipeError(f"{path} does not exist; expected a recipe") from None
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} cannot be read as text: {error}") from None


def load_recipe(path: str | Path) -> Recipe:
    """Read a recipe from a file; see `parse_recipe`."""
    return parse_recipe(read_recipe(path), str(path))


class _Loader(yaml.SafeLoader):
    """YAML in which a key that stands twice is an error, not a silent choice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> Any:
        seen = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    problem=f"the key {key.value!r} stands twice",
                    problem_mark=key.start_mark,
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


_KINDS = {type(None): "nothing", str: "text", list: "a list"}
_ANATOMY = Anatomy(
    Recipe,
    {
        "data": DATA,
        "model": MODEL,
        "optimizer": OPTIMIZER,
        "strategies": STRATEGY,
        "collect": COLLECTOR,
        "schedule": SCHEDULE,
        "layers": LAYER,
        "trackers": TRACKER,
    },
    {
        "engine": EngineSpec,
        "guard": GuardSpec,
        "plateau": PlateauSpec,
        "augment": AugmentSpec,
    },
    {"companions": SCHEDULE},
)
