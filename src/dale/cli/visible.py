"""A console on which names cannot give orders to the terminal."""

import unicodedata
from typing import Any

from rich.console import Console

_KEPT = "\n\t"
_HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Controls, marks that reorder or hide text, halves of characters, ends of lines."""


def visible(text: str) -> str:
    r"""The text with what no eye can see spelled out.

    Names of files, models and tensors come from strangers, and are printed as they are
    but for this.

    Example:
        >>> print(visible("a\x1b[31m\u202eb"))
        a\x1b[31m\u202eb
    """
    if text.isprintable():
        return text
    return "".join(_spelled(letter) for letter in text)


class Visible(Console):
    """A console that spells out what no eye can see in the text it is given."""

    def print(self, *objects: Any, **options: Any) -> None:
        """As `rich.console.Console.print`."""
        shown = (visible(one) if isinstance(one, str) else one for one in objects)
        super().print(*shown, **options)


def _spelled(letter: str) -> str:
    if letter in _KEPT or unicodedata.category(letter) not in _HIDDEN:
        return letter
    return letter.encode("unicode_escape").decode("ascii")
