"""One tensor of a result: what it is made from, and how.

A merge is a list of jobs. Who writes the list, `dale.merge.merge` or a reader of
configurations, decides for every tensor on its own what goes in, by which method, with
which settings. Shape suffix: K, models.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Generator, Tensor

from dale.errors import WeightsError
from dale.keys import key
from dale.merge.blocks import pieces_of, spans
from dale.merge.method import Method, parameters
from dale.merge.moments import STATISTICS
from dale.merge.table import METHODS
from dale.merge.threads import READING, side_by_side
from dale.weights import Entry, Weights, entry_of
from dale.weights.match import is_inexact, listing


@dataclass(frozen=True)
class Source:
    """One tensor of one model, read when it is asked for.

    Attributes:
        weights: The model.
        name: Its name for the tensor.

    Example:
        >>> source = Source({"w": torch.ones(2)}, "w")
        >>> source.shape, source.dtype, source.read()
        ((2,), torch.float32, tensor([1., 1.]))
    """

    weights: Weights
    name: str

    @property
    def entry(self) -> Entry:
        """Shape, type, role and tie; weights in files are not read."""
        return entry_of(self.weights, self.name)

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of every axis."""
        return self.entry.shape

    @property
    def dtype(self) -> torch.dtype:
        """Element type."""
        return self.entry.dtype

    def read(self) -> Tensor:
        """The tensor."""
        return self.weights[self.name]


@dataclass(frozen=True)
class Job:
    """One tensor of a result.

    Attributes:
        name: In the result.
        sources_K: The same tensor of every model, in their order.
        base: That of the base, for methods that take one.
        method: A row of `dale.merge.METHODS`, not of scope ``"model"``, or of
            `dale.merge.moments.STATISTICS`.
        settings: Of the row's function and its measure, for this tensor.
        shape: Of the result.
        dtype: Of the result. Integers and Booleans are carried from the first model as
            they are.
        cast: Type to which floating-point inputs are cast beforehand, if any.
        ties: Other names in the result that share the tensor.

    Example:
        >>> sources = [Source({"w": torch.full((2,), v)}, "w") for v in (1.0, 3.0)]
        >>> job = Job("w", tuple(sources), None, "linear", {}, (2,), torch.bfloat16)
        >>> [(job.name, tensor) for job, tensor in run_jobs([job])]
        [('w', tensor([2., 2.], dtype=torch.bfloat16))]
    """

    name: str
    sources_K: tuple[Source, ...]
    base: Source | None
    method: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    shape: tuple[int, ...] = ()
    dtype: torch.dtype = torch.float32
    cast: torch.dtype | None = None
    ties: tuple[str, ...] = ()

    @property
    def row(self) -> Method:
        """The row of the method."""
        found = STATISTICS.get(self.method)
        return METHODS[self.method] if found is None else found

    @property
    def names(self) -> tuple[str, ...]:
        """All names in the result."""
        return self.name, *self.ties

    @property
    def nbytes(self) -> int:
        """Size of the result."""
        return torch.Size(self.shape).numel() * self.dtype.itemsize

    def tensors(self) -> list[Tensor]:
        """Those of the models, and that of the base last, cast if the job says so."""
        sources = [*self.sources_K, *([] if self.base is None else [self.base])]
        return [_cast(source.read().detach(), self.cast) for source in sources]

    def generator(self, seed: int, k: int) -> Generator:
        """For what is drawn for one model.

        It depends on the names in the result, not on order, shards or threads.
        """
        purpose = key(seed, self.method, min(self.names), k)
        return Generator().manual_seed(purpose)


def run_jobs(
    jobs: Sequence[Job], seed: int = 0, threads: int | None = None
) -> Iterator[tuple[Job, Tensor]]:
    """Do jobs in memory.

    Args:
        jobs: Checked; see `dale.merge.engine.check`.
        seed: Of methods that draw at random.
        threads: How many jobs are done at a time; as many as PyTorch uses if None.
            The result does not depend on it.

    Yields:
        Each job and its tensor, in the order given.

    Raises:
        WeightsError: Kinds differ, a complex tensor that the method cannot merge, or a
            file that cannot be read.
    """
    run = runner(jobs, seed)
    yield from zip(jobs, side_by_side(partial(_whole, run), jobs, threads), strict=True)


def runner(jobs: Sequence[Job], seed: int) -> Callable[[Job], Iterator[Tensor]]:
    """A function that does one job, and gives the result in flat pieces, in order.

    Methods of scope ``"global"`` measure now, over all jobs of one method with the same
    settings.
    """
    measured: dict[str, list[Any]] = {}
    for job in jobs:
        if job.row.measure is not None and (kind := _kind(job)) not in measured:
            alike = [other for other in jobs if _kind(other) == kind]
            own = _chosen(job.settings, job.row.measure)
            measured[kind] = [job.row.measure(partial(_walk, alike), **own)]

    def run(job: Job) -> Iterator[Tensor]:
        try:
            for piece in _merged(job, seed, measured.get(_kind(job), [])):
                yield piece.to(job.dtype) if is_inexact(piece) else piece
        except WeightsError as error:
            raise WeightsError(f"{job.name!r}: {error}") from None

    return run


def _whole(run: Callable[[Job], Iterator[Tensor]], job: Job) -> Tensor:
    result: Tensor | None = None
    done = 0
    for piece in run(job):
        if result is None:
            result = torch.empty(job.shape, dtype=piece.dtype, device=piece.device)
        result.view(-1)[done : done + len(piece)] = piece
        done += len(piece)
    assert result is not None
    return result


def _kind(job: Job) -> str:
    if job.row.measure is None:
        return ""
    return f"{job.method} {sorted(_chosen(job.settings, job.row.measure).items())!r}"


def _chosen(settings: Mapping[str, Any], function: Callable[..., Any]) -> dict:
    return {n: settings[n] for n in parameters(function) if n in settings}


def _merged(job: Job, seed: int, measured: list[Any]) -> Iterator[Tensor]:
    with READING:
        tensors = job.tensors()
    count = len(job.sources_K)
    tensors_K, base = tensors[:count], tensors[count:]
    inexact = {is_inexact(tensor) for tensor in tensors}
    if len(inexact) > 1:
        kinds = listing(str(tensor.dtype) for tensor in tensors)
        raise WeightsError(f"floating-point in one model and not in all: {kinds}")
    _refuse_complex(job, tensors)
    # exact where nothing was trained, and no −∞ − (−∞) in masks
    same = base and all(_same(tensor, base[0]) for tensor in tensors_K)
    if same or not inexact.pop():
        yield from _carried(tensors[0])
        return
    arguments: list[Any] = [*base]
    if not job.row.deterministic:
        arguments.append([job.generator(seed, k) for k in range(count)])
    own = _chosen(job.settings, job.row.function)
    pieces = pieces_of(job.row.function)
    if pieces is not None:
        yield from pieces(tensors_K, *arguments, *measured, **own)
        return
    result = job.row.function(tensors_K, *arguments, *measured, **own)
    del tensors, tensors_K, base, arguments
    yield from _carried(result)


def _carried(tensor: Tensor) -> Iterator[Tensor]:
    row = tensor.reshape(-1)
    return (row[place] for place in spans(len(row)))


def _walk(jobs: Sequence[Job]) -> Iterator[tuple[Sequence[Tensor], Tensor]]:
    for job in jobs:
        tensors = job.tensors()
        if is_inexact(tensors[0]):
            _refuse_complex(job, tensors, f"{job.name!r}: ")
            yield tensors[:-1], tensors[-1]


def _refuse_complex(job: Job, tensors: Sequence[Tensor], where: str = "") -> None:
    if not job.row.complex and any(tensor.is_complex() for tensor in tensors):
        raise WeightsError(f"{where}{job.method} cannot merge complex tensors")


def _cast(tensor: Tensor, dtype: torch.dtype | None) -> Tensor:
    return tensor if dtype is None or not is_inexact(tensor) else tensor.to(dtype)


def _same(first: Tensor, second: Tensor) -> bool:
    return first.dtype == second.dtype and torch.equal(first, second)
