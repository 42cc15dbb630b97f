"""A trajectory under way: what is noted, taken, scored and logged after an update.

Nothing here makes an update or saves a state. `Loop` does both for one trajectory;
members that are trained at once share them, and each has the rest of its own.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn
from torch.optim import Optimizer

from dale.data import Augment, Split
from dale.train.collect import AverageCollector
from dale.train.engine import Engine
from dale.train.guard import Guard
from dale.train.optimizers import Needs
from dale.train.outlets import Keeper, Progress
from dale.train.pace import Clock
from dale.train.plateau import Plateau
from dale.train.seams import Seams
from dale.train.sums import EpochSums
from dale.train.trajectory import Trajectory
from dale.weights import Weights, load_into, weights_of


@dataclass
class Track:
    """One trajectory, at any of its steps.

    Args:
        trajectory: Schedule, seed and collectors.
        model: The network, as `Engine.place_model` gave it.
        optimizer: Of the model's parameters.
        split: Training examples.
        classes: Number of classes.
        batch: Largest batch.
        per_epoch: Updates of an epoch, after which it is scored and logged; those of
            one pass over the examples unless given.
        engine: Device, precision and processes.
        keeper: Where states, members and log lines go.
        evaluate: Scores of the model on held-out examples.
        augment: Batched augmentation of raw inputs, or None.
        label_smoothing: Share of the target spread over all classes.
        seconds: What all of it may take, see `Pace`, or None.
        clock: Seconds, from any origin.
        plateau: Lowers the rate when the score stands still, or None.
        guard: Watches for over-fitting, or None.
        needs: What the optimiser asks of an update.
        seams: What else is done in an update.
        whole: An unsharded twin of the model in the first process, where the model
            is sharded.
        watch: Called now and then with the progress.
        stop: Asked after each update whether to stop.
    """

    trajectory: Trajectory
    model: nn.Module
    optimizer: Optimizer
    split: Split
    classes: int
    batch: int
    engine: Engine
    keeper: Keeper
    evaluate: Callable[[nn.Module], Mapping[str, float]]
    per_epoch: int | None = None
    augment: Augment | None = None
    label_smoothing: float = 0.0
    seconds: float | None = None
    clock: Clock = time.monotonic
    plateau: Plateau | None = None
    guard: Guard | None = None
    needs: Needs = "gradient"
    seams: Seams = field(default_factory=Seams)
    whole: nn.Module | None = None
    watch: Callable[[Progress], None] = lambda progress: None
    stop: Callable[[], bool] = lambda: False

    def _open(self) -> None:
        """Nothing is done yet."""
        self._batches = self.trajectory.batches(self.split, self.batch)
        self._per_epoch = self.per_epoch or self._batches.per_epoch
        self._collectors = self.trajectory.collectors()
        self._sums = EpochSums()
        self._processes: list[list[int]] = []
        self._stopped: int | None = None
        self._scored: tuple[int, Mapping[str, float]] = (-1, {})
        self._spent, self._ended, self._begun = 0.0, False, self.clock()

    def _observe(self, step: int, before: int) -> None:
        """What collectors, plateau and guard take note of."""
        passed = range(before + 1, step + 1)
        wanted = [c for c in self._collectors if any(map(c.wants, passed))]
        if wanted:
            self._collect(wanted, step)
        if self._ended:
            self._judge(step)

    def _collect(self, wanted: list[Any], step: int) -> None:
        """Show the collectors the weights; they are kept in the first process."""
        weights: Weights = self.engine.whole(self.model.state_dict())
        if self.engine.team.first:
            for collector in wanted:
                collector.update(step, weights)

    def _judge(self, step: int) -> None:
        """Scores of an epoch for those that keep them; perhaps the last one."""
        judges = [c for c in self._collectors if c.judges]
        if self.guard is None and self.plateau is None and not judges:
            return
        self._sums.flush(self.trajectory, self.engine.team.sum)
        model, stop = self._whole(), False
        if self.engine.team.first:
            scores = self._scores(step, model)
            for collector in judges:
                collector.judge(step, scores, weights_of(model))
            if self.plateau is not None:
                self.plateau.note(scores)
            if self.guard is not None:
                average = self._scores_of_average(self.guard.spec.of, model)
                stop = self.guard.note(self._sums.mean_loss, scores, average)
        if self.plateau is not None:  # the first process has the lowest factor
            self.plateau.scale = -self.engine.team.most(-self.plateau.scale)[0]
        if self.engine.team.most(stop)[0] and step < self.trajectory.steps:
            self._stop(step)

    def _scores(self, step: int, model: nn.Module) -> Mapping[str, float]:
        """Of the live weights, computed once for a step."""
        if self._scored[0] != step:
            self._scored = step, self.evaluate(model)
        return self._scored[1]

    def _scores_of_average(self, word: str, model: nn.Module) -> Mapping[str, float]:
        """Of the collector with this name, once it has a model."""
        (collector,) = [c for c in self._collectors if c.added == word]
        assert isinstance(collector, AverageCollector), "the recipe has checked it"
        return self.keeper.score_member(collector, 1, model) if collector.models else {}

    def _stop(self, step: int) -> None:
        """Let the trajectory end here."""
        self._stopped = step
        for collector in self._collectors:
            collector.cut(step)

    def _derive(self, step: int) -> None:
        """Members and the log line of a step: a function of the state at it."""
        model = self._whole()
        taken = [(c, index) for c in self._collectors for index in c.emits(step)]
        if taken and self.engine.team.first:
            self.keeper.members(taken, step, model)
        if self._ended:
            if self.engine.team.first:
                self.keeper.log(self._record(step, model))
            self._sums = EpochSums()
        self.model.train()

    def _record(self, step: int, model: nn.Module) -> dict[str, Any]:
        """The log line of an epoch."""
        sums = self._sums
        return {
            "trajectory": self.trajectory.name,
            "epoch": -(-step // self._per_epoch),
            "step": step,
            "rate": self._rate(step),
            "train_loss": sums.mean_loss,
            "train_error": sums.error,
            **{f"val_{n}": v for n, v in self._scores(step, model).items()},
            **(self.guard.record() if self.guard is not None else {}),
            **({} if self.seconds is None else {"examples": sums.examples}),
            **({"stopped": True} if self._stopped == step else {}),
            **{n: v for said in self.seams.records for n, v in said().items()},
            **self._team_record(),
        }

    def _team_record(self) -> dict[str, int]:
        """How many processes trained, where it was ever more than one."""
        if all(size == 1 for _, size in self._processes):
            return {}
        return {"processes": self._processes[-1][1]}

    def _whole(self) -> nn.Module:
        """The network to score and to take members from; in the first process."""
        if not self.engine.sharded:
            return self.model
        weights = self.engine.whole(self.model.state_dict())
        if self.whole is None:
            return self.model
        load_into(self.whole, weights)
        return self.whole

    def _rate(self, step: int) -> float:
        """Of the last of so many updates."""
        used = self.plateau.used if self.plateau is not None else 1.0
        return self.trajectory.schedule(step - 1) * used

    def _watched(self) -> dict[str, Any]:
        """What is known of the scores so far."""
        return {
            "guard": self.guard.state() if self.guard is not None else {},
            "plateau": self.plateau.state() if self.plateau is not None else {},
        }

    def _load_watched(self, state: Mapping[str, Any]) -> None:
        if self.guard is not None:
            self.guard.load_state(state["guard"])
        if self.plateau is not None:
            self.plateau.load_state(state["plateau"])
