"""Greedy soups agree with recomputing every average, and say what they did."""

import math

import pytest
import torch
from torch import Tensor, nn

from cases.weights import bits, built
from dale.errors import InputError, WeightsError
from dale.merge import Decision, greedy, greedy_soup, uniform_soup
from dale.weights import Weights, reestimate, weights_of
from reference.merge import average as slow_average
from reference.merge import greedy_soup as slow_soup

Pool = list[tuple[str, dict[str, Tensor]]]


def pool(*values: float) -> Pool:
    return [(f"m{i}", {"w": torch.tensor(value)}) for i, value in enumerate(values)]


def near_one(weights: Weights) -> float:
    return -abs(weights["w"].item() - 1.0)


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("seed", range(8))
def test_agrees_with_recomputing_everything(seed: int, strict: bool) -> None:
    generator = torch.Generator().manual_seed(seed)
    members = torch.randn(9, 6, generator=generator, dtype=torch.float64)
    target = members[:4].mean(0)
    candidates = [(str(i), {"w": row}) for i, row in enumerate(members)]

    def score(weights: Weights) -> float:
        return -float((weights["w"] - target).square().sum())

    soup = greedy_soup(candidates, score, strict=strict)
    labels, weights = slow_soup(candidates, score, strict)
    assert list(soup.labels) == labels
    torch.testing.assert_close(soup.weights["w"], weights["w"])
    assert soup.score == pytest.approx(score(weights))
    assert soup.score >= max(score(weights) for _, weights in candidates)


def test_decisions_are_logged() -> None:
    soup = greedy_soup(pool(9.0, 0.0, 1.5), near_one)
    assert soup.decisions == (
        Decision("m2", -0.5, -0.5, True, "the best alone"),
        Decision("m1", -1.0, -0.25, True, "the score rises"),
        Decision("m0", -8.0, -2.5, False, "the score would fall"),
    )
    assert soup.labels == ("m2", "m1")
    assert soup.score == -0.25
    assert soup.weights == {"w": torch.tensor(0.75)}


def test_a_score_that_stays() -> None:
    same = pool(2.0, 2.0)
    loose, strict = (greedy_soup(same, near_one, strict=s) for s in (False, True))
    assert (loose.labels, strict.labels) == (("m0", "m1"), ("m0",))
    assert loose.decisions[1].reason == strict.decisions[1].reason == "the score stays"


def test_ties_go_by_the_order_given() -> None:
    assert greedy_soup(pool(0.0, 2.0, 0.0), near_one).labels[0] == "m0"
    assert greedy_soup(pool(2.0, 0.0, 0.0), near_one).labels[0] == "m0"


def test_scores_that_are_not_numbers_come_last_and_are_never_kept() -> None:
    def score(weights: Weights) -> float:
        value = weights["w"].item()
        return math.nan if value > 5 else -abs(value - 1)

    soup = greedy_soup(pool(8.0, 3.0, 2.0), score)
    assert soup.labels == ("m2",)
    last = soup.decisions[-1]
    assert (last.label, last.kept) == ("m0", False)
    assert last.reason == "its own score is not a number"
    assert math.isnan(last.score_with)


def test_an_average_without_a_score_is_not_kept() -> None:
    def score(weights: Weights) -> float:
        value = weights["w"].item()
        return value if value in {1.0, 2.0} else math.nan

    soup = greedy_soup(pool(1.0, 2.0), score)
    assert soup.labels == ("m1",)
    assert soup.decisions[1].reason == "the score of the average is not a number"


def test_no_score_is_a_number() -> None:
    with pytest.raises(InputError, match="none of 2 candidates has a numeric score"):
        greedy_soup(pool(1.0, 2.0), lambda weights: math.nan)


def test_infinite_scores_are_ordered() -> None:
    scores = {0.0: -math.inf, 1.0: 3.0, 0.5: -math.inf}
    soup = greedy_soup(pool(0.0, 1.0), lambda weights: scores[weights["w"].item()])
    assert soup.labels == ("m1",)


def test_sources_are_read_when_needed_and_one_is_exact() -> None:
    read: list[str] = []

    def source(label: str, weights: dict[str, Tensor]) -> object:
        return lambda: read.append(label) or weights

    candidates = [(label, source(label, weights)) for label, weights in pool(0.1, 9.0)]
    soup = greedy_soup(candidates, near_one)
    assert read == ["m0", "m1", "m0", "m1"]
    assert torch.equal(soup.weights["w"], torch.tensor(0.1))


def test_known_scores_are_not_computed_again() -> None:
    calls = []

    def score(weights: Weights) -> float:
        calls.append(1)
        return near_one(weights)

    soup = greedy_soup(pool(0.0, 1.5), score, known={"m0": -1.0, "m1": -0.5})
    assert len(calls) == 1
    assert soup.labels == ("m1", "m0")


def test_averages_are_refreshed_before_they_are_scored() -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    inputs = torch.randn(16, 2, generator=torch.Generator().manual_seed(0))
    candidates = []
    for seed in range(2):
        torch.manual_seed(seed)
        candidates.append(
            (str(seed), weights_of(nn.Sequential(nn.Linear(2, 3), net[1])))
        )
    scored: list[Weights] = []

    def score(weights: Weights) -> float:
        scored.append(weights)
        return 1.0

    soup = greedy_soup(
        candidates, score, refresh=lambda w: reestimate(net, [w], [inputs])[0]
    )
    assert bits(soup.weights) == bits(scored[-1])
    expected = torch.nn.functional.linear(
        inputs, soup.weights["0.weight"], soup.weights["0.bias"]
    )
    torch.testing.assert_close(soup.weights["1.running_mean"], expected.mean(0))


def test_inputs_are_left_alone() -> None:
    candidates = [(str(s), weights_of(built("convolutional", s))) for s in range(3)]
    before = [bits(weights) for _, weights in candidates]
    soup = greedy_soup(candidates, lambda weights: 1.0)
    for tensor in soup.weights.values():
        tensor.zero_()
    assert [bits(weights) for _, weights in candidates] == before


@pytest.mark.parametrize(
    ("candidates", "known", "message"),
    [
        ([], {}, "a soup needs 1 or more candidates"),
        (pool(1.0) + pool(2.0), {}, r"given more than once: \['m0'\]"),
        (pool(1.0), {"x": 1.0}, r"without a candidate: \['x'\]; have \['m0'\]"),
    ],
)
def test_impossible_candidates(
    candidates: Pool, known: dict[str, float], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        greedy_soup(candidates, near_one, known=known)


def test_candidates_that_do_not_fit() -> None:
    with pytest.raises(WeightsError, match="model 2 of a running mean: names missing"):
        greedy_soup([("a", {"w": torch.ones(1)}), ("b", {})], lambda weights: 1.0)


def test_uniform_soup_is_the_mean_of_a_stream() -> None:
    members = [weights_of(built("convolutional", seed)) for seed in range(5)]
    soup, expected = uniform_soup(iter(members)), slow_average(members, [1.0] * 5)
    for name, value in expected.items():
        torch.testing.assert_close(soup[name], value, rtol=1e-6, atol=1e-7)
    with pytest.raises(InputError, match="0 models"):
        uniform_soup([])


def test_greedy_without_labels() -> None:
    weights_K = [weights for _, weights in pool(9.0, 0.0, 1.5)]
    assert greedy(weights_K, score=near_one) == {"w": torch.tensor(0.75)}
