"""Colours, style and rates that the pictures of these pages share."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes

from dale.train import Trajectory

STATIC = Path(__file__).parent / "_static"
BLUE, ORANGE, GREEN = "#2a6f97", "#d1603d", "#5a9a68"
GREY, INK = "#8d99a6", "#26323d"
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "text.color": INK,
    "xtick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.color": GREY,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "savefig.dpi": 200,
}


def rates(axes: Axes, trajectories: Sequence[Trajectory], size: float = 5) -> None:
    """Learning rates, one trajectory after the other, and where members are taken.

    Args:
        axes: Where they are drawn.
        trajectories: Whose.
        size: Of the marks of members.
    """
    begun = 0
    for trajectory in trajectories:
        steps = trajectory.steps
        values = trajectory.schedule.values()
        axes.plot([begun + s for s in range(steps)], values, color=BLUE, lw=1.4)
        taken = trajectory.member_steps()
        axes.plot(
            [begun + step for step in taken],
            [values[step - 1] for step in taken],
            "o",
            color=ORANGE,
            ms=size,
            clip_on=False,
            zorder=3,
        )
        begun += steps
