"""Simulated annealing against brute force and against Boltzmann's distribution."""

import math
from itertools import pairwise, permutations
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dale import anneal
from dale.errors import InputError
from dale.schedules import exponential


def swap(order, random):
    """Two places exchanged."""
    left, right = random.sample(range(len(order)), 2)
    changed = list(order)
    changed[left], changed[right] = changed[right], changed[left]
    return tuple(changed)


@settings(max_examples=25)
@given(seed=st.integers(0, 10**6))
def test_finds_the_best_assignment(seed):
    random = Random(seed)
    cost = [[random.random() for _ in range(5)] for _ in range(5)]

    def energy(order):
        return sum(cost[i][j] for i, j in enumerate(order))

    cooling = exponential(1.0, steps=3000, rate=0.003)
    start = tuple(range(5))
    found = anneal(start, swap, energy, cooling, 3000, seed)
    assert found.energy == pytest.approx(min(map(energy, permutations(start))))
    assert found.energy == energy(found.best)
    assert found.energy == min(energy(start), *found.energies)
    assert anneal(start, swap, energy, cooling, 3000, seed) == found


def test_states_are_visited_as_boltzmann_says():
    energies, heat, steps = [0.0, 0.5, 1.5, 0.3, 2.0, 1.0], 0.8, 60_000
    visits = [0] * 6

    def energy(state):
        return energies[state]

    def neighbour(state, random):
        visits[state] += 1  # the state that each step begins at
        return random.randrange(6)

    anneal(0, neighbour, energy, lambda step: heat, steps)
    weights = [math.exp(-e / heat) for e in energies]
    for count, weight in zip(visits, weights, strict=True):
        assert count / steps == pytest.approx(weight / sum(weights), abs=0.015)


@given(seed=st.integers(0, 1000))
def test_without_heat_it_never_goes_up(seed):
    found = anneal(
        9, lambda x, r: x + r.choice([-1, 1]), lambda x: x * x, lambda t: 0.0, 60, seed
    )
    heights = [81, *found.energies]
    assert all(b <= a for a, b in pairwise(heights))
    assert found.energy == heights[-1]


def test_states_that_are_not_allowed_are_never_entered():
    found = anneal(
        0,
        lambda x, r: x + r.choice([-1, 1]),
        lambda x: math.inf if abs(x) > 3 else -x,
        lambda t: 100.0,
        500,
    )
    assert found.best == 3
    assert all(math.isfinite(e) for e in found.energies)


def test_no_steps_leave_the_start():
    found = anneal(4, lambda x, r: x, float, lambda t: 1.0, 0)
    assert (found.best, found.energy, found.energies, found.accepted) == (4, 4, (), 0)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"steps": -1}, "steps: expected"),
        ({"steps": 2.5}, "steps: expected"),
        ({"energy": lambda x: math.inf}, "the start has energy inf"),
        ({"energy": lambda x: 0.0 if x == 0 else math.nan}, "step 0 is NaN"),
        ({"temperature": lambda t: -1.0}, "temperature of step 0"),
        ({"temperature": lambda t: math.inf}, "temperature of step 0"),
    ],
)
def test_what_is_wrong_is_said(changed, said):
    given = {
        "start": 0,
        "neighbour": lambda x, r: x + 1,
        "energy": float,
        "temperature": lambda t: 1.0,
        "steps": 5,
    }
    with pytest.raises(InputError, match=said):
        anneal(**{**given, **changed})
