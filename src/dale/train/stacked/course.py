"""Trains the members of a stack from their first update, or the last saved state."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dale.errors import Interrupted
from dale.train.batches import Batches
from dale.train.outlets import Progress
from dale.train.pulse import Pulse
from dale.train.stacked.held import HeldKeeper
from dale.train.stacked.seat import Seat
from dale.train.stacked.update import StackedUpdater


@dataclass
class Course:
    """All members of a stack, step by step.

    One state holds all of them, at one step: whatever moment the process is killed
    at, they go on together.

    Args:
        seats: The members, in the order of the run.
        keepers: Theirs.
        update: Makes their updates.
        batches: How an epoch is cut.
        due: Whether a state should be saved, so many seconds after the last.
        save: Saves a state.
        before_step: Called with the number of updates done, before each update.
        watch: Called now and then with the progress.
        stop: Asked after each update whether to stop.
    """

    seats: Sequence[Seat]
    keepers: Sequence[HeldKeeper]
    update: StackedUpdater
    batches: Batches
    due: Callable[[float], bool]
    save: Callable[[Mapping[str, Any]], None]
    before_step: Sequence[Callable[[int], None]] = ()
    watch: Callable[[Progress], None] = lambda progress: None
    stop: Callable[[], bool] = lambda: False

    @property
    def steps(self) -> int:
        """Updates of the longest trajectory."""
        return max(seat.trajectory.steps for seat in self.seats)

    def run(self, state: Mapping[str, Any] | None) -> None:
        """Train to the end; members and log lines are left with the keepers.

        Args:
            state: The last one saved, if any.

        Raises:
            TrainingError: A loss or a member's weights became NaN or infinite.
            Interrupted: `stop` asked for it; the state is saved.
        """
        for seat in self.seats:
            seat.open()
        pulse = Pulse(self.update.engine.team, self.stop, self.due)
        self._waiting: list[tuple[int, int, Tensor, Tensor]] = []
        step = self._load(state) if state is not None else 0
        orders_MN, ordered = torch.empty(0, dtype=torch.int64), -1
        while step < self.steps:
            epoch, index = divmod(step, self.batches.per_epoch)
            if epoch != ordered:
                orders_MN = torch.stack([seat.order(epoch) for seat in self.seats])
                ordered = epoch
            start, end = self.batches.bounds(index)
            rates = [seat.rate(step) for seat in self.seats]
            for hook in self.before_step:
                hook(step)
            found = self.update(orders_MN[:, start:end], step, rates)
            self._waiting.append((step, end - start, *found))
            step += 1
            self._after(step, pulse)

    def _after(self, step: int, pulse: Pulse) -> None:
        stirred = [seat for seat in self.seats if seat.stirs(step)]
        last = step == self.steps
        look = pulse.look(step, forced=bool(stirred))
        if look is None:
            return
        self._flush()
        for seat in stirred:
            seat.after(step)
        self._report(step)
        if last or look.stopping or look.due:
            self._save(step)
            pulse.saved()
        if look.stopping and not last:
            name = self.update.name
            raise Interrupted(f"stopped {name} after step {step} of {self.steps}")

    def _flush(self) -> None:
        """Read the losses that wait on the device."""
        if not self._waiting:
            return
        losses = torch.stack([entry[2] for entry in self._waiting]).tolist()
        wrongs = torch.stack([entry[3] for entry in self._waiting]).tolist()
        for (step, size, _, _), losses_M, wrongs_M in zip(
            self._waiting, losses, wrongs, strict=True
        ):
            for seat, loss, wrong in zip(self.seats, losses_M, wrongs_M, strict=True):
                seat.note(step, size, loss, wrong)
        self._waiting.clear()

    def _report(self, step: int) -> None:
        seats, first = self.seats, self.seats[0]
        done = min(step, first.trajectory.steps)
        schedule = first.trajectory.schedule
        self.watch(
            Progress(
                trajectory=self.update.name,
                step=sum(min(step, seat.trajectory.steps) for seat in seats),
                steps=sum(seat.trajectory.steps for seat in seats),
                epoch=-(-step // self.batches.per_epoch),
                cycle=schedule.cycle(done - 1) + 1 if schedule.ends else 0,
                loss=sum(seat.loss for seat in seats) / len(seats),
                rate=schedule(done - 1),
            )
        )

    def _save(self, step: int) -> None:
        self.save(
            {
                "step": step,
                "tensors": self.update.stack.tensors(),
                "optimizer": self.update.optimizer.state_dict(),
                "seats": [seat.memory() for seat in self.seats],
                "held": [keeper.state() for keeper in self.keepers],
            }
        )

    def _load(self, state: Mapping[str, Any]) -> int:
        for name, tensor in self.update.stack.tensors().items():
            tensor.detach().copy_(state["tensors"][name])
        self.update.optimizer.load_state_dict(state["optimizer"])
        for seat, memory in zip(self.seats, state["seats"], strict=True):
            seat.remember(memory)
        for keeper, held in zip(self.keepers, state["held"], strict=True):
            keeper.load_state(held)
        return state["step"]


def state_path(folder: Path, name: str) -> Path:
    """Where a stack's state is kept while it is trained.

    Example:
        >>> state_path(Path("run"), "independent").as_posix()
        'run/state/independent.stacked.safetensors'
    """
    return folder / "state" / f"{name}.stacked.safetensors"
