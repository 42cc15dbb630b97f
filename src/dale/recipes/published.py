"""The JSON schema of recipes, as a file beside each recipe."""

import json

from dale.train import recipe_schema

SCHEMA_NAME = "recipe.schema.json"
"""Name of the schema's file in a run folder."""

EDITOR_LINE = f"# yaml-language-server: $schema={SCHEMA_NAME}\n"
"""First line of a recipe by which editors find the schema."""


def schema_text() -> str:
    """The schema as indented JSON."""
    return json.dumps(recipe_schema(), indent=1) + "\n"
