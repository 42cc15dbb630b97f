"""Every row of CORRUPTIONS, through the table."""

import numpy as np
import pytest
import torch

import reference.corrupt as slow
from dale.data import CORRUPTIONS, SEVERITIES, corruption, load
from dale.errors import DataError


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def smooth(*shape):
    """Bytes that vary slowly, so that blurs and shifts have something to change."""
    noise = torch.rand(shape, generator=seeded(3))
    wide = torch.nn.functional.avg_pool2d(noise, 3, stride=1, padding=1)
    wide = (wide - wide.amin()) / (wide.amax() - wide.amin())
    return (255 * wide).round().to(torch.uint8)


IMAGES = {
    "colour": smooth(3, 3, 12, 12),
    "grey": smooth(2, 1, 9, 14),
    "32": smooth(2, 3, 32, 32),
}


@pytest.mark.parametrize("kind", ["colour", "grey"])
@pytest.mark.parametrize("severity", [1, 3, 5])
@pytest.mark.parametrize("name", CORRUPTIONS)
def test_equals_the_slow_twin(name, severity, kind):
    raw = IMAGES[kind].double() / 255
    made = corruption(name, severity, high=1.0)(raw, seeded(5))
    amount = CORRUPTIONS[name].severities[severity - 1]
    expected = getattr(slow, name)(raw.numpy(), amount, seeded(5))
    assert made.dtype == torch.float64
    assert np.allclose(made.numpy(), np.clip(expected, 0, 1), atol=2e-5)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_each_severity_is_further_from_the_original(name):
    coarse = torch.rand(8, 3, 6, 6, generator=seeded(4))
    fine = torch.nn.functional.interpolate(coarse, (32, 32), mode="bilinear")
    raw = (200 * fine + 20 * torch.rand(fine.shape, generator=seeded(5))).byte()
    gaps = [
        float((corruption(name, s)(raw, seeded(1)).float() - raw).square().mean())
        for s in SEVERITIES
    ]
    assert gaps[0] > 0
    assert gaps == sorted(gaps)
    assert gaps[4] > 1.5 * gaps[0]


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_keeps_the_shape_the_type_and_the_range(name):
    for raw in (IMAGES["grey"], IMAGES["colour"]):
        made = corruption(name)(raw, seeded())
        assert made.shape == raw.shape
        assert made.dtype == torch.uint8
    half = torch.rand(2, 1, 8, 8, generator=seeded()).half() * 16
    made = corruption(name, 5, high=16)(half, seeded())
    assert made.dtype == torch.float16
    assert 0 <= float(made.min()) <= float(made.max()) <= 16


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_bytes_and_floats_give_the_same(name):
    raw = IMAGES["colour"]
    as_bytes = corruption(name, 4)(raw, seeded(2))
    as_floats = corruption(name, 4, high=255)(raw.float(), seeded(2))
    assert torch.equal(as_bytes, as_floats.round().to(torch.uint8))


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_draws_from_the_given_generator_alone_and_only_if_random(name):
    raw, state = IMAGES["32"], torch.get_rng_state()
    generator = seeded(1)
    one = corruption(name)(raw, generator)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(one, corruption(name)(raw, seeded(1)))
    unchanged = torch.equal(generator.get_state(), seeded(1).get_state())
    assert unchanged is not CORRUPTIONS[name].random
    others = [corruption(name)(raw, seeded(s)) for s in (2, 3, 4, 5)]
    assert any(not torch.equal(one, o) for o in others) is CORRUPTIONS[name].random


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_input_is_not_changed_and_an_empty_batch_is_one(name):
    raw = IMAGES["colour"].clone()
    corruption(name)(raw, seeded())
    assert torch.equal(raw, IMAGES["colour"])
    assert corruption(name)(raw[:0], seeded()).shape == (0, 3, 12, 12)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_rows_say_what_they_are(name):
    row = CORRUPTIONS[name]
    assert row.function.__name__ == name
    assert len(set(row.severities)) == len(SEVERITIES) == 5
    assert sorted(row.severities) in (
        list(row.severities),
        list(row.severities)[::-1],
    )
    assert row.unit
    assert row.reference


def test_examples_are_drawn_one_by_one():
    same = IMAGES["32"][:1].expand(30, -1, -1, -1)
    for name in ("gaussian_noise", "rotation", "translation", "occlusion"):
        kinds = {
            bytes(x.contiguous().numpy()) for x in corruption(name)(same, seeded())
        }
        assert len(kinds) >= (2 if name == "rotation" else 10)


def test_noise_has_the_stated_deviation():
    grey = torch.full((1, 1, 200, 200), 0.5)
    made = corruption("gaussian_noise", 3, high=1.0)(grey, seeded())
    assert float(made.std()) == pytest.approx(0.08, rel=0.02)
    assert float(made.mean()) == pytest.approx(0.5, abs=0.002)


def test_goes_where_an_augmentation_goes():
    split = load("digits").splits["test"]
    indices = torch.arange(6)
    drifted = split.batch(indices, corruption("occlusion", 3, high=16.0), seeded())
    plain = split.batch(indices)
    assert drifted.shape == plain.shape
    assert not torch.equal(drifted, plain)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "blurr"}, r"unknown corruption 'blurr'; did you mean 'blur'\?"),
        ({"name": "blur", "severity": 0}, "severity is 0; expected 1, 2, 3, 4 or 5"),
        ({"name": "blur", "severity": 6}, "severity is 6"),
        ({"name": "blur", "severity": True}, "severity is True"),
    ],
)
def test_wrong_settings(settings, message):
    with pytest.raises(DataError, match=message):
        corruption(**settings)


@pytest.mark.parametrize(
    ("raw", "high", "message"),
    [
        (torch.zeros(2, 5), 1.0, r"needs images .* have shape \(5,\)"),
        (torch.zeros(1, 1, 4, 4), None, "torch.float32, not bytes; say with `high`"),
        (torch.zeros(1, 1, 4, 4), 0.0, "high is 0.0; expected a finite value above 0"),
        (torch.full((1, 1, 4, 4), 1.5), 1.0, "from 0 to 1; .* between 1.5 and 1.5"),
        (torch.full((1, 1, 4, 4), -0.5), 1.0, "from 0 to 1; .* between -0.5 and -0.5"),
        (torch.full((1, 1, 4, 4), float("nan")), 1.0, "between nan and nan"),
    ],
)
def test_wrong_inputs(raw, high, message):
    with pytest.raises(DataError, match=message):
        corruption("blur", high=high)(raw, seeded())


def test_jpeg_is_for_one_or_three_channels():
    with pytest.raises(DataError, match="1 or 3 channels, got 4"):
        corruption("jpeg")(torch.zeros(1, 4, 8, 8, dtype=torch.uint8), seeded())
