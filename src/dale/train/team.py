"""The processes that train one run together, and what they agree on.

The first process alone writes and scores; what decides the course of training is
agreed on by all. A process started on its own is a team of one, for whom none of
this costs anything.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from dale.errors import Elsewhere

T = TypeVar("T")
_ANSWER = timedelta(seconds=5)
_CPU = torch.device("cpu")


def first_process() -> bool:
    """Whether this is the process that writes; without waiting for the others."""
    return int(os.environ.get("RANK", "0")) == 0


def first_to_speak() -> bool:
    """Whether no other process of the team has reported an error yet."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return True
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    try:
        store = dist.TCPStore(
            os.environ["MASTER_ADDR"],
            int(os.environ["MASTER_PORT"]),
            is_master=False,
            timeout=_ANSWER,
        )
        return store.add(f"dale/error/{attempt}", 1) == 1
    except (RuntimeError, KeyError, ValueError):
        return True  # better said twice than not at all


@dataclass(frozen=True)
class Team:
    """The processes of a run.

    Args:
        rank: Of this process.
        size: Number of processes.
        device: Where tensors are exchanged.

    Example:
        >>> team = Team()
        >>> team.first, team.sum(torch.ones(2)), team.lead(lambda: "done")
        (True, tensor([1., 1.]), 'done')
    """

    rank: int = 0
    size: int = 1
    device: torch.device = _CPU

    @property
    def first(self) -> bool:
        """Whether this process writes."""
        return self.rank == 0

    def sum(self, values: Tensor) -> Tensor:
        """The sum of a tensor over all processes."""
        return self._reduced(values.clone(), dist.ReduceOp.SUM)

    def most(self, *values: float) -> list[float]:
        """The largest value over all processes, number by number."""
        if self.size == 1:
            return list(values)
        tensor = torch.tensor(values, dtype=torch.float64, device=self.device)
        return self._reduced(tensor, dist.ReduceOp.MAX).tolist()

    def lead(self, work: Callable[[], T]) -> T | None:
        """Let the first process do something while the others wait.

        Args:
            work: What it does.

        Returns:
            What it gives, and None in the others.

        Raises:
            Elsewhere: It failed; the first process raises the error itself.
        """
        if self.size == 1:
            return work()
        found, error = None, None
        if self.first:
            try:
                found = work()
            except BaseException as caught:
                error = caught
        failed = self.most(float(error is not None))[0] > 0
        if error is not None:
            raise error
        if failed:
            raise Elsewhere("the first process failed")
        return found

    def _reduced(self, values: Tensor, how: dist.ReduceOp.RedOpType) -> Tensor:
        if self.size > 1:
            try:
                dist.all_reduce(values, how)
            except RuntimeError as error:
                raise Elsewhere("another process ended") from error
        return values


def peer_lost(error: BaseException) -> bool:
    """Whether an exchange of gradients failed because another process ended."""
    backend = isinstance(error, dist.DistError) or "gloo" in str(error)
    return isinstance(error, RuntimeError) and backend
