"""One update: microbatches forward and back, then one step of the optimiser."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor, nn

from dale.data import Augment, Split
from dale.errors import Elsewhere, InputError, TrainingError
from dale.factories import one_line
from dale.keys import key
from dale.train.batches import shares
from dale.train.engine import Engine
from dale.train.optimizers import Needs
from dale.train.seams import Batch, Objective
from dale.train.team import peer_lost


@dataclass(frozen=True)
class Updater:
    """Makes updates; which examples, and with which rate, others decide.

    Args:
        name: Of the trajectory, for messages.
        seed: Of every random draw.
        model: The network.
        call: The network as the engine wants it called.
        optimizer: As the engine wants it stepped.
        split: Training examples.
        classes: Number of classes.
        engine: Device, precision, processes and microbatches.
        objective: The loss of a microbatch.
        augment: Batched augmentation of raw inputs, or None.
        needs: What the optimiser asks of an update.
    """

    name: str
    seed: int
    model: nn.Module
    call: Callable[[Tensor], Tensor]
    optimizer: Any
    split: Split
    classes: int
    engine: Engine
    objective: Objective
    augment: Augment | None
    needs: Needs

    def check(self, smallest: int) -> None:
        """Refuse batches that cannot be shared out.

        Args:
            smallest: Examples in the smallest batch.

        Raises:
            InputError: There are more parts than examples, or the optimiser does not
                work in several processes.
        """
        parts = self.engine.parts
        alone = self.needs == "graph" or (
            self.needs == "closure" and self.engine.sharded
        )
        if alone and self.engine.team.size > 1:
            raise InputError(
                f"{self.name}: this optimiser needs the whole batch and all weights in "
                f"one process, got {self.engine.team.size} processes"
            )
        if smallest < parts:
            raise InputError(
                f"{self.name}: a batch of {smallest} examples cannot be cut into "
                f"{parts} parts ({self.engine.team.size} processes × "
                f"{self.engine.spec.accumulate} microbatches); expected a larger batch"
            )

    def __call__(self, rows_N: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """Make an update.

        Args:
            rows_N: Positions of the batch in the training split.
            step: Updates done so far.

        Returns:
            This process's share of the mean loss of the batch, and of its errors.
        """
        batches, found = self._batches(rows_N, step), []
        if self.needs == "gradient":
            found.append(self._gradient(batches, len(rows_N), step))
            self.optimizer.step()
            return found[0]

        def evaluate() -> Tensor:
            with torch.enable_grad():
                found.append(self._gradient(batches, len(rows_N), step))
            # all processes must take the same step
            return self.engine.team.sum(found[-1][0])

        def graph() -> Tensor:
            loss, *rest = self._loss(batches, len(rows_N), step)
            found.append((loss.detach(), *rest))
            return loss

        self.optimizer.step(evaluate if self.needs == "closure" else graph)
        return found[0]

    def _loss(
        self, batches: list[Batch], size: int, step: int
    ) -> tuple[Tensor, Tensor]:
        """The mean loss of the whole batch, with its graph, and the errors."""
        losses, wrongs = [], []
        for index, batch in enumerate(batches):
            loss, wrong = self._part(index, batch, size, step)
            losses.append(loss)
            wrongs.append(wrong)
        return torch.stack(losses).sum(), torch.stack(wrongs).sum()

    def _gradient(
        self, batches: list[Batch], size: int, step: int
    ) -> tuple[Tensor, Tensor]:
        """The gradient of the mean loss of the whole batch, part by part."""
        engine = self.engine
        self.optimizer.zero_grad()
        losses, wrongs = [], []
        for index, batch in enumerate(batches):
            with engine.apart(self.call, last=index == len(batches) - 1):
                loss, wrong = self._part(index, batch, size, step)
                self._backward(loss)
            losses.append(loss.detach())
            wrongs.append(wrong)
        engine.clip(self.model)
        if len(losses) == 1:
            return losses[0], wrongs[0]
        return torch.stack(losses).sum(), torch.stack(wrongs).sum()

    def _part(
        self, index: int, batch: Batch, size: int, step: int
    ) -> tuple[Tensor, Tensor]:
        """A microbatch's share of the mean loss, and its errors."""

        def call(inputs: Tensor) -> Tensor:
            return self._forward(inputs, step)

        self.engine.seed(self._forward_key(step, index))
        loss, logits_NC = self.objective(call, batch, step)
        if self.engine.parts > 1:
            loss = loss * (len(batch.rows_N) / size)
        return loss, (logits_NC.detach().argmax(dim=1) != batch.targets_N).sum()

    def _backward(self, loss: Tensor) -> None:
        size = self.engine.team.size
        if size == 1:
            self.engine.backward(loss)
            return
        try:
            # gradients are averaged over processes, and should be summed
            self.engine.backward(loss * size)
        except RuntimeError as error:
            if peer_lost(error):
                raise Elsewhere("another process ended") from error
            raise

    def _batches(self, rows_N: Tensor, step: int) -> list[Batch]:
        """This process's microbatches; draws depend on the whole batch alone."""
        engine, split = self.engine, self.split
        targets_N = split.targets_N[rows_N]
        bounds = shares(len(rows_N), engine.parts)[engine.mine]
        whole = cache(partial(self._augmented, rows_N, step))
        batches = []
        for start, end in bounds:
            if self.augment is None:
                inputs = engine.place(split.batch(rows_N[start:end]))
                again = partial(_same, inputs)
            else:
                inputs = engine.place(whole()[start:end])
                again = partial(self._again, whole, start, end)
            targets, rows = engine.place(targets_N[start:end]), rows_N[start:end]
            batches.append(Batch(inputs, targets, rows, again, rows_N, start))
        return batches

    def _augmented(self, rows_N: Tensor, step: int, *more: str) -> Tensor:
        """The whole batch, by draws for this step."""
        seed = key(self.seed, "augment", step, *more)
        generator = torch.Generator().manual_seed(seed)
        return self.split.batch(rows_N, self.augment, generator)

    def _again(self, whole: Callable[..., Tensor], start: int, end: int) -> Tensor:
        return self.engine.place(whole("again")[start:end])

    def _forward_key(self, step: int, index: int) -> int:
        # the same draws for the same number of parts, whoever makes them
        if self.engine.parts == 1:
            return key(self.seed, "forward", step)
        return key(self.seed, "forward", step, self.engine.mine.start + index)

    def _forward(self, inputs: Tensor, step: int) -> Tensor:
        where = f"{self.name}: the model"
        try:
            logits = self.call(inputs)
        except Exception as cause:
            if peer_lost(cause):
                raise Elsewhere("another process ended") from cause
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


def _same(inputs: Tensor) -> Tensor:
    return inputs


def _shape(found: object) -> object:
    return tuple(found) if isinstance(found, torch.Size) else found
