"""The training loop, visible from top to bottom.

The loop owns the clock. `step` counts updates done; the rate, the order of the
examples, the augmentation and every other random draw are functions of the seed and
the step. After each update the collectors look at the weights. At a step that is
due, the state is saved first and members and log lines are derived from it after,
so that a process killed at any moment resumes to the same bytes.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from dale.data import Augment, Split
from dale.errors import Interrupted, TrainingError
from dale.train import sharding
from dale.train.collect import AverageCollector
from dale.train.engine import Engine
from dale.train.guard import Guard
from dale.train.optimizers import Needs
from dale.train.outlets import Keeper, Progress
from dale.train.pace import Clock, Pace
from dale.train.plateau import Plateau
from dale.train.pulse import Pulse
from dale.train.seams import Seams, classification
from dale.train.sums import EpochSums
from dale.train.trajectory import Trajectory
from dale.train.update import Updater
from dale.weights import Weights, load_into, weights_of


@dataclass
class Loop:
    """One trajectory, from its first update or its last checkpoint to its end.

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

    def run(self) -> float:
        """Train to the end.

        Returns:
            Seconds that it took, those before a resume too.

        Raises:
            NotFiniteError: The loss became NaN or infinite.
            Interrupted: `stop` asked for it; the state is saved.
        """
        trajectory, seams = self.trajectory, self.seams
        self._open()
        # before the resume: what is derived again must see the same precision
        update = self._updater()
        update.check(self._batches.smallest)
        self._pulse = Pulse(self.engine.team, self.stop, self.keeper.due)
        step = done = self._resume()
        self._pace = self._paced()
        rows_N = trajectory.rows(len(self.split))
        order, ordered = None, -1
        while step < (self._stopped or trajectory.steps):
            turn, index = divmod(step, self._batches.per_epoch)
            if turn != ordered:
                order, ordered = self._batches.order(trajectory.seed, turn), turn
                order = order if rows_N is None else rows_N[order]
                self.model.train()
            assert order is not None
            start, end = self._batches.bounds(index)
            for group in self.optimizer.param_groups:
                group["lr"] = trajectory.schedule(step)
            if self.plateau is not None:
                self.plateau.apply(self.optimizer)
            for hook in seams.before_step:
                hook(step)
            loss, wrong = update(order[start:end], step)
            step += 1
            for hook in seams.after_step:
                hook(step)
            unknown = self._unknown(order[start:end])
            self._sums.add(step - 1, end - start, unknown, loss, wrong)
            self._ended = step // self._per_epoch > done // self._per_epoch
            self._ended = self._ended or step == trajectory.steps
            self._after(step, done)
            done, step = step, self._pace.following(step)
        return self._taken()

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

    def _unknown(self, rows_N: Tensor) -> int:
        """How many of these have no label."""
        if self._batches.labelled is None:
            return 0
        return int((rows_N >= self._batches.labelled).sum())

    def _taken(self) -> float:
        return self._spent + self.clock() - self._begun

    def _paced(self) -> Pace:
        """The pace of what is left."""
        steps = self.trajectory.steps
        if self.seconds is None:
            return Pace(steps, (steps,))
        every = range(1, steps)
        pinned = [s for s in every if any(c.emits(s) for c in self._collectors)]
        left = self.seconds - self._spent
        return Pace(steps, [*pinned, steps], left, self.clock)

    def _updater(self) -> Updater:
        call, optimizer = self.engine.prepare(self.model, self.optimizer)
        return Updater(
            name=self.trajectory.name,
            seed=self.trajectory.seed,
            model=self.model,
            call=call,
            optimizer=optimizer,
            split=self.split,
            classes=self.classes,
            engine=self.engine,
            objective=self.seams.objective or classification(self.label_smoothing),
            augment=self.augment,
            needs=self.needs,
        )

    def _after(self, step: int, before: int) -> None:
        """Everything that may follow an update, and what was left out before it."""
        self._observe(step, before)
        emitted = any(c.emits(step) for c in self._collectors)
        look = self._pulse.look(step, emitted or self._ended)
        if look is None:
            return
        if self.seconds is not None:
            stride = self._pace.look(step) if self.engine.team.first else 1.0
            (self._pace.stride,) = self.engine.team.most(stride)
        self._sums.flush(self.trajectory, self.engine.team.sum)
        self._report(step)
        if emitted or look.stopping or look.due:
            self._save(step)
        if emitted or self._ended:
            self._derive(step)
        if look.stopping and step < (self._stopped or self.trajectory.steps):
            raise Interrupted(
                f"stopped {self.trajectory.name} after step {step} of "
                f"{self.trajectory.steps}"
            )

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

    def _report(self, step: int) -> None:
        schedule = self.trajectory.schedule
        self.watch(
            Progress(
                trajectory=self.trajectory.name,
                step=step,
                steps=self.trajectory.steps,
                epoch=-(-step // self._per_epoch),
                cycle=schedule.cycle(step - 1) + 1 if schedule.ends else 0,
                loss=self._sums.mean_loss,
                rate=self._rate(step),
            )
        )

    def _save(self, step: int) -> None:
        engine, sums = self.engine, self._sums
        if engine.team.first or engine.sharded:
            # copies are made by one process; shards are gathered by all
            live = self.model.state_dict() if engine.sharded else weights_of(self.model)
            state = {
                "step": step,
                "model": engine.whole(live),
                "optimizer": engine.whole(self.optimizer.state_dict()),
                "collectors": [c.state() for c in self._collectors],
                "carried": {n: c.state() for n, c in self.seams.carried.items()},
                **self._watched(),
                "stopped": self._stopped,
                "ended": self._ended,
                "seconds": self._taken(),
                "scaler": engine.scaler_state,
                "epoch": [sums.loss, sums.wrong, sums.examples, sums.labelled],
                "processes": self._processes,
            }
            if engine.team.first:
                self.keeper.save(state)
        self._pulse.saved()

    def _resume(self) -> int:
        """Load the last state, if any, and derive again what belongs to it."""
        state = self.keeper.load()
        step = state["step"] if state is not None else 0
        self._agree(step)
        if state is not None:
            self._load(state)
            self._derive(step)
            self._ended = False
        now = self.engine.team.size
        if not self._processes or self._processes[-1][1] != now:
            self._processes = [*self._processes, [step, now]]
        return step

    def _load(self, state: Mapping[str, Any]) -> None:
        engine = self.engine
        engine.load_weights(self.model, state["model"])
        optimizer = state["optimizer"]
        if engine.sharded:
            groups = self.optimizer.param_groups
            parameters = [p for group in groups for p in group["params"]]
            optimizer = sharding.optimizer_state(optimizer, parameters)
        self.optimizer.load_state_dict(optimizer)
        engine.load_scaler_state(state["scaler"])
        if engine.team.first:
            saved = zip(self._collectors, state["collectors"], strict=True)
            for collector, carried in saved:
                collector.load_state(carried)
        for name, carried in self.seams.carried.items():
            carried.load_state(state["carried"][name])
        self._load_watched(state)
        ended = state["step"] % self._per_epoch == 0
        self._ended, self._spent = state.get("ended", ended), state.get("seconds", 0.0)
        if state.get("stopped") is not None:
            self._stop(state["stopped"])
        self._sums = EpochSums(*state["epoch"])
        self._processes = [list(entry) for entry in state["processes"]]

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

    def _agree(self, step: int) -> None:
        """Refuse to go on from different states."""
        most, least = self.engine.team.most(step, -step)
        if most != -least:
            raise TrainingError(
                f"{self.trajectory.name}: the processes found states of step "
                f"{-least:.0f} and of step {most:.0f}; expected a run folder on a disk "
                "that all of them see"
            )
