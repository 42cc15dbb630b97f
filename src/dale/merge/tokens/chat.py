"""Chat templates: which one the merged model gets, and a few that have names."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from dale.errors import CorruptError, InputError, nearest
from dale.merge.tokens.reading import SETTINGS, read_json

TEMPLATE = "chat_template.jinja"
_TURNS = "{% for message in messages %}"
_PROMPT = "{% endfor %}{% if add_generation_prompt %}"

CHAT_TEMPLATES: dict[str, str] = {
    "alpaca": (
        _TURNS
        + "{% if message.role == 'system' %}{{ message.content | trim }}\n\n"
        + "{% elif message.role == 'user' %}### Instruction:\n"
        + "{{ message.content | trim }}\n\n"
        + "{% elif message.role == 'assistant' %}### Response:\n"
        + "{{ message.content | trim }}{{ eos_token }}\n\n{% endif %}"
        + _PROMPT
        + "### Response:\n{% endif %}"
    ),
    "chatml": (
        _TURNS
        + "<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
        + _PROMPT
        + "<|im_start|>assistant\n{% endif %}"
    ),
    "exaone": (
        "{% if messages and messages[0].role != 'system' %}[|system|][|endofturn|]\n"
        + "{% endif %}"
        + _TURNS
        + "[|{{ message.role }}|]{{ message.content }}"
        + "{{ '\\n' if message.role == 'user' else '[|endofturn|]\\n' }}"
        + _PROMPT
        + "[|assistant|]{% endif %}"
    ),
    "llama3": (
        "{{ bos_token }}"
        + _TURNS
        + "<|start_header_id|>{{ message.role }}<|end_header_id|>\n\n"
        + "{{ message.content | trim }}<|eot_id|>"
        + _PROMPT
        + "<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
    ),
    "mistral": (
        "{{ bos_token }}{% set before = namespace(text='') %}"
        + _TURNS
        + "{% if message.role == 'system' %}"
        + "{% set before.text = message.content + '\n\n' %}"
        + "{% elif message.role == 'user' %}"
        + " [INST] {{ before.text }}{{ message.content }} [/INST]"
        + "{% set before.text = '' %}"
        + "{% elif message.role == 'assistant' %} {{ message.content }}{{ eos_token }}"
        + "{% endif %}{% endfor %}"
    ),
}
"""Templates by the names that mergekit knows, written from the published formats.

They are rendered as transformers does, which drops a line's end after a block."""


def template_of(path: str | Path) -> str | None:
    """The chat template of a model's folder, if it has one.

    Raises:
        CorruptError: A file is not what its name says.
    """
    path = Path(path)
    if (path / TEMPLATE).is_file():
        try:
            return (path / TEMPLATE).read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise CorruptError(f"{path / TEMPLATE}: not text: {error}") from error
    if not (path / SETTINGS).is_file():
        return None
    found = read_json(path / SETTINGS).get("chat_template")
    if isinstance(found, list):
        rows = [row for row in found if isinstance(row, dict)]
        named = (row.get("template") for row in rows if row.get("name") == "default")
        found = next(named, None)
    return found if isinstance(found, str) else None


def chat_template(wanted: str, folders: Sequence[str | Path]) -> str:
    """The template that a configuration asks for.

    Args:
        wanted: ``"auto"`` for what most models have, the earliest of several; a name
            in `CHAT_TEMPLATES`; or the text of a template.
        folders: The models.

    Returns:
        Its text.

    Raises:
        InputError: No such name, no model has a template, or it is not Jinja.
        CorruptError: A file is not what its name says.

    Example:
        >>> chat_template("{{ messages[0].content }}", [])
        '{{ messages[0].content }}'
        >>> chat_template("chatlm", [])
        Traceback (most recent call last):
            ...
        dale.errors.InputError: unknown chat template 'chatlm': did you mean 'chatml'?
    """
    if wanted == "auto":
        found = {f: text for f in map(Path, folders) if (text := template_of(f))}
        if not found:
            raise InputError("chat_template: auto, but no model has a chat template")
        most = Counter(found.values()).most_common(1)[0][0]
        owner = next(folder for folder, text in found.items() if text == most)
        return check_template(most, f"that of {owner}, ")
    if wanted in CHAT_TEMPLATES:
        return CHAT_TEMPLATES[wanted]
    if "{{" in wanted or "{%" in wanted:
        return check_template(wanted)
    known = nearest(wanted, [*CHAT_TEMPLATES, "auto"])
    raise InputError(f"unknown chat template {wanted!r}: {known}")


def check_template(text: str, whose: str = "") -> str:
    """The text of a template, if transformers can read it. Nothing of it is run.

    Args:
        text: The template.
        whose: Stands before what is said of it.

    Raises:
        InputError: It is not Jinja, or names a filter or a test that there is not.

    Example:
        >>> check_template("{% if x %}y")
        Traceback (most recent call last):
            ...
        dale.errors.InputError: line 1 is not Jinja: unexpected end of template; ...
    """
    from dale.merge.tokens.jinja import fault  # takes a while to load

    found = fault(text)
    if found is not None:
        raise InputError(f"{whose}{found}")
    return text
