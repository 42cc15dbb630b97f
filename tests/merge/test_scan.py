"""Numbers chosen by a score, and random subsets: against doing it by hand."""

import math
from itertools import combinations
from typing import Any

import pytest
import torch
from torch import Tensor

from cases.merge import shaken
from cases.weights import bits, built
from dale.errors import InputError
from dale.merge import (
    average,
    best_subset,
    extrapolate,
    merge,
    random_subsets,
    robust,
    scan,
    stream,
    subspace_coefficients,
    suffix,
)
from dale.merge.subsets import drawn
from dale.weights import LazyWeights, save, weights_of
from reference.merge_averages import subspace as twin

Weights = dict[str, Tensor]


def near(goal: float) -> Any:
    return lambda weights: -abs(float(weights["w"]) - goal)


def numbers(*values: float) -> list[Weights]:
    return [{"w": torch.tensor(float(value))} for value in values]


def test_a_scan_keeps_the_first_of_the_best() -> None:
    found = scan(lambda c: {"w": torch.tensor(c)}, (3.0, 1.0, 2.0), lambda w: 0.0)
    assert (found.value, found.score) == (3.0, 0.0)
    assert found.scores == ((3.0, 0.0), (1.0, 0.0), (2.0, 0.0))


def test_a_score_that_is_no_number_is_the_worst() -> None:
    def score(weights: Weights) -> float:
        return math.nan if float(weights["w"]) < 2 else -9.0

    found = scan(lambda c: {"w": torch.tensor(c)}, (1.0, 2.0, 3.0), score)
    assert found.value == 2.0
    with pytest.raises(InputError, match="none of 1 values has a numeric score"):
        scan(lambda c: {"w": torch.tensor(c)}, (1.0,), score)
    with pytest.raises(InputError, match="none of 0 values"):
        scan(lambda c: {}, (), score)


@pytest.mark.parametrize("goal", [-0.3, 0.52, 1.9])
def test_the_robust_point_is_the_best_of_its_path(goal: float) -> None:
    base, tuned = numbers(0.0, 1.0)
    values = (-0.5, 0.0, 0.5, 1.0, 1.5, 2.0)
    found = robust(base, tuned, near(goal), values=values)
    assert found.value == min(values, key=lambda a: abs(a - goal))
    assert bits(found.weights) == bits(extrapolate(base, tuned, found.value))


def test_refreshed_weights_are_scored_and_kept() -> None:
    def refresh(weights: Weights) -> Weights:
        return {"w": weights["w"] + 10}

    base, tuned = numbers(0.0, 1.0)
    found = robust(base, tuned, near(10.3), refresh=refresh)
    assert found.value == 0.3
    assert float(found.weights["w"]) == pytest.approx(10.3)
    pool = [("a", base), ("b", tuned)]
    (only,) = random_subsets(pool, 2, score=near(10.5), refresh=refresh)
    assert (float(only.weights["w"]), only.score) == (10.5, 0.0)


@pytest.mark.parametrize("goal", [0.0, 2.6, 8.0])
def test_suffixes_are_the_averages_of_the_last(goal: float) -> None:
    path = numbers(9.0, 4.0, 2.0, 1.0)
    reads: list[int] = []
    sources = [lambda k=k: reads.append(k) or path[k] for k in range(4)]
    found = suffix(sources, near(goal))
    assert reads == [3, 2, 1, 0]
    for last, score in found.scores:
        assert score == near(goal)(average(path, last=int(last)))
    torch.testing.assert_close(
        found.weights, average(path, last=int(found.value)), rtol=0, atol=1e-6
    )


def test_random_subsets_are_all_different_and_can_be_had_again() -> None:
    pool = list(zip("abcdef", numbers(0, 1, 2, 3, 4, 5), strict=True))
    some = random_subsets(pool, 3, 8, seed=4)
    assert [s.labels for s in some] == [
        s.labels for s in random_subsets(pool, 3, 8, seed=4)
    ]
    assert len({s.labels for s in some}) == 8
    assert all(math.isnan(s.score) for s in some)
    everything = random_subsets(pool, 3, 1000, score=near(1.7))
    assert {s.labels for s in everything} == {*combinations("abcdef", 3)}
    assert [s.score for s in everything] == sorted(
        (s.score for s in everything), reverse=True
    )
    for one in everything:
        members = [weights for label, weights in pool if label in one.labels]
        torch.testing.assert_close(one.weights, average(members))


def test_subsets_are_drawn_evenly() -> None:
    counts = [0] * 6
    for seed in range(600):
        for place in drawn(6, 2, 1, seed)[0]:
            counts[place] += 1
    # 200 expected of each, standard deviation 11.5
    assert all(abs(count - 200) < 60 for count in counts)


def test_subsets_without_a_number_come_last() -> None:
    pool = list(zip("abc", numbers(0.0, 1.0, 2.0), strict=True))

    def score(weights: Weights) -> float:
        return math.nan if float(weights["w"]) == 1 else float(weights["w"])

    found = random_subsets(pool, 2, score=score)
    assert [s.labels for s in found] == [("b", "c"), ("a", "b"), ("a", "c")]
    with pytest.raises(InputError, match="no average of a subset"):
        best_subset(numbers(1.0), score=score, size=1)


@pytest.mark.parametrize(
    ("size", "draws", "words"),
    [
        (0, 1, "size must be from 1 to 2 models, got 0"),
        (3, 1, "size must be from 1 to 2"),
        (1, 0, "draws must be 1 or more, got 0"),
    ],
)
def test_impossible_subsets_are_refused(size: int, draws: int, words: str) -> None:
    with pytest.raises(InputError, match=words):
        random_subsets(list(zip("ab", numbers(0, 1), strict=True)), size, draws)
    with pytest.raises(InputError, match="labels must be unique"):
        random_subsets(list(zip("aa", numbers(0, 1), strict=True)), 1)


def test_a_subspace_streams_in_two_passes(tmp_path: Any) -> None:
    start = weights_of(built("convolutional"))
    path = [shaken(start, k) for k in range(1, 5)]
    for k, model in enumerate(path):
        save(tmp_path / f"{k}.safetensors", model, {})
    models = [LazyWeights(tmp_path / f"{k}.safetensors") for k in range(4)]
    shares = subspace_coefficients(models, start, rank=2)
    assert sum(shares) == pytest.approx(1)
    stream([*models, start], tmp_path / "out", "weighted", coefficients=shares)
    streamed = dict(LazyWeights(tmp_path / "out"))
    whole = merge(path, "subspace", base=start, rank=2)
    arrays = [
        {
            n: t.double().numpy()
            for n, t in m.items()
            if t.is_floating_point() and "running" not in n
        }
        for m in [*path, start]
    ]
    slow = twin(arrays[:4], arrays[4], rank=2)
    for name, tensor in slow.items():
        expected = torch.from_numpy(tensor).float()
        torch.testing.assert_close(streamed[name], expected, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(whole[name], expected, rtol=1e-4, atol=1e-5)


def test_without_a_base_the_first_model_is_the_origin() -> None:
    path = [shaken(weights_of(built("linear")), k) for k in range(4)]
    assert sum(subspace_coefficients(path)) == pytest.approx(1)
    assert subspace_coefficients(path, rank=4) == pytest.approx([0.25] * 4)
    assert subspace_coefficients([path[0]] * 3) == pytest.approx([1 / 3] * 3)
    with pytest.raises(InputError, match="1 or more models are needed, got 0"):
        subspace_coefficients([])
