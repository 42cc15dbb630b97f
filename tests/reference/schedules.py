"""Slow twins of the schedules: the published formulas, step by step, as lists."""

import math
from fractions import Fraction


def cycle_lengths(steps, cycles, length_factor=1):
    factor = Fraction(str(length_factor))
    weights = [factor**i for i in range(cycles)]
    ends = [0]
    for i in range(cycles):
        ends.append(math.floor(Fraction(steps) * sum(weights[: i + 1]) / sum(weights)))
    return [ends[i + 1] - ends[i] for i in range(cycles)]


def constant(steps, value):
    return [value] * steps


def linear(steps, first, last):
    return [first + (last - first) * t / (steps - 1) for t in range(steps)]


def geometric(steps, first, last):
    return [first * (last / first) ** (t / (steps - 1)) for t in range(steps)]


def step_decay(steps, peak, every, factor):
    values, rate = [], peak
    for t in range(steps):
        if t > 0 and t % every == 0:
            rate *= factor
        values.append(rate)
    return values


def milestones(steps, peak, at, factor):
    values, rate = [], peak
    for t in range(steps):
        if t in at:
            rate *= factor
        values.append(rate)
    return values


def exponential(steps, peak, rate, floor):
    values, above = [], peak - floor
    for _ in range(steps):
        values.append(floor + above)
        above *= math.exp(-rate)
    return values


def polynomial(steps, peak, power, floor):
    return [floor + (peak - floor) * (1 - t / steps) ** power for t in range(steps)]


def inverse_sqrt(steps, peak, warmup):
    values = []
    for update in range(1, steps + 1):
        rising = update * warmup**-1.5
        falling = update**-0.5
        values.append(peak * math.sqrt(warmup) * min(rising, falling))
    return values


def cosine(steps, peak, floor):
    return [
        floor + 0.5 * (peak - floor) * (1 + math.cos(math.pi * t / steps))
        for t in range(steps)
    ]


def one_cycle(steps, peak, rise):
    first, last = peak / 25, peak / 25 / 1e4
    top = max(1, min(steps - 2, round(rise * steps) - 1))
    values = []
    for t in range(steps):
        if t <= top:
            start, stop, share = first, peak, t / top
        else:
            start, stop, share = peak, last, (t - top) / (steps - 1 - top)
        values.append(stop + (start - stop) * (1 + math.cos(math.pi * share)) / 2)
    return values


def swa_tail(steps, peak, tail, start):
    values = []
    for step in range(steps):
        t, ratio = step / start, tail / peak
        if t <= 0.5:
            factor = 1.0
        elif t <= 0.9:
            factor = 1.0 - (1.0 - ratio) * (t - 0.5) / 0.4
        else:
            factor = ratio
        values.append(peak * factor)
    return values


def cosine_restarts(steps, peak, cycles, floor, peak_factor=1.0, length_factor=1):
    values, top = [], peak
    for length in cycle_lengths(steps, cycles, length_factor):
        for t in range(length):
            share = (1 + math.cos(math.pi * (t % length) / length)) / 2
            values.append(floor + (top - floor) * share)
        top *= peak_factor
    return values


def smith(iteration, half, base, top, gain):
    """Smith's formula, with the iteration counted from 0."""
    cycle = math.floor(1 + iteration / (2 * half))
    x = abs(iteration / half - 2 * cycle + 1)
    return base + (top - base) * max(0.0, 1 - x) * gain


def _triangles(steps, peak, cycles, floor, gain):
    values, made = [], 0
    for cycle, length in enumerate(cycle_lengths(steps, cycles)):
        for t in range(length):
            made += 1
            values.append(smith(t + 1, length / 2, floor, peak, gain(cycle, made)))
    return values


def clr(steps, peak, floor, up, down):
    values, rising = [], True
    u = 0
    for _ in range(steps):
        share = u / up if rising else 1 - u / down
        values.append(floor + (peak - floor) * share)
        u += 1
        if u == (up if rising else down):
            rising, u = not rising, 0
    return values


def triangular(steps, peak, cycles, floor):
    return _triangles(steps, peak, cycles, floor, lambda cycle, made: 1.0)


def triangular2(steps, peak, cycles, floor):
    return _triangles(steps, peak, cycles, floor, lambda cycle, made: 0.5**cycle)


def exp_range(steps, peak, cycles, gamma, floor):
    return _triangles(steps, peak, cycles, floor, lambda cycle, made: gamma**made)


def fge_triangle(steps, peak, cycles, floor):
    halves = 2 * cycles - 1
    ends = [steps * (2 * i + 1) // halves for i in range(cycles)]
    # the first cycle is the second half of a full one
    shown, begun, values = ends[0], 0, []
    for number, end in enumerate(ends):
        length = 2 * shown if number == 0 else end - begun
        for done in range(1, end - begun + 1):
            x = done / length if number == 0 else (done / length + 0.5) % 1.0
            if x <= 0.5:
                values.append((1 - 2 * x) * peak + 2 * x * floor)
            else:
                values.append((2 - 2 * x) * floor + (2 * x - 1) * peak)
        begun = end
    return values
