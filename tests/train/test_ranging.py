"""The learning-rate range test, held against a plain loop."""

import math

import pytest
import torch
from torch.nn.functional import cross_entropy

from dale.data import load
from dale.errors import InputError, TrainingError
from dale.train import Batches, RangeTest, build_model, parse_recipe, range_test

TEXT = (
    "{data: digits, model: mlp, epochs: 1, batch: 128, strategies: [single], "
    "optimizer: {name: sgd, momentum: 0, weight_decay: 0, nesterov: false}}"
)


def test_equals_a_plain_loop():
    """Rates, losses and smoothing written out, on the same batches."""
    recipe, data = parse_recipe(TEXT), load("digits")
    found = range_test(recipe, data, first=1e-3, last=1.0, steps=30, smoothing=0.8)
    model, split = build_model(recipe, data, recipe.seed), data.splits["train"]
    batches, smoothed = Batches(len(split), recipe.batch), []
    assert len(found.rates) == 30
    for step, rate in enumerate(found.rates):
        assert rate == pytest.approx(1e-3 * 1000 ** (step / 29))
        epoch, place = divmod(step, batches.per_epoch)
        start, end = batches.bounds(place)
        rows = batches.order(recipe.seed, epoch)[start:end]
        model.zero_grad()
        loss = cross_entropy(model(split.batch(rows)), split.targets_N[rows])
        loss.backward()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter -= rate * parameter.grad
        assert found.losses[step] == pytest.approx(loss.item(), rel=1e-5)
        weights = [0.8 ** (step - s) for s in range(step + 1)]
        pairs = zip(weights, found.losses, strict=False)
        smoothed.append(sum(w * value for w, value in pairs) / sum(weights))
    assert found.smoothed == pytest.approx(smoothed)
    assert found.lowest == found.rates[smoothed.index(min(smoothed))]


def test_ends_where_the_loss_runs_away():
    found = range_test(parse_recipe(TEXT), load("digits"), last=1e6, steps=60)
    assert found.diverged
    assert not found.still_falling
    assert len(found.rates) < 60
    assert all(map(math.isfinite, found.losses))
    for place, value in enumerate(found.smoothed):
        assert value <= 4 * min(found.smoothed[: place + 1])
    assert found.rates[0] < found.steepest <= found.lowest < 1e5


def test_a_loss_that_still_falls_says_so():
    found = range_test(parse_recipe(TEXT), load("digits"), last=0.01, steps=40)
    assert found.still_falling
    assert found.suggested == 0.01 / 10 == pytest.approx(found.rates[-1] / 10)


def test_a_loss_that_never_falls_suggests_nothing():
    assert (
        RangeTest((0.1, 1.0), (1.0, 2.0), (1.0, 1.5), 0.1, 0.1, False).suggested is None
    )


def test_is_deterministic_and_leaves_the_generators_alone():
    before = torch.random.get_rng_state()
    one, two = (range_test(parse_recipe(TEXT), load("digits"), steps=10) for _ in "ab")
    assert one == two
    assert torch.equal(torch.random.get_rng_state(), before)


def test_no_number_from_the_start_is_an_error():
    with pytest.raises(TrainingError, match="no number at a rate of 1e"):
        range_test(parse_recipe(TEXT), load("digits"), first=1e30, last=1e35)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"first": 0.0}, "rates: expected 0 < first < last"),
        ({"first": 1.0, "last": 0.1}, "rates: expected 0 < first < last"),
        ({"last": math.inf}, "rates: expected 0 < first < last"),
        ({"first": math.nan}, "rates: expected 0 < first < last"),
        ({"steps": 9}, "steps: expected at least 10, got 9"),
        ({"smoothing": 1.0}, "smoothing: expected a number in"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        range_test(parse_recipe(TEXT), load("digits"), **settings)
