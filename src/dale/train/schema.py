"""The JSON schema of recipes, for editors that complete and check them."""

import re
from typing import Any

from dale.train.recipe import Recipe

_ARGUMENTS = re.compile(r"^Args:\n(.*?)(?=^\S|\Z)", re.MULTILINE | re.DOTALL)
_ARGUMENT = re.compile(r"^    (\w+): (.*?)(?=^    \S|\Z)", re.MULTILINE | re.DOTALL)


def recipe_schema() -> dict[str, Any]:
    """The JSON schema of recipes.

    Each key is described by what the docstring of its function says of the
    parameter.

    Returns:
        A JSON schema, draft 2020-12.

    Example:
        >>> schema = recipe_schema()
        >>> schema["properties"]["epochs"]["description"]
        'The budget of each strategy, in passes over the training examples, ...'
    """
    schema = Recipe.model_json_schema()
    for part in (schema, *schema["$defs"].values()):
        _describe(part)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _describe(part: dict[str, Any]) -> None:
    """Move what a docstring says of its arguments to the keys themselves."""
    text = part.get("description", "")
    part["description"] = text.split("\n")[0]
    for section in _ARGUMENTS.findall(text):
        for name, words in _ARGUMENT.findall(section):
            key = part.get("properties", {}).get(name)
            if key is not None:
                key["description"] = " ".join(words.split())
