import sys

import pytest

from dale.errors import DataError, InputError
from dale.factories import call, one_line, resolve

CODE = """
from dataclasses import dataclass

@dataclass
class Pair:
    left: "int"
    right: int = 2

def late():
    import beside_of_factories
    return beside_of_factories.VALUE

def users_mistake():
    from dale.errors import DataError
    raise DataError("as it is")
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(CODE)
    (tmp_path / "beside_of_factories.py").write_text("VALUE = 5\n")
    return path


def test_dataclasses_in_a_file_work(file):
    assert call(f"{file}:Pair", {"left": 1}).right == 2


def test_imports_inside_a_function_find_the_folder_of_the_file(file):
    before = list(sys.path)
    assert call(f"{file}:late", {}) == 5
    assert sys.path == before


def test_a_file_is_read_anew(file):
    file.write_text("def f():\n    return 1\n")
    assert call(f"{file}:f", {}) == 1
    file.write_text("def f():\n    return 'two'\n")
    assert call(f"{file}:f", {}) == "two"


def test_errors_of_dale_pass_as_they_are(file):
    with pytest.raises(DataError, match=r"^as it is$"):
        call(f"{file}:users_mistake", {})


def test_the_cause_is_kept(file):
    file.write_text("def f():\n    return {}['key']\n")
    with pytest.raises(InputError, match="failed: KeyError: 'key'") as caught:
        call(f"{file}:f", {})
    assert isinstance(caught.value.__cause__, KeyError)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("def f(:", "SyntaxError"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("x = 3", "has no function 'f'; it defines none"),
    ],
)
def test_files_that_do_not_work(file, code, message):
    file.write_text(code)
    before = list(sys.path)
    with pytest.raises(InputError, match=message):
        resolve(f"{file}:f")
    assert sys.path == before


def test_one_line():
    assert one_line(ValueError()) == "ValueError"
    assert one_line(ValueError("\n a \n b")) == "ValueError: a"
