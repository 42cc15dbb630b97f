"""The training loop, visible from top to bottom.

The loop owns the clock. `step` counts updates done; the rate, the order of the
examples, the augmentation and every other random draw are functions of the seed and
the step. After each update the collectors look at the weights. At a step that is
due, the state is saved first and members and log lines are derived from it after,
so that a process killed at any moment resumes to the same bytes.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from dale.errors import Interrupted, TrainingError
from dale.train import sharding
from dale.train.outlets import Progress
from dale.train.pace import Pace
from dale.train.pulse import Pulse
from dale.train.seams import classification
from dale.train.sums import EpochSums
from dale.train.track import Track
from dale.train.update import Updater
from dale.weights import weights_of


class Loop(Track):
    """One trajectory, from its first update or its last checkpoint to its end.

    Its arguments are those of `Track`, whose methods follow each update.
    """

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

    def _agree(self, step: int) -> None:
        """Refuse to go on from different states."""
        most, least = self.engine.team.most(step, -step)
        if most != -least:
            raise TrainingError(
                f"{self.trajectory.name}: the processes found states of step "
                f"{-least:.0f} and of step {most:.0f}; expected a run folder on a disk "
                "that all of them see"
            )
