import pytest
import torch

from cases.models import FILE
from dale.errors import ModelError
from dale.models import build_factory, check_output


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "nets.py"
    path.write_text(FILE)
    return path


def test_shape_and_classes_are_passed_where_they_are_named(file):
    model = build_factory(f"{file}:fits", (1, 4, 4), 3, {"width": 7})
    check_output(model, (1, 4, 4), 3)
    assert model[1].out_features == 7
    assert build_factory(f"{file}:fixed", (1, 4, 4), 3, {"width": 2}).in_features == 2


def test_nothing_is_put_into_open_keywords(file):
    model = build_factory(f"{file}:anything", (1, 4, 4), 3, {"a": 1})
    assert model.settings == {"a": 1}


def test_what_the_user_says_wins(file):
    model = build_factory(f"{file}:fits", (1, 4, 4), 3, {"classes": 5})
    assert model[2].out_features == 5


def test_a_class_in_a_module_is_a_function_too():
    args = {"in_features": 4, "out_features": 2}
    assert isinstance(build_factory("torch.nn:Linear", (4,), 2, args), torch.nn.Linear)


@pytest.mark.parametrize(
    ("function", "args", "message"),
    [
        ("{}", {}, r"names no function; expected 'module:function' or"),
        ("{}:", {}, r"names no function"),
        ("{}:fit", {}, r"has no function 'fit'; did you mean 'fits'\?"),
        ("{}:fixed", {}, r"nets\.py:fixed takes other settings: missing a required"),
        ("{}:fits", {"wide": 1}, r"takes other settings: got an unexpected keyword"),
        ("{}:text", {}, r"nets\.py:text returned str; expected a torch.nn.Module"),
        ("{}:fails", {}, r"nets\.py:fails failed: KeyError: 'shape \(1, 4, 4\)'$"),
        ("no_such_module_here:f", {}, "cannot import 'no_such_module_here'"),
    ],
)
def test_wrong_functions(file, function, args, message):
    with pytest.raises(ModelError, match=message):
        build_factory(function.format(file), (1, 4, 4), 3, args)
