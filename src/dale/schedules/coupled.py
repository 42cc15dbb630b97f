"""Two schedules that belong together: a student's rate and a teacher's temperature.

In every formula ``t`` is the step, counted from 0, and ``T`` the number of steps.
"""

import math
from collections.abc import Sequence

from dale.errors import InputError
from dale.schedules._numbers import positive, whole
from dale.schedules.schedule import Schedule, Steps
from dale.schedules.shapes import exponential, step_decay


def coupled_factor(decay: float, every: Steps) -> float:
    """The step-decay factor that goes with an exponential decay: ``s = e^(−λΔ)``.

    Args:
        decay: λ > 0, of a temperature ``τ(t) = τ₀ e^(−λt)``.
        every: Δ, steps between two drops of the rate, at least 1.

    Returns:
        The factor s in (0, 1) by which the rate must drop every Δ steps.

    Raises:
        InputError: An argument is out of range, or the factor rounds to 0.

    Example:
        >>> round(coupled_factor(decay=0.01, every=100), 6)
        0.367879
    """
    factor = math.exp(-positive("decay", decay) * whole("every", every, least=1))
    if factor == 0.0:
        raise InputError(f"decay {decay:g} over {every} steps leaves nothing")
    return factor


def coupled_decay(factor: float, every: Steps) -> float:
    """The exponential decay that goes with a step-decay factor: ``λ = −ln(s)/Δ``.

    Args:
        factor: s in (0, 1).
        every: Δ, steps between two drops, at least 1.

    Returns:
        λ, the inverse of `coupled_factor`.

    Raises:
        InputError: An argument is out of range.

    Example:
        >>> coupled_factor(coupled_decay(factor=0.5, every=30), every=30)
        0.5
    """
    if not positive("factor", factor) < 1:
        raise InputError(f"factor: expected a number in (0, 1), got {factor:g}")
    return -math.log(factor) / whole("every", every, least=1)


def coupled(
    peak: float, temperature: float, factor: float, every: Steps, steps: Steps
) -> tuple[Schedule, Schedule]:
    """A rate that drops in steps and a temperature that decays at the same pace.

    ``η(t) = η₀ s^⌊t/Δ⌋`` and ``τ(t) = τ₀ e^(−λt)`` with ``s = e^(−λΔ)``. The gradient
    of a softened cross-entropy carries a factor 1/τ, so that η/τ is the effective
    scale of an update: it is ``η₀/τ₀`` at every drop, and between two drops it rises by
    less than ``1/s``.

    Args:
        peak: η₀ > 0.
        temperature: τ₀ > 0.
        factor: s in (0, 1).
        every: Δ, steps between two drops, at least 1.
        steps: Total length T, at least 1.

    Returns:
        The schedules of the rate and of the temperature.

    Raises:
        InputError: An argument is out of range.

    Example:
        >>> rate, heat = coupled(0.1, temperature=4.0, factor=0.5, every=10, steps=30)
        >>> [round(rate(t) / heat(t), 6) for t in (0, 10, 20)]
        [0.025, 0.025, 0.025]
    """
    start, decay = positive("temperature", temperature), coupled_decay(factor, every)
    return (
        step_decay(positive("peak", peak), steps=steps, factor=factor, every=every),
        exponential(start, steps=steps, rate=decay),
    )


def alignment(rate: Schedule, temperature: Schedule, informative: float = 1.0) -> float:
    """How far the large steps of one schedule fall on the good values of another.

    With ``u(t) = −|ln(τ(t)/τ*)|``, how close the temperature is to an informative one,
    the sum ``Σ η(t) u(t)`` is largest where both are sorted alike, and smallest where
    they are sorted in opposite ways. The index is where it lies between the two:

        A = (Σ η u − worst) / (best − worst).

    It depends on the order alone of the two schedules' values against each other: the
    unit of the rate does not matter.

    Args:
        rate: Of the student; no negative values.
        temperature: Of the teacher, of the same length; positive values.
        informative: τ* > 0, the temperature that tells the student most.

    Returns:
        From 0 to 1; 1/2 where either is constant, so that no order is better.

    Raises:
        InputError: The lengths differ or a value is out of range.

    Example:
        >>> from dale.schedules import linear
        >>> falling, rising = linear(4.0, 1.0, steps=50), linear(1.0, 4.0, steps=50)
        >>> alignment(falling, rising), alignment(falling, falling)
        (1.0, 0.0)

    Reference:
        The rearrangement inequality: G. H. Hardy, J. E. Littlewood, G. Pólya,
        Inequalities, 1934, theorem 368.
    """
    if rate.steps != temperature.steps:
        raise InputError(
            f"expected schedules of one length, got {rate.steps} and "
            f"{temperature.steps} steps"
        )
    best_at = math.log(positive("informative", informative))
    rates, heats = rate.values(), temperature.values()
    if min(rates) < 0 or min(heats) <= 0:
        raise InputError("expected rates >= 0 and temperatures > 0")
    near = [-abs(math.log(heat) - best_at) for heat in heats]
    ordered, close = sorted(rates), sorted(near)
    best, worst = _product(ordered, close), _product(ordered, close[::-1])
    if best - worst <= 1e-12 * max(abs(best), abs(worst)):
        return 0.5
    index = (_product(rates, near) - worst) / (best - worst)
    return min(max(index, 0.0), 1.0)


def _product(first: Sequence[float], second: Sequence[float]) -> float:
    return math.fsum(x * y for x, y in zip(first, second, strict=True))
