"""What a recipe will cost, before it is run."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import inf
from typing import Any

from dale.data import Data
from dale.errors import InputError
from dale.models import count_parameters
from dale.recipes.costs import Costs, every_strategy
from dale.recipes.pilot import Pilot
from dale.train import Recipe, Trajectory, check_beforehand
from dale.train.stacked import outlook
from dale.weights import weights_of

_MANY = 1_000  # epochs that every strategy fits into
_LOOKED = 10_000  # steps at which the largest rate is looked for


@dataclass(frozen=True)
class Planned:
    """One trajectory of a plan.

    Args:
        name: Of the trajectory.
        steps: Updates.
        members: Steps at which members are taken.
        first_rate: Learning rate of the first update.
        peak: Largest rate.
        last_rate: Rate of the last update.
        curve: The rate at 48 equal distances, as shares of the peak.
    """

    name: str
    steps: int
    members: tuple[int, ...]
    first_rate: float
    peak: float
    last_rate: float
    curve: tuple[float, ...]


@dataclass(frozen=True)
class Price:
    """What a strategy costs at the recipe's budget.

    Args:
        strategy: Its name.
        own: The recipe has it, and it is priced with the recipe's settings; else with
            its own defaults.
        steps: Updates of all its trajectories.
        members: Members that it makes.
        seconds: Of updates and of scoring after each epoch.
        disk_bytes: Of its members and of the statistics that are kept beside them.
        problem: Why it does not fit into the budget; the figures are 0 then.
    """

    strategy: str
    own: bool
    steps: int = 0
    members: int = 0
    seconds: float = 0.0
    disk_bytes: int = 0
    problem: str | None = None


@dataclass(frozen=True)
class Plan:
    """What a recipe will do and cost.

    Args:
        trajectories: What is trained.
        epochs: The budget of each strategy.
        per_epoch: Updates in an epoch.
        examples: Sizes of the splits.
        parameters: Trainable numbers of the model.
        disk_bytes: Members, the statistics kept beside them, and the largest of the
            saved states.
        pilot: Time and memory of an update, measured; the most of each where the
            strategies' updates differ.
        seconds: Of all updates, and of scoring after each epoch.
        prices: Every strategy there is, if that was asked for.
        together: How strategies with several runs would train them, where the recipe
            asks for members trained at once; ``seconds`` is for one after another.
    """

    trajectories: tuple[Planned, ...]
    epochs: int
    per_epoch: int
    examples: Mapping[str, int]
    parameters: int
    disk_bytes: int
    pilot: Pilot
    seconds: float
    prices: tuple[Price, ...] = ()
    together: Mapping[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def plan(
    recipe: Recipe,
    data: Data,
    *,
    minutes: float | None = None,
    every: bool = False,
) -> Plan:
    """Count the steps, time a pilot and add up memory and disk space.

    Args:
        recipe: What would be trained.
        data: Its data.
        minutes: Time for the whole recipe, > 0: the plan is for as many epochs as
            fit, and no longer for the recipe's own.
        every: Price every strategy too, those of the recipe with its settings.

    Returns:
        The plan, for ``epochs`` of its own where there are ``minutes``. Nothing is
        written.

    Raises:
        InputError: Not even one epoch fits into ``minutes``.
        RecipeError: A strategy does not fit into the budget.
    """
    examples = data.examples
    # the recipe's own epochs may be too few for its strategies
    long = recipe if minutes is None else recipe.model_copy(update={"epochs": _MANY})
    model = check_beforehand(long, data)
    costs = Costs(long, data, every)
    if minutes is not None:
        recipe = _fitting(recipe, examples, costs, 60 * minutes)
    trajectories = recipe.trajectories(examples)
    size = sum(tensor.nbytes for tensor in weights_of(model).values())
    return Plan(
        trajectories=tuple(map(_planned, trajectories)),
        epochs=recipe.epochs,
        per_epoch=recipe.budget(recipe.seen(examples)).per_epoch,
        examples=_sizes(data),
        parameters=count_parameters(model),
        disk_bytes=_kept(trajectories, size)
        + max(_state(trajectory, data, size) for trajectory in trajectories),
        pilot=costs.dearest(trajectories),
        seconds=costs.seconds(trajectories),
        prices=_prices(recipe, examples, costs, size) if every else (),
        together=outlook(recipe, trajectories),
    )


def _sizes(data: Data) -> dict[str, int]:
    """Examples by split, and those without a label."""
    sizes = {name: len(split) for name, split in data.splits.items()}
    if data.unlabelled is not None:
        sizes["unlabelled"] = len(data.unlabelled)
    return sizes


def _planned(trajectory: Trajectory) -> Planned:
    schedule, points = trajectory.schedule, 48
    rates = [schedule(schedule.steps * i // points) for i in range(points)]
    # of a long schedule every so many steps, and where a cycle begins
    looked = {0, *range(0, schedule.steps, -(-schedule.steps // _LOOKED))}
    looked |= {end for end in schedule.ends if end < schedule.steps}
    peak = max(map(schedule, looked))
    return Planned(
        name=trajectory.name,
        steps=schedule.steps,
        members=tuple(trajectory.member_steps()),
        first_rate=schedule(0),
        peak=peak,
        last_rate=schedule(schedule.steps - 1),
        curve=tuple(rate / peak if peak else 0.0 for rate in rates),
    )


def _steps(trajectories: Sequence[Trajectory]) -> int:
    return sum(trajectory.steps for trajectory in trajectories)


def _members(trajectories: Sequence[Trajectory]) -> int:
    return sum(trajectory.member_count() for trajectory in trajectories)


def _kept(trajectories: Sequence[Trajectory], size: int) -> int:
    """Bytes of what is there when training has ended."""
    collectors = [c for trajectory in trajectories for c in trajectory.collectors()]
    return size * (
        _members(trajectories) + sum(c.copies for c in collectors if c.keeps)
    )


def _state(trajectory: Trajectory, data: Data, size: int) -> int:
    """Bytes of a saved state: weights, the optimiser's, and what is carried along."""
    asked, targets = trajectory.consistency, 0
    if asked is not None and asked.decay is not None:
        targets = (4 * data.classes + 8) * data.examples
    return size * (3 + sum(c.copies for c in trajectory.collectors())) + targets


def _fitting(recipe: Recipe, examples: int, costs: Costs, seconds: float) -> Recipe:
    """The recipe with as many epochs as the time allows."""
    if not 0 < seconds < inf:
        raise InputError(f"minutes: expected a number > 0, got {seconds / 60:g}")
    # the recipe's own epochs may be too few for its strategies
    long = recipe.model_copy(update={"epochs": _MANY})
    epoch = costs.seconds(long.trajectories(examples)) / _MANY
    epochs = int(seconds / epoch)
    if epochs < 1:
        raise InputError(
            f"minutes: one epoch of every strategy takes about {epoch / 60:.2g} "
            f"minutes, got {seconds / 60:g}"
        )
    return recipe.model_copy(update={"epochs": epochs})


def _prices(
    recipe: Recipe, examples: int, costs: Costs, size: int
) -> tuple[Price, ...]:
    given = {spec.name for spec in recipe.strategies}
    found = []
    for name, trajectories in every_strategy(recipe, examples).items():
        problem = trajectories if isinstance(trajectories, str) else None
        if isinstance(trajectories, str) or (problem := costs.problem(trajectories)):
            found.append(Price(name, name in given, problem=problem))
            continue
        steps, members = _steps(trajectories), _members(trajectories)
        found.append(
            Price(
                name,
                name in given,
                steps=steps,
                members=members,
                seconds=costs.seconds(trajectories),
                disk_bytes=_kept(trajectories, size),
            )
        )
    return tuple(found)
