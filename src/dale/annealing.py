"""Simulated annealing: a search through states that have neighbours and an energy."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Generic, TypeVar

from dale.errors import InputError
from dale.keys import key

S = TypeVar("S")


@dataclass(frozen=True)
class Annealed(Generic[S]):
    """What a search found.

    Args:
        best: The state of lowest energy among all that were visited.
        energy: Its energy.
        energies: The energy after each step.
        accepted: Steps that went to the neighbour.
    """

    best: S
    energy: float
    energies: tuple[float, ...]
    accepted: int


def anneal(
    start: S,
    neighbour: Callable[[S, Random], S],
    energy: Callable[[S], float],
    temperature: Callable[[int], float],
    steps: int,
    seed: int = 0,
) -> Annealed[S]:
    """Search for a state of low energy, at first uphill too.

    From a state of energy E a step goes to a random neighbour of energy E′ with the
    probability of Metropolis::

        min(1, exp(−(E′ − E) / τ(t)))        τ(t) the temperature of step t

    At a constant temperature, where each state is as often proposed from a neighbour
    as the neighbour from it, states are visited in proportion to ``exp(−E / τ)``; as
    τ falls, the search settles in a low one. At ``τ = 0`` it only goes downhill, or
    along.

    Args:
        start: The first state; states are never changed in place.
        neighbour: From a state and a source of randomness to another state.
        energy: What is to be low; infinite where a state is not allowed.
        temperature: From the step, counted from 0, to τ ≥ 0, in the unit of the
            energy; any `Schedule` will do.
        steps: Neighbours to try.
        seed: Of every random draw.

    Returns:
        The best state that was visited, and how the search went.

    Raises:
        InputError: The start has no finite energy, an energy is NaN, or a temperature
            or the number of steps is out of range.

    Example:
        The smallest value of a rugged function of a whole number:

        >>> from dale.schedules import exponential
        >>> found = anneal(
        ...     start=0,
        ...     neighbour=lambda x, random: x + random.choice([-1, 1]),
        ...     energy=lambda x: (x - 21) ** 2 / 30 + 3 * (x % 4),
        ...     temperature=exponential(10.0, steps=2000, rate=0.003),
        ...     steps=2000,
        ... )
        >>> found.best, round(found.energy, 3)
        (20, 0.033)

    References:
        Metropolis et al. 1953; Kirkpatrick, Gelatt and Vecchi 1983, Science 220.
    """
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 0:
        raise InputError(f"steps: expected a whole number >= 0, got {steps!r}")
    random = Random(key(seed, "anneal"))
    now, height = start, float(energy(start))
    if not math.isfinite(height):
        raise InputError(f"the start has energy {height}; expected a finite one")
    best, lowest = now, height
    energies, accepted = [], 0
    for step in range(steps):
        proposed = neighbour(now, random)
        other, heat = float(energy(proposed)), float(temperature(step))
        if math.isnan(other):
            raise InputError(f"the energy of the neighbour of step {step} is NaN")
        if not 0 <= heat < math.inf:
            raise InputError(
                f"temperature of step {step}: expected a finite number >= 0, got {heat}"
            )
        # drawn at every step, so that one decision does not move the later ones
        luck = random.random()
        rise = other - height
        if rise <= 0 or (heat > 0 and luck < math.exp(-rise / heat)):
            now, height, accepted = proposed, other, accepted + 1
        if height < lowest:
            best, lowest = now, height
        energies.append(height)
    return Annealed(best, lowest, tuple(energies), accepted)
