"""Chat templates say what the published formats say."""

import json
from pathlib import Path
from typing import Any

import pytest
from jinja2.sandbox import ImmutableSandboxedEnvironment

from dale.errors import CorruptError, InputError
from dale.merge.tokens import CHAT_TEMPLATES, chat_template

TURNS = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Yes?"},
    {"role": "user", "content": "Bye"},
]
EXPECTED = {
    "alpaca": "Be brief.\n\n### Instruction:\nHi\n\n### Response:\nYes?</s>\n\n"
    "### Instruction:\nBye\n\n### Response:\n",
    "chatml": "<|im_start|>system\nBe brief.<|im_end|>\n"
    "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nYes?<|im_end|>\n<|im_start|>user\nBye<|im_end|>\n"
    "<|im_start|>assistant\n",
    "exaone": "[|system|]Be brief.[|endofturn|]\n[|user|]Hi\n"
    "[|assistant|]Yes?[|endofturn|]\n[|user|]Bye\n[|assistant|]",
    "llama3": "<s><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\nYes?<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nBye<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n",
    "mistral": "<s> [INST] Be brief.\n\nHi [/INST] Yes?</s> [INST] Bye [/INST]",
}


def rendered(text: str, turns: list[dict[str, str]], **more: Any) -> str:
    """As transformers renders it."""
    room = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    words = {"bos_token": "<s>", "eos_token": "</s>", **more}
    return room.from_string(text).render(messages=turns, **words)


@pytest.mark.parametrize("name", CHAT_TEMPLATES)
def test_named_templates(name: str) -> None:
    text = chat_template(name, [])
    found = rendered(text, TURNS, add_generation_prompt=True)
    assert found == EXPECTED[name]
    short = rendered(text, TURNS[:3], add_generation_prompt=False)
    assert EXPECTED[name].startswith(short)
    assert "Yes?" in short
    assert rendered(text, TURNS[1:2], add_generation_prompt=False).count("Hi") == 1
    assert rendered(text, [], add_generation_prompt=False) in {"", "<s>"}


def folder(path: Path, template: Any, in_file: bool = False) -> Path:
    path.mkdir()
    if in_file:
        (path / "chat_template.jinja").write_text(template)
        template = "an older one {{ x }}"
    settings = {} if template is None else {"chat_template": template}
    (path / "tokenizer_config.json").write_text(json.dumps(settings))
    return path


def test_most_models_decide_and_the_earliest_of_several(tmp_path: Path) -> None:
    named = [{"name": "default", "template": "{{ b }}"}, {"name": "t", "template": "x"}]
    one = folder(tmp_path / "1", "{{ a }}")
    two = folder(tmp_path / "2", "{{ b }}", in_file=True)
    three = folder(tmp_path / "3", named)
    none = folder(tmp_path / "4", None)
    assert chat_template("auto", [one, two, three]) == "{{ b }}"
    assert chat_template("auto", [none, one, two]) == "{{ a }}"
    with pytest.raises(InputError, match="no model has a chat template"):
        chat_template("auto", [none, tmp_path / "absent"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{% if", "line 1 is not Jinja: unexpected 'end of template'"),
        ("a\n{{ b }}\n{% endfor %}", "line 3 is not Jinja: encountered unknown tag"),
        ("{{ a | joined }}", "line 1 is not Jinja: no filter named 'joined'"),
        ("{{" + "(" * 10**4, "in each other too deep"),
    ],
)
def test_what_is_no_template_is_refused(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=words) as caught:
        chat_template(text, [])
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match=f"that of .*/1, .*{words}"):
        chat_template("auto", [folder(tmp_path / "1", text)])


def test_what_transformers_adds_to_jinja_is_known() -> None:
    text = "{% for m in messages %}{% if m %}{% continue %}{% endif %}{% generation %}"
    text += "{{ strftime_now('%d') }}{% endgeneration %}{% endfor %}"
    assert chat_template(text, []) == text


def test_a_template_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "chat_template.jinja").write_bytes(b"\xff")
    with pytest.raises(CorruptError, match=r"chat_template.jinja: not text"):
        chat_template("auto", [tmp_path])


def test_texts_are_taken_as_they_are() -> None:
    assert chat_template("{% if x %}y{% endif %}", []) == "{% if x %}y{% endif %}"
    with pytest.raises(InputError, match="unknown chat template 'lama3': did you mean"):
        chat_template("lama3", [])
