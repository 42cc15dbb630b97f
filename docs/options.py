"""Writes the tables of options in cli.md from the command line itself.

    python docs/options.py

A table stands between the comments ``options: VERB`` and ``end``. A test holds the page
against this file.
"""

import re
from pathlib import Path
from typing import Any

import typer

from dale.cli import app
from dale.cli import verbs as verbs  # each file adds its verb to the app

PAGE = Path(__file__).with_name("cli.md")
_BLOCK = re.compile(r"<!-- options: (\w+) -->\n.*?<!-- end -->", re.S)


def commands() -> dict[str, Any]:
    """The verbs by name, as typer sees them."""
    return dict(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


def block(verb: str) -> str:
    """What stands between the comments: the verb's help and its table."""
    command = commands()[verb]
    usage = " ".join(
        (p.name.upper() if p.required else f"[{p.name.upper()}]")
        for p in command.params
        if not _is_option(p)
    )
    rows = [_row(parameter) for parameter in command.params]
    return "\n".join(
        [
            f"<!-- options: {verb} -->",
            f"`dale {verb} {usage} [OPTIONS]` — {command.help}",
            "",
            "| argument | what it is | default |",
            "|---|---|---|",
            *rows,
            "<!-- end -->",
        ]
    )


def page(text: str) -> str:
    """The page with every table as it should be."""
    return _BLOCK.sub(lambda found: block(found[1]), text)


def _is_option(parameter: Any) -> bool:
    return parameter.opts[0].startswith("-")


def _row(parameter: Any) -> str:
    name = parameter.opts[0] if _is_option(parameter) else parameter.name.upper()
    default = parameter.default
    shown = "" if default is None or default is False else f"`{default}`"
    text = (parameter.help or "").replace("|", "\\|")
    return f"| `{name}` | {text} | {shown} |"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text("utf-8")), "utf-8")
