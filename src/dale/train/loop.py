"""The training loop, visible from top to bottom.

The loop owns the clock. `step` counts updates done; the rate, the order of the
examples, the augmentation and every other random draw are functions of the seed and
the step. After each update the collectors look at the weights. At a step that is
due, the state is saved first and members and log lines are derived from it after,
so that a process killed at any moment resumes to the same bytes.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer

from dale.data import Split
from dale.errors import Interrupted, NotFiniteError, TrainingError
from dale.factories import one_line
from dale.keys import key
from dale.train.batches import Batches
from dale.train.collect import Collector
from dale.train.engine import Engine
from dale.train.trajectory import Trajectory
from dale.weights import load_into, weights_of

# Reading a loss waits for the device: it is done after so many updates or seconds.
_FLUSH_STEPS, _FLUSH_SECONDS = 50, 0.25


@dataclass(frozen=True)
class Progress:
    """Where training stands, for whoever watches.

    Args:
        trajectory: Name of the trajectory.
        step: Updates done.
        steps: Updates in all.
        epoch: Epoch in progress, from 1.
        cycle: Cycle in progress, from 1; 0 when the schedule has none.
        loss: Mean training loss of the epoch so far.
        rate: Learning rate of the last update.
    """

    trajectory: str
    step: int
    steps: int
    epoch: int
    cycle: int
    loss: float
    rate: float


class Keeper(Protocol):
    """Keeps what a trajectory produces; the loop does not know folders."""

    def load(self) -> Mapping[str, Any] | None:
        """The last saved state, if any."""
        ...

    def due(self, seconds: float) -> bool:
        """Whether a state should be saved, this long after the last one."""
        ...

    def save(self, state: Mapping[str, Any]) -> None:
        """Save a state."""
        ...

    def log(self, record: Mapping[str, Any]) -> None:
        """Add a line to the log."""
        ...

    def members(
        self, taken: Sequence[tuple[Collector, int]], step: int, model: nn.Module
    ) -> None:
        """Take these members of these collectors, given the model's weights."""
        ...


@dataclass
class _Epoch:
    """Running sums over an epoch; losses are read from the device in bulk."""

    loss: float = 0.0
    wrong: int = 0
    examples: int = 0
    waiting: list[tuple[int, int, Tensor, Tensor]] = field(default_factory=list)

    def add(self, step: int, size: int, loss: Tensor, wrong: Tensor) -> None:
        self.waiting.append((step, size, loss, wrong))

    def flush(self, trajectory: Trajectory) -> None:
        if not self.waiting:
            return
        losses = torch.stack([entry[2] for entry in self.waiting]).tolist()
        wrongs = torch.stack([entry[3] for entry in self.waiting]).tolist()
        for (step, size, _, _), loss, wrong in zip(
            self.waiting, losses, wrongs, strict=True
        ):
            if loss - loss != 0.0:  # NaN or infinite
                rate = trajectory.schedule(step)
                raise NotFiniteError(trajectory.name, step, rate, loss)
            self.loss += loss * size
            self.wrong += wrong
            self.examples += size
        self.waiting.clear()


@dataclass
class Loop:
    """One trajectory, from its first update or its last checkpoint to its end.

    Args:
        trajectory: Schedule, seed and collectors.
        model: The network, on the engine's device.
        optimizer: Of the model's parameters.
        split: Training examples.
        classes: Number of classes.
        batch: Largest batch.
        engine: Device and precision.
        keeper: Where states, members and log lines go.
        evaluate: Scores of the model on held-out examples.
        augment: Batched augmentation of raw inputs, or None.
        label_smoothing: Share of the target spread over all classes.
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
    augment: Callable[[Tensor, torch.Generator], Tensor] | None = None
    label_smoothing: float = 0.0
    watch: Callable[[Progress], None] = lambda progress: None
    stop: Callable[[], bool] = lambda: False

    def run(self) -> None:
        """Train to the end.

        Raises:
            NotFiniteError: The loss became NaN or infinite.
            Interrupted: `stop` asked for it; the state is saved.
        """
        trajectory = self.trajectory
        self._batches = Batches(len(self.split), self.batch)
        self._collectors = trajectory.collectors()
        self._epoch = _Epoch()
        self._last_state = self._last_flush = time.monotonic()
        # before the resume: what is derived again must see the same precision
        call, optimizer = self.engine.prepare(self.model, self.optimizer)
        step = self._resume()
        per_epoch, targets_N = self._batches.per_epoch, self.split.targets_N
        order, ordered = None, -1
        while step < trajectory.steps:
            epoch, index = divmod(step, per_epoch)
            if epoch != ordered:
                order, ordered = self._batches.order(trajectory.seed, epoch), epoch
                self.model.train()
            assert order is not None
            start, end = self._batches.bounds(index)
            chosen = order[start:end]
            inputs = self._inputs(chosen, step)
            targets = self.engine.place(targets_N[chosen])
            rate = trajectory.schedule(step)
            for group in self.optimizer.param_groups:
                group["lr"] = rate

            self.engine.seed(key(trajectory.seed, "forward", step))
            logits = self._forward(call, inputs, step)
            loss = cross_entropy(logits, targets, label_smoothing=self.label_smoothing)
            optimizer.zero_grad()
            self.engine.backward(loss)
            self.engine.clip(self.model)
            optimizer.step()

            step += 1
            wrong = (logits.detach().argmax(dim=1) != targets).sum()
            self._epoch.add(step - 1, end - start, loss.detach(), wrong)
            self._after(step, rate)

    def _forward(
        self, call: Callable[[Tensor], Tensor], inputs: Tensor, step: int
    ) -> Tensor:
        where = f"{self.trajectory.name}: the model"
        try:
            logits = call(inputs)
        except Exception as cause:
            raise TrainingError(
                f"{where} failed at step {step} on inputs of "
                f"shape {tuple(inputs.shape)}: {one_line(cause)}"
            ) from cause
        expected = (len(inputs), self.classes)
        if not isinstance(logits, Tensor) or logits.shape != expected:
            found = getattr(logits, "shape", type(logits).__name__)
            raise TrainingError(
                f"{where} returned {_shape(found)} in training mode at step {step}; "
                f"expected {expected}"
            )
        if not logits.requires_grad:
            raise TrainingError(
                f"{where} returned logits without gradients at step {step}; expected "
                "them to depend on its parameters"
            )
        return logits

    def _inputs(self, chosen: Tensor, step: int) -> Tensor:
        if self.augment is None:
            return self.engine.place(self.split.batch(chosen))
        seed = key(self.trajectory.seed, "augment", step)
        generator = torch.Generator().manual_seed(seed)
        return self.engine.place(self.split.batch(chosen, self.augment, generator))

    def _after(self, step: int, rate: float) -> None:
        """Everything that may follow an update."""
        wanted = [c for c in self._collectors if c.wants(step)]
        emitted = any(c.emits(step) for c in self._collectors)
        ended = step % self._batches.per_epoch == 0 or step == self.trajectory.steps
        stopping = self.stop()
        now = time.monotonic()
        flushing = (
            wanted
            or emitted
            or ended
            or stopping
            or step % _FLUSH_STEPS == 0
            or now - self._last_flush > _FLUSH_SECONDS
        )
        if not flushing:
            return
        self._epoch.flush(self.trajectory)
        self._last_flush = now
        self._report(step, rate)
        for collector in wanted:
            collector.update(step, self.model.state_dict())
        if emitted or stopping or self.keeper.due(now - self._last_state):
            self._save(step)
        if emitted or ended:
            self._derive(step)
        if stopping and step < self.trajectory.steps:
            raise Interrupted(
                f"stopped {self.trajectory.name} after step {step} of "
                f"{self.trajectory.steps}"
            )

    def _derive(self, step: int) -> None:
        """Members and the log line of a step: a function of the state at it."""
        taken = [(c, index) for c in self._collectors for index in c.emits(step)]
        if taken:
            self.keeper.members(taken, step, self.model)
        per_epoch = self._batches.per_epoch
        if step % per_epoch == 0 or step == self.trajectory.steps:
            sums = self._epoch
            self.keeper.log(
                {
                    "trajectory": self.trajectory.name,
                    "epoch": -(-step // per_epoch),
                    "step": step,
                    "rate": self.trajectory.schedule(step - 1),
                    "train_loss": sums.loss / max(sums.examples, 1),
                    "train_error": sums.wrong / max(sums.examples, 1),
                    **{f"val_{n}": v for n, v in self.evaluate(self.model).items()},
                }
            )
            self._epoch = _Epoch()
        self.model.train()

    def _report(self, step: int, rate: float) -> None:
        schedule = self.trajectory.schedule
        self.watch(
            Progress(
                trajectory=self.trajectory.name,
                step=step,
                steps=self.trajectory.steps,
                epoch=-(-step // self._batches.per_epoch),
                cycle=schedule.cycle(step - 1) + 1 if schedule.ends else 0,
                loss=self._epoch.loss / max(self._epoch.examples, 1),
                rate=rate,
            )
        )

    def _save(self, step: int) -> None:
        sums = self._epoch
        self.keeper.save(
            {
                "step": step,
                "model": weights_of(self.model),
                "optimizer": self.optimizer.state_dict(),
                "collectors": [c.state() for c in self._collectors],
                "scaler": self.engine.scaler_state,
                "epoch": [sums.loss, sums.wrong, sums.examples],
            }
        )
        self._last_state = time.monotonic()

    def _resume(self) -> int:
        """Load the last state, if any, and derive again what belongs to it."""
        state = self.keeper.load()
        if state is None:
            return 0
        step = state["step"]
        load_into(self.model, state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.engine.load_scaler_state(state["scaler"])
        for collector, saved in zip(self._collectors, state["collectors"], strict=True):
            collector.load_state(saved)
        self._epoch = _Epoch(*state["epoch"])
        self._derive(step)
        return step


def _shape(found: object) -> object:
    return tuple(found) if isinstance(found, torch.Size) else found
