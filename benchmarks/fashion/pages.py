"""What a benchmark leaves behind: figures as JSON, as Markdown and as pictures."""

import json
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any


def publish(
    name: str,
    document: Mapping[str, Any],
    page: str,
    results: Path,
    pictures: Path,
    drawn_by: str,
    indent: int | None = None,
) -> None:
    """Write everything, and say where it is.

    Args:
        name: Of the JSON and of the Markdown file.
        document: The figures.
        page: The same as Markdown.
        results: Where both go; made if need be.
        pictures: Where the pictures go.
        drawn_by: Module whose ``draw(document, folder)`` makes them and returns their
            paths; it needs matplotlib.
        indent: Of the JSON.
    """
    results.mkdir(parents=True, exist_ok=True)
    paths = [results / f"{name}.json", results / f"{name}.md"]
    text = json.dumps(document, indent=indent) + "\n"
    for path, content in zip(paths, (text, page), strict=True):
        path.write_text(content, encoding="utf-8")
    try:
        draw = import_module(drawn_by).draw
    except ModuleNotFoundError as error:
        print(f"no pictures: {error.name} is missing; pip install -e '.[docs]' has it")
    else:
        paths += draw(document, pictures)
    for path in paths:
        print(f"wrote {path}")
