"""Elements of the page: text is escaped unless it is already markup.

`Html` marks markup that is safe to put on the page. Everything else, whatever a
run folder holds, goes through `escape` on its way in.
"""

import html
import json
from typing import TypeAlias

Child: TypeAlias = str | None

_SCRIPT_ESCAPES = {
    "<": "\\u003c",
    ">": "\\u003e",
    "&": "\\u0026",
    "\u2028": "\\u2028",
    "\u2029": "\\u2029",
}


class Html(str):
    """Markup that is on the page as it stands."""

    __slots__ = ()


def escape(text: object) -> Html:
    """Text as markup; `Html` is returned as it is.

    Example:
        >>> escape("a < b")
        'a &lt; b'
        >>> escape(Html("<b>kept</b>"))
        '<b>kept</b>'
    """
    return text if isinstance(text, Html) else Html(html.escape(str(text)))


def tag(name: str, *children: Child, **attributes: str | bool | None) -> Html:
    """One element with its children, escaped, and its attributes, quoted.

    Args:
        name: Element name.
        *children: Text or markup; None is left out.
        **attributes: A trailing underscore is dropped (``class_``), inner ones
            become hyphens (``aria_label``). True gives a bare attribute, None and
            False leave it out.

    Returns:
        The element.

    Example:
        >>> tag("td", "5 < 6", class_="number", data_value="5")
        '<td class="number" data-value="5">5 &lt; 6</td>'
    """
    words = [name]
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        word = key.rstrip("_").replace("_", "-")
        words.append(word if value is True else f'{word}="{html.escape(value)}"')
    return Html(f"<{' '.join(words)}>{join(*children)}</{name}>")


def join(*children: Child) -> Html:
    """Children one after another, escaped; None is left out."""
    return Html("".join(escape(child) for child in children if child is not None))


def boxed(caption: str, *parts: Child, class_: str | None = None) -> Html:
    """A table with a caption that scrolls sideways inside a box of its own.

    Args:
        caption: Text above the table.
        *parts: Its head and body.
        class_: The table's class.

    Returns:
        The box, which the keyboard reaches, as it may have to be scrolled.
    """
    # The span stays in view when the table under it is wider than the window.
    title = tag("caption", tag("span", caption))
    table = tag("table", title, *parts, class_=class_)
    return tag(
        "div", table, class_="scroll", role="region", aria_label=caption, tabindex="0"
    )


def json_script(element: str, value: object) -> Html:
    r"""A JSON value as a data block that no text inside it can close.

    Args:
        element: The block's id.
        value: Any JSON value with finite numbers only.

    Returns:
        A ``<script type="application/json">`` element.

    Raises:
        ValueError: A number is NaN or infinite.

    Example:
        >>> json_script("x", "</p>")
        '<script type="application/json" id="x">"\\u003c/p\\u003e"</script>'
    """
    text = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    for character, replacement in _SCRIPT_ESCAPES.items():
        text = text.replace(character, replacement)
    return Html(f'<script type="application/json" id="{element}">{text}</script>')
