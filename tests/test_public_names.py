import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import dale

REFERENCE = Path(__file__).parents[1] / "docs" / "reference" / "index.md"


def in_order(names):
    """Constants, then classes, then functions, each by name, as ruff sorts them."""
    return sorted(names, key=lambda name: (not name.isupper(), name[0].islower(), name))


def test_names_are_sorted_and_unique():
    assert list(dale.__all__) == in_order(set(dale.__all__))


@pytest.mark.parametrize("name", dale.__all__)
def test_name_is_what_its_room_calls_so(name):
    if name in dale.HOMES:
        room = import_module(dale.HOMES[name])
        assert getattr(dale, name) is getattr(room, name)
        assert name in getattr(room, "__all__", vars(room))
    else:
        assert getattr(dale, name) is import_module(f"dale.{name}")


def test_reference_lists_these_names_and_no_others():
    listed = re.findall(r"^\| `dale\.(\w+)`", REFERENCE.read_text("utf-8"), re.M)
    assert listed == list(dale.__all__)


def test_completion_offers_the_public_names():
    assert set(dale.__all__) <= set(dir(dale))


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'dale' has no attribute 'nope'"):
        dale.nope  # noqa: B018


def test_import_is_light():
    program = "import sys, dale; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
