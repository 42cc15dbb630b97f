"""Recipes: one YAML file that says everything a run does.

The pieces of a recipe are generated from the tables of data sources, models,
schedules, optimisers and strategies: a variant's parameters are its function's.
"""

from dataclasses import replace
from typing import Annotated

from pydantic import ConfigDict, Field

from dale.data import SOURCES, augmentation, fold_size
from dale.errors import RecipeError
from dale.models import MODELS, build_factory
from dale.train.adding import Adding
from dale.train.collect import COLLECTORS
from dale.train.companions import build_companions
from dale.train.engine import EngineSpec
from dale.train.guard import GuardSpec
from dale.train.layers import LAYERS, Rule
from dale.train.optimizers import OPTIMIZERS
from dale.train.plateau import PlateauSpec
from dale.train.specs import (
    DrivenSpec,
    Spec,
    lengths_of,
    settings,
    signature_spec,
    spec_family,
)
from dale.train.strategies import STRATEGIES
from dale.train.trackers import TRACKERS
from dale.train.trajectory import Budget, Trajectory

VERSION = 1
"""Version of the recipe format that this dale reads."""

DATA = spec_family({n: r.function for n, r in SOURCES.items()}, "source")
MODEL = spec_family(
    {**{n: r.function for n, r in MODELS.items()}, "factory": build_factory},
    "name",
    {"shape", "classes"},
)
OPTIMIZER = spec_family(
    {n: r.function for n, r in OPTIMIZERS.items()}, "name", {"parameters"}
)
STRATEGY = spec_family(
    {n: r.function for n, r in STRATEGIES.items()}, "name", {"budget"}
)
COLLECTOR = spec_family(
    {n: r.function for n, r in COLLECTORS.items()}, "name", {"span"}
)
TRACKER = spec_family({n: r.function for n, r in TRACKERS.items()}, "name", {"place"})
LAYER = spec_family({n: r.function for n, r in LAYERS.items()}, "name")
AugmentSpec = signature_spec("augment", augmentation)


class Recipe(Spec):
    """A whole recipe.

    Args:
        version: Of the format.
        seed: Everything random in the run is derived from it.
        data: Where the examples come from.
        model: The network.
        strategies: What to do with the budget; each spends it once.
        collect: What is taken out of every trajectory beside its own members.
        epochs: The budget of each strategy, in passes over the training examples, with
            a label or without.
        minutes: What the whole run may take: cycles are shortened evenly to fit.
        folds: Cross-validation: each strategy is trained once for each fold of the
            training examples, on the others.
        batch: Largest number of examples in an update.
        optimizer: The optimiser; its rate comes from the strategy.
        companions: Schedules of the optimiser's other settings, such as momentum, for
            all parameters or by patterns of their names.
        layers: What the rates of the network's layers follow.
        plateau: Lowers the rate further when the validation score stands still.
        augment: Batched augmentation of the training images.
        guard: Watches for over-fitting after each epoch, and may stop.
        soft_threshold: Factor λ of ``‖w‖₁``, as a proximal step after each update.
        label_smoothing: Share of the target spread evenly over all classes.
        trackers: Where the figures of the log are sent too.
        engine: Device and precision.
        checkpoint_seconds: Least time between two saved states.
    """

    model_config = ConfigDict(title="dale recipe")

    version: Annotated[int, Field(ge=1, le=VERSION)] = VERSION
    seed: int = 0
    data: DATA.annotation  # type: ignore[valid-type]
    model: MODEL.annotation  # type: ignore[valid-type]
    strategies: Annotated[tuple[STRATEGY.annotation, ...], Field(min_length=1)]  # type: ignore[valid-type]
    collect: tuple[COLLECTOR.annotation, ...] = ()  # type: ignore[valid-type]
    epochs: Annotated[int, Field(ge=1)]
    minutes: Annotated[float, Field(gt=0)] | None = None
    folds: Annotated[int, Field(ge=2)] | None = None
    batch: Annotated[int, Field(ge=2)] = 128
    optimizer: OPTIMIZER.annotation = Field(default="sgd", validate_default=True)  # type: ignore[valid-type]
    companions: dict[str, DrivenSpec] = {}  # noqa: RUF012 - frozen by pydantic
    layers: LAYER.annotation | None = None  # type: ignore[valid-type]
    plateau: PlateauSpec | None = None
    augment: AugmentSpec | None = None  # type: ignore[valid-type]
    guard: GuardSpec | None = None
    soft_threshold: Annotated[float, Field(ge=0)] = 0.0
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    trackers: tuple[TRACKER.annotation, ...] = ()  # type: ignore[valid-type]
    engine: EngineSpec = EngineSpec()
    checkpoint_seconds: Annotated[float, Field(ge=0)] = 30.0

    def budget(self, examples: int) -> Budget:
        """What each strategy may spend, given the number of training examples."""
        per_epoch = -(-examples // self.batch)
        return Budget(self.epochs * per_epoch, per_epoch, self.seed)

    def trajectories(self, examples: int) -> list[Trajectory]:
        """All trajectories of the run, in the order they are trained.

        Args:
            examples: Number of training examples.

        Returns:
            The trajectories; a strategy named twice gets a number.

        Raises:
            RecipeError: A strategy or a collector does not fit into the budget.
        """
        self._check_guard()
        found = []
        for index in range(len(self.strategies)):
            for fold in range(1, 1 + (self.folds or 1)):
                budget = self.budget(self.seen(examples, fold))
                made = self._made(index, budget)
                found += made if self.folds is None else [_of(t, fold) for t in made]
        return found

    def _made(self, index: int, budget: Budget) -> list[Trajectory]:
        """What a strategy makes of a budget."""
        spec = self.strategies[index]
        earlier = [s.name for s in self.strategies[:index]].count(spec.name)
        make = STRATEGIES[spec.name].function
        try:
            made = make(budget, **settings(spec, "name"))
            for trajectory in made:
                _check_rates(trajectory)
        except ValueError as error:
            raise RecipeError(f"strategies[{index}] {spec.name}: {error}") from None
        for steps in {trajectory.steps for trajectory in made}:
            name = self.optimizer.name
            build_companions(self.companions, name, steps, budget.per_epoch)
            self.layer_rule(steps, budget.per_epoch)
        adding = Adding(self.collect, budget.per_epoch)
        return [adding.to(_numbered(trajectory, earlier)) for trajectory in made]

    def seen(self, examples: int, fold: int = 1) -> int:
        """The training examples that a trajectory sees: all but those of its fold.

        Raises:
            RecipeError: There are more folds than examples.
        """
        if self.folds is None:
            return examples
        if self.folds > examples:
            raise RecipeError(
                f"folds: {self.folds} of {examples} training examples; expected at "
                "most one for each"
            )
        return examples - fold_size(examples, self.folds, fold - 1)

    def layer_rule(self, steps: int, per_epoch: int) -> Rule | None:
        """What the rates of layers follow in a trajectory of so many steps.

        Raises:
            RecipeError: A setting is out of range, or does not fit the optimiser.
        """
        if self.layers is None:
            return None
        row, name = LAYERS[self.layers.name], self.optimizer.name
        where = f"layers {self.layers.name}"
        if OPTIMIZERS[name].needs != "gradient":
            raise RecipeError(f"{where}: {name} takes one rate for all parameters")
        if row.raw and OPTIMIZERS[name].scaled:
            raise RecipeError(
                f"{where}: the updates of {name} have one size already; expected sgd"
            )
        given = getattr(self.optimizer, "weight_decay", 0.0), self.companions
        if row.decays and not given[0] and "weight_decay" not in given[1]:
            raise RecipeError(f"{where}: {name} has no weight_decay to hold against")
        try:
            rule = row.function(
                **lengths_of(self.layers, row.function, steps, per_epoch)
            )
        except ValueError as error:
            raise RecipeError(f"{where}: {error}") from None
        window = rule.window(0)
        if window is not None and window[1] > steps:
            raise RecipeError(
                f"{where}: would measure over {window[1]} updates, and a trajectory "
                f"has {steps}"
            )
        return rule

    def _check_guard(self) -> None:
        """Refuse a guard that has no average to look at."""
        words = [spec.name for spec in self.collect]
        averages = [w for w in dict.fromkeys(words) if w in ("ema", "swa")]
        if self.guard is not None and self.guard.of not in averages:
            known = " or ".join(averages) or "ema or swa, added under collect"
            raise RecipeError(
                f"guard.of is {self.guard.of!r}, which is no average under collect; "
                f"expected {known}"
            )


def _check_rates(trajectory: Trajectory) -> None:
    """Refuse a schedule that is no learning rate: below 0 the loss is climbed."""
    schedule = trajectory.schedule
    looked = {
        0,
        schedule.steps - 1,
        *range(0, schedule.steps, -(-schedule.steps // 64)),
    }
    looked |= {end - 1 for end in schedule.ends if 0 < end <= schedule.steps}
    low = min(looked, key=schedule)
    if schedule(low) < 0:
        raise ValueError(
            f"the learning rate is {schedule(low):g} at step {low}; expected 0 or more"
        )


def _numbered(trajectory: Trajectory, earlier: int) -> Trajectory:
    if not earlier:
        return trajectory
    suffix = f"-{earlier + 1}"
    return replace(
        trajectory,
        name=trajectory.name + suffix,
        group=trajectory.group + suffix,
    )


def _of(trajectory: Trajectory, fold: int) -> Trajectory:
    """The trajectory that does not see a fold; its seed and its group stay."""
    return replace(trajectory, name=f"{trajectory.name}-f{fold}", fold=fold)
