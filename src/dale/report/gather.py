"""From a run folder to the document that a report is rendered from."""

import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy
import torch

import dale

if TYPE_CHECKING:
    from dale.store import Run
    from dale.train import Recipe, Trajectory

_RESULTS = ("cross_validation", "drift", "diagnosis", "ergodicity", "diversity")
_POINTS = 600  # of a rate curve: more than a page has pixels for


def gather(
    run: "Run",
    recipe: "Recipe",
    examples: int,
    evaluation: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Everything that a run's report shows, as JSON values.

    Args:
        run: The run.
        recipe: Its recipe.
        examples: Number of training examples.
        evaluation: What ``results/evaluation.json`` holds, or None before that.

    Returns:
        The document for `dale.report.render`; parts not measured yet are left out.
    """
    members = list(run.population)
    trajectories = recipe.trajectories(examples)
    document: dict[str, Any] = {
        "schema": 1,
        "title": f"{recipe.data.source} · {recipe.model.name}",
        "subtitle": (
            f"{len(members)} members from {len(trajectories)} "
            f"{'trajectory' if len(trajectories) == 1 else 'trajectories'}, "
            f"{recipe.epochs} epochs each, seed {recipe.seed}"
        ),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "schedules": [_curve(trajectory) for trajectory in trajectories],
        "log": run.log(),
        "members": [
            {
                "label": member.label,
                "digest": member.digest,
                "trajectory": member.details.get("trajectory", member.group),
                "step": member.step,
                "cycle": member.cycle,
                "how": member.how,
                "parents": list(member.parents),
                "scores": dict(member.scores),
            }
            for member in members
        ],
        "decisions": [
            {"soup": member.label, "rows": member.details["decisions"]}
            for member in members
            if "decisions" in member.details
        ],
        "recipe": run.recipe,
        "versions": versions(),
        "command": f"dale report {run.folder.name}",
    }
    if evaluation is not None:
        document |= {
            "verdict": evaluation["verdict"],
            "table": {
                "rows": evaluation["rows"],
                "split": evaluation["split"],
                "fitted_on": evaluation["fitted_on"],
            },
            "disagreement": evaluation["disagreement"],
            "reliability": evaluation["reliability"],
            "risk_coverage": evaluation.get("risk_coverage"),
        }
    found = {name: run.read_result(name) for name in _RESULTS}
    return document | {n: result for n, result in found.items() if result is not None}


def planned(
    title: str,
    trajectories: Sequence["Trajectory"],
    prices: Sequence[Sequence[str]] = (),
) -> dict[str, Any]:
    """The document of a plan: the schedules of trajectories that nobody has trained.

    Args:
        title: Of the page.
        trajectories: What is drawn.
        prices: What strategies cost: name, updates, members, time and disk of each.

    Returns:
        JSON values that `render` takes.
    """
    return {
        "title": title,
        "schedules": [_curve(item) for item in trajectories],
        "prices": [list(price) for price in prices],
    }


def versions() -> dict[str, str]:
    """Versions of what the figures depend on, and the device."""
    device, threads = "CPU", torch.get_num_threads()
    if torch.cuda.is_available():
        device = torch.cuda.get_device_name()
    return {
        "dale": dale.__version__,
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "python": platform.python_version(),
        "device": f"{device}, {threads} {'thread' if threads == 1 else 'threads'}",
    }


def _curve(trajectory: "Trajectory") -> dict[str, Any]:
    schedule, ends = trajectory.schedule, trajectory.member_steps()
    stride = max(1, schedule.steps // _POINTS)
    # both sides of every cycle's end, so that a restart is drawn as a jump
    steps = {0, schedule.steps - 1, *range(0, schedule.steps, stride)}
    for end in schedule.ends:
        steps |= {end - 1, min(end, schedule.steps - 1)}
    return {
        "trajectory": trajectory.name,
        "steps": schedule.steps,
        "rate": [[step, schedule(step)] for step in sorted(steps)],
        "ends": ends,
    }
