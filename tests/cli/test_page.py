"""The page about the command line says what the command line does."""

import re
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
PAGES = [DOCS.parent / "README.md", *sorted(DOCS.glob("*.md"))]
CALL = re.compile(r"^(?:\$ )?dale (\w+)\b(.*)$", re.M)
BLOCK = re.compile(r"```console\n(.*?)```", re.S)


@pytest.fixture(scope="module")
def options():
    sys.path.insert(0, str(DOCS))
    try:
        import options
    finally:
        sys.path.remove(str(DOCS))
    return options


def test_every_verb_has_a_section_in_the_order_of_the_work(options):
    verbs = re.findall(r"^## (\w+)$", options.PAGE.read_text("utf-8"), re.M)
    assert sorted(verbs) == sorted(options.commands())


def test_tables_are_those_of_the_command_line(options):
    text = options.PAGE.read_text("utf-8")
    for verb in options.commands():
        assert options.block(verb) in text, "run: python docs/options.py"
    assert options.page(text) == text


def test_a_changed_table_is_noticed(options):
    text = options.PAGE.read_text("utf-8").replace("The run folder.", "A folder.")
    assert options.page(text) != text


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_in_pages_exist_with_their_options(options, page):
    known = options.commands()
    for block in BLOCK.findall(page.read_text("utf-8")):
        for verb, rest in CALL.findall(block):
            assert verb in known, f"{page.name}: dale {verb}"
            named = {name for p in known[verb].params for name in p.opts}
            for option in re.findall(r"(?<!\S)(--[\w-]+)", rest.split("#")[0]):
                assert option in named, f"{page.name}: dale {verb} {option}"
