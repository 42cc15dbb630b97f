"""Schedules: a number for every step.

A `Schedule` is a pure function of the step, counted from 0. It may drive a learning
rate, momentum, weight decay, a temperature, the size of images or a level of noise.
`SCHEDULES` lists the shapes and what is true of each; the other functions make
schedules out of schedules. This package needs the standard library only;
`dale.schedules.torch_scheduler` adapts schedules to PyTorch.
"""

from collections.abc import Callable
from dataclasses import dataclass

from dale.schedules.coupled import alignment as alignment
from dale.schedules.coupled import coupled as coupled
from dale.schedules.coupled import coupled_decay as coupled_decay
from dale.schedules.coupled import coupled_factor as coupled_factor
from dale.schedules.curves import cosine as cosine
from dale.schedules.curves import inverse_sqrt as inverse_sqrt
from dale.schedules.curves import one_cycle as one_cycle
from dale.schedules.curves import polynomial as polynomial
from dale.schedules.curves import swa_tail as swa_tail
from dale.schedules.cyclic import cosine_restarts as cosine_restarts
from dale.schedules.cyclic import cycle_ends as cycle_ends
from dale.schedules.join import join as join
from dale.schedules.join import tail as tail
from dale.schedules.join import warmup as warmup
from dale.schedules.layerwise import discriminative_rates as discriminative_rates
from dale.schedules.layerwise import equalised_rates as equalised_rates
from dale.schedules.layerwise import signal_ratios as signal_ratios
from dale.schedules.schedule import Schedule as Schedule
from dale.schedules.schedule import Steps as Steps
from dale.schedules.shapes import constant as constant
from dale.schedules.shapes import exponential as exponential
from dale.schedules.shapes import geometric as geometric
from dale.schedules.shapes import linear as linear
from dale.schedules.shapes import milestones as milestones
from dale.schedules.shapes import step_decay as step_decay
from dale.schedules.transform import hold as hold
from dale.schedules.transform import repeat as repeat
from dale.schedules.transform import scale as scale
from dale.schedules.transform import stretch as stretch
from dale.schedules.triangles import clr as clr
from dale.schedules.triangles import exp_range as exp_range
from dale.schedules.triangles import fge_triangle as fge_triangle
from dale.schedules.triangles import triangular as triangular
from dale.schedules.triangles import triangular2 as triangular2

__all__ = [
    "SCHEDULES",
    "Schedule",
    "ScheduleRow",
    "Steps",
    "alignment",
    "clr",
    "constant",
    "cosine",
    "cosine_restarts",
    "coupled",
    "coupled_decay",
    "coupled_factor",
    "cycle_ends",
    "discriminative_rates",
    "equalised_rates",
    "exp_range",
    "exponential",
    "fge_triangle",
    "geometric",
    "hold",
    "inverse_sqrt",
    "join",
    "linear",
    "milestones",
    "one_cycle",
    "polynomial",
    "repeat",
    "scale",
    "signal_ratios",
    "step_decay",
    "stretch",
    "swa_tail",
    "tail",
    "triangular",
    "triangular2",
    "warmup",
]


@dataclass(frozen=True)
class ScheduleRow:
    """A shape and what is true of it.

    Args:
        function: Makes the schedule. Its parameters are the shape's configuration;
            ``steps`` is the total length.
        summary: A few words.
        cyclic: It has cycles, each with its smallest value on its last update.
        monotone: With the defaults it never turns from rising to falling or back.
        starts_at_peak: Its first value, and the first of each cycle, is exactly the
            largest of the cycle.
        reference: Where it was published; empty for folklore.

    Example:
        >>> SCHEDULES["cosine_restarts"].cyclic
        True
    """

    function: Callable[..., Schedule]
    summary: str
    cyclic: bool
    monotone: bool
    starts_at_peak: bool
    reference: str = ""


SCHEDULES = {
    "constant": ScheduleRow(
        constant,
        "one value throughout",
        cyclic=False,
        monotone=True,
        starts_at_peak=True,
    ),
    "linear": ScheduleRow(
        linear,
        "a straight line between two values",
        cyclic=False,
        monotone=True,
        starts_at_peak=False,
    ),
    "geometric": ScheduleRow(
        geometric,
        "a constant ratio between two values",
        cyclic=False,
        monotone=True,
        starts_at_peak=False,
    ),
    "step_decay": ScheduleRow(
        step_decay,
        "a drop by a factor at equal distances",
        cyclic=False,
        monotone=True,
        starts_at_peak=True,
    ),
    "milestones": ScheduleRow(
        milestones,
        "a drop by a factor at given steps",
        cyclic=False,
        monotone=True,
        starts_at_peak=True,
    ),
    "exponential": ScheduleRow(
        exponential,
        "decay at a rate per step",
        cyclic=False,
        monotone=True,
        starts_at_peak=True,
    ),
    "polynomial": ScheduleRow(
        polynomial,
        "a power of the share that is left",
        cyclic=False,
        monotone=True,
        starts_at_peak=True,
        reference="Chen et al. 2016, arXiv:1606.00915",
    ),
    "inverse_sqrt": ScheduleRow(
        inverse_sqrt,
        "decay with the root of the step",
        cyclic=False,
        monotone=True,
        starts_at_peak=True,
        reference="Vaswani et al. 2017, arXiv:1706.03762",
    ),
    "cosine": ScheduleRow(
        cosine,
        "half a cosine wave",
        cyclic=False,
        monotone=True,
        starts_at_peak=True,
        reference="Loshchilov and Hutter 2017, arXiv:1608.03983",
    ),
    "one_cycle": ScheduleRow(
        one_cycle,
        "up to the peak, then far down",
        cyclic=False,
        monotone=False,
        starts_at_peak=False,
        reference="Smith and Topin 2018, arXiv:1708.07120",
    ),
    "swa_tail": ScheduleRow(
        swa_tail,
        "high, then down to a constant tail",
        cyclic=False,
        monotone=True,
        starts_at_peak=False,
        reference="Izmailov et al. 2018, arXiv:1803.05407",
    ),
    "clr": ScheduleRow(
        clr,
        "triangles of a given length, cut off at the end",
        cyclic=False,
        monotone=False,
        starts_at_peak=False,
        reference="Smith 2017, arXiv:1506.01186",
    ),
    "cosine_restarts": ScheduleRow(
        cosine_restarts,
        "half a cosine wave, restarted in every cycle",
        cyclic=True,
        monotone=False,
        starts_at_peak=True,
        reference="Loshchilov and Hutter 2017, arXiv:1608.03983; "
        "Huang et al. 2017, arXiv:1704.00109",
    ),
    "triangular": ScheduleRow(
        triangular,
        "up and down in straight lines",
        cyclic=True,
        monotone=False,
        starts_at_peak=False,
        reference="Smith 2017, arXiv:1506.01186",
    ),
    "triangular2": ScheduleRow(
        triangular2,
        "triangles of half the height in each further cycle",
        cyclic=True,
        monotone=False,
        starts_at_peak=False,
        reference="Smith 2017, arXiv:1506.01186",
    ),
    "exp_range": ScheduleRow(
        exp_range,
        "triangles whose height decays at every step",
        cyclic=True,
        monotone=False,
        starts_at_peak=False,
        reference="Smith 2017, arXiv:1506.01186",
    ),
    "fge_triangle": ScheduleRow(
        fge_triangle,
        "triangles that end at the minimum",
        cyclic=True,
        monotone=False,
        starts_at_peak=False,
        reference="Garipov et al. 2018, arXiv:1802.10026",
    ),
}
"""Name to shape: what the recipes, the documentation and the tests read."""
