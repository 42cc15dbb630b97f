"""After a merge: the files that were written, held against what they were made of."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from torch import Tensor

from dale.merge.compare import Seen, Sums
from dale.merge.job import Job, Source
from dale.merge.moments import STATISTICS
from dale.merge.soundness import Soundness, concluded
from dale.merge.threads import READING, side_by_side
from dale.weights import Weights, open_weights

SAMPLE = 1 << 12
"""Elements of a tensor that are compared after every merge, at most."""


@dataclass(frozen=True)
class Checked:
    """What was found about the result of jobs.

    Attributes:
        found: The figures, and a verdict in words.
        models: What the inputs are called, in the order of the figures.
        base: What their common ancestor is called, if they have one.
        carried: Names of integers and complex tensors, which are not compared.
    """

    found: Soundness
    models: tuple[str, ...]
    base: str | None
    carried: tuple[str, ...] = ()


def check_jobs(
    jobs: Sequence[Job],
    result: str | Path | Weights,
    labels: Mapping[int, str] | None = None,
    *,
    sample: int = SAMPLE,
    watch: Callable[[int, int], None] | None = None,
) -> Checked:
    """Hold a result against what jobs made it from, tensor by tensor.

    Every tensor is compared with its own sources, whatever their models call it: with
    the layers that a slice took, with rows in the order of the new vocabulary, with
    the product of an adapter. A model that has no part in a tensor has none in its
    figures.

    Args:
        jobs: All of the result.
        result: Where it is, or its tensors.
        labels: What the models are called, by the identity of their weights.
        sample: Elements of a tensor that are compared, at most; all are searched for
            NaN and infinities, of the inputs only where what is not finite in one
            may be lost on the way.
        watch: Called now and then with the bytes done and the bytes there are.

    Returns:
        What `dale.merge.check` measures on weights.

    Raises:
        WeightsError: A file cannot be read.

    Example:
        >>> import torch
        >>> pair = [{"w": torch.full((2,), value)} for value in (1.0, 3.0)]
        >>> sources = tuple(Source(weights, "w") for weights in pair)
        >>> job = Job("mean", sources, None, "linear", shape=(2,))
        >>> done = check_jobs([job], {"mean": torch.full((2,), 2.0)})
        >>> done.models, done.found.judgement.verdict
        (('input 1', 'input 2'), 'sound')
    """
    merged = open_weights(result) if isinstance(result, str | Path) else result
    bases = dict.fromkeys(id(job.base.weights) for job in jobs if job.base is not None)
    inputs_J = [_inputs(job, bases) for job in jobs]
    models = dict.fromkeys(key for inputs in inputs_J for key in inputs)
    place = {key: k for k, key in enumerate(models)}
    names = labels or {}
    shown = [names.get(key, f"input {k}") for k, key in enumerate(models, start=1)]
    sums = Sums(len(place), bool(bases), sample)
    whole = sum(job.nbytes for job in jobs)
    pairs = [*zip(jobs, inputs_J, strict=True)]
    real = [pair for pair in pairs if pair[0].dtype.is_floating_point]
    carried = [job.name for job in jobs if not job.dtype.is_floating_point]
    done = sum(job.nbytes for job in jobs if not job.dtype.is_floating_point)

    def look(pair: tuple[Job, dict[int, Source]]) -> tuple[Tensor, Seen | None]:
        job, inputs = pair
        with READING:
            tensor = merged[job.name]
        reads = {place[key]: partial(_read, source) for key, source in inputs.items()}
        base = None if job.base is None else partial(_read, job.base)
        more = [partial(_read, one) for one in _parts(job) if id(one.weights) in bases]
        return tensor, sums.look(tensor, reads, base, job.row.spreads, more)

    for (job, _), seen in zip(real, side_by_side(look, real, None), strict=True):
        sums.take(job.name, *seen)
        done += job.nbytes
        if watch is not None:
            watch(done, whole)
    origin = ", ".join(names.get(key, "base") for key in bases)
    return Checked(
        concluded(sums, bool(bases), labels=(*shown, origin)),
        tuple(shown),
        origin or None,
        tuple(carried),
    )


def _read(source: Source) -> Tensor:
    with READING:
        return source.read()


def _inputs(job: Job, bases: Mapping[int, None]) -> dict[int, Source]:
    """The tensors that stand beside the result, by the identity of their models."""
    if job.method not in STATISTICS:
        return {id(source.weights): source for source in job.sources_K}
    return {id(s.weights): s for s in _parts(job) if id(s.weights) not in bases}


def _parts(job: Job) -> tuple[Source, ...]:
    """Means or variances that are mixed, where the base counts as a model."""
    if job.method not in STATISTICS:
        return ()
    return job.sources_K[: len(job.settings["shares"])]  # what follows are means
