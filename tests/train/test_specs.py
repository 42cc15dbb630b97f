import pytest
from pydantic import TypeAdapter, ValidationError

from dale.errors import RecipeError
from dale.schedules import SCHEDULES, cosine, join, linear, milestones
from dale.train.specs import (
    SCHEDULE,
    ScheduleSpec,
    build_schedule,
    signature_spec,
    spec_family,
    steps_of,
)

SPEC = TypeAdapter(ScheduleSpec)


@pytest.mark.parametrize(
    ("length", "expected"),
    [
        (7, 7),
        ("10%", 50),
        ("2 epochs", 40),
        ("1 epoch", 20),
        ("300 steps", 300),
        ("0.5 epochs", 10),
        (" 12.5 % ", 62),
        ("1 step", 1),
    ],
)
def test_lengths(length, expected):
    assert steps_of(length, total=500, per_epoch=20) == expected


@pytest.mark.parametrize(
    "length", ["", "ten", "10", "-3 steps", "5 weeks", "1e2 steps"]
)
def test_text_that_is_no_length(length):
    with pytest.raises(RecipeError, match="is not a length; expected steps, '10%'"):
        steps_of(length, total=500, per_epoch=20)


def test_every_schedule_of_the_table_can_be_named_in_a_recipe():
    assert set(SCHEDULE.models) == set(SCHEDULES)
    for model in SCHEDULE.models.values():
        assert "steps" not in model.model_fields


def test_a_schedule_is_the_function_with_its_parameters():
    spec = SPEC.validate_python({"name": "milestones", "peak": 0.1, "at": ["50%", 75]})
    assert (
        build_schedule(spec, 100, 10).values()
        == milestones(peak=0.1, steps=100, at=(50, 75)).values()
    )


def test_pieces_follow_one_another():
    first = {"name": "linear", "first": 0.0, "last": 0.1}
    pieces = [
        {"length": "1 epoch", "schedule": first},
        {"schedule": {"name": "cosine", "peak": 0.1}},
    ]
    expected = join(linear(0.0, 0.1, steps=10), cosine(peak=0.1, steps=90))
    found = build_schedule(SPEC.validate_python(pieces), 100, 10)
    assert found.values() == expected.values()


@pytest.mark.parametrize("lengths", [(50, 60), (50, 40), (0, None), (100, None)])
def test_pieces_must_fill_the_length(lengths):
    pieces = [
        {"length": n, "schedule": {"name": "constant", "value": 1}} for n in lengths
    ]
    with pytest.raises(RecipeError, match="expected 100 in all"):
        build_schedule(SPEC.validate_python(pieces), 100, 10)


def _variant(size: int, rate: float = 0.5, kind: str = "x") -> None:
    """A variant."""


def test_a_signature_becomes_a_model():
    model = signature_spec("variant", _variant, "name", {"kind"})
    found = model.model_validate({"name": "variant", "size": 3})
    assert found.model_dump() == {"name": "variant", "size": 3, "rate": 0.5}
    for wrong in (
        {"size": 3, "kind": "y"},
        {},
        {"size": "many"},
        {"size": 1, "rate": "inf"},
    ):
        with pytest.raises(ValidationError):
            model.model_validate({"name": "variant", **wrong})


def test_a_word_stands_for_a_variant_with_its_defaults():
    family = spec_family({"v": lambda: None, "w": lambda: None}, "name")
    adapter = TypeAdapter(family.annotation)
    assert adapter.validate_python("w").name == "w"
    assert adapter.validate_python({"name": "v"}).name == "v"
