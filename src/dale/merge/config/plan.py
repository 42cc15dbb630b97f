"""A configuration looked at, and run."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from dale.errors import ConfigError
from dale.merge.after import Checked, check_jobs
from dale.merge.config.anatomy import Anatomy, is_early
from dale.merge.config.cost import Cost, cost
from dale.merge.config.loading import check_config, read_config
from dale.merge.config.prepare import Prepared, prepare
from dale.merge.config.schema import MergeConfig
from dale.merge.job import Job
from dale.merge.made import made
from dale.merge.moments import STATISTICS, label_of
from dale.merge.place import place_problem
from dale.merge.stream import SHARD, Watch, write_jobs

Config = str | Path | MergeConfig
"""A file of YAML, or what was read from one."""
_THERE = "this very merge is there already and is left as it is"
_WORDS = {"format": "pt"}
"""What every file says of itself, as readers of safetensors expect it."""


@dataclass(frozen=True)
class Part:
    """Tensors that stand together.

    Attributes:
        name: Where they stand.
        method: How they are merged.
        tensors: How many.
        parameters: How many elements.
        settings: Of each setting its values, or the least and the greatest.
    """

    name: str
    method: str
    tensors: int
    parameters: int
    settings: Mapping[str, str]


@dataclass(frozen=True)
class ConfigPlan:
    """What a configuration does, and what keeps it from being done.

    Attributes:
        origin: Where the configuration comes from.
        problems: One line for each; there is no merge if there are any.
        notes: What is done otherwise than one might think.
        models: Names of the models, in the order in which they were named.
        donor: Gives config and tokenizer.
        files: Names of the files beside the weights.
        parts: Tensors, by where they stand.
        cost: Memory, disk and time; None if there is nothing to do.
    """

    origin: str
    problems: tuple[str, ...]
    notes: tuple[str, ...]
    models: tuple[str, ...]
    donor: str | None
    files: tuple[str, ...]
    parts: tuple[Part, ...]
    cost: Cost | None

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def plan_config(config: Config, out: str | Path = "merged") -> ConfigPlan:
    """Look at a merge without doing it: only headers of the models are read.

    Args:
        config: A file of YAML, or what `load_config` made of one.
        out: Where the result is to go.

    Returns:
        The plan, with every problem there is.
    """
    out = Path(out)
    try:
        ready, origin = _prepared(config, read=False)
    except ConfigError as error:
        return ConfigPlan(error.origin, error.problems, (), (), None, (), (), None)
    found = cost(ready.jobs, ready.files, out) if ready.jobs else None
    there = bool(_made(out, ready))
    return ConfigPlan(
        origin,
        (*ready.problems, *([] if there else _place_problems(out, ready))),
        (*ready.notes, *([f"{out}: {_THERE}"] if there else [])),
        tuple(model.name for model in ready.models),
        None if ready.donor is None else ready.donor.name,
        tuple(sorted(ready.files)),
        tuple(_parts(ready.jobs)),
        found,
    )


def run_config(
    config: Config,
    out: str | Path,
    *,
    seed: int = 0,
    shard_bytes: int = SHARD,
    watch: Watch | None = None,
    note: Callable[[str], None] | None = None,
    check: Callable[[Checked], None] | None = None,
    sync: bool = False,
) -> list[Path]:
    """Do the merge that a configuration describes.

    Args:
        config: A file of YAML, or what `load_config` made of one.
        out: A folder that is new or empty. It appears when it is whole. If this very
            merge lies there, whole, it is only checked.
        seed: Of methods that draw at random.
        shard_bytes: The most bytes of tensors in one file.
        watch: Called now and then with the bytes done and the bytes there will be, and
            once more from the beginning while the result is checked.
        note: Called with every note before the work begins, and with a line when an
            unfinished merge is taken up again.
        check: Called at the end, when the result is in its place, with what
            `dale.merge.after` finds about it. Nothing is read again without.
        sync: Wait until the result is on the disk, see `dale.merge.write_jobs`.

    Returns:
        The files with tensors.

    Raises:
        ConfigError: Something is wrong; nothing was done.
        WeightsError: A file cannot be read.
        DiskError: The disk refused a write.
    """
    out = Path(out)
    ready, origin = _prepared(config, read=True)
    files = [] if check is None else _made(out, ready, seed)
    problems = [*ready.problems, *([] if files else _place_problems(out, ready))]
    if problems:
        raise ConfigError(origin, problems)
    notes = [*ready.notes, *([f"{out}: {_THERE}"] if files else [])]
    for line in notes if note is not None else ():
        note(line)  # type: ignore[misc]
    files = files or write_jobs(
        ready.jobs,
        out,
        seed=seed,
        shard_bytes=shard_bytes,
        words=_WORDS | label_of(ready.jobs),
        files=ready.files,
        watch=watch,
        tell=note,
        sync=sync,
    )
    if check is not None:
        check(check_jobs(ready.jobs, out, ready.labels, watch=watch))
    return files


def _prepared(config: Config, read: bool) -> tuple[Prepared, str]:
    if isinstance(config, MergeConfig):
        return prepare(config, Path(), read=read), "configuration"
    origin, text = str(config), read_config(config)
    parsed, problems = check_config(text, origin)
    if parsed is None:
        raise ConfigError(origin, problems)
    ready = prepare(parsed, Path(config).parent, text, read)
    return replace(ready, problems=(*problems, *ready.problems)), origin


def _made(out: Path, ready: Prepared, seed: int | None = None) -> list[Path]:
    """The files of this very merge, where it lies there already."""
    return [] if ready.problems else made(ready.jobs, out, ready.files, seed)


def _place_problems(out: Path, ready: Prepared) -> list[str]:
    """What keeps a result from being written there."""
    if out.suffix == ".safetensors":
        return [f"{out}: a folder is needed for config and tokenizer"]
    needed = sum(job.nbytes for job in ready.jobs) + sum(map(len, ready.files.values()))
    inputs = [folder for model in ready.models for folder in model.folders]
    line = place_problem(out, inputs, needed)
    return [] if line is None else [line]


def _parts(jobs: Sequence[Job]) -> list[Part]:
    anatomy = Anatomy(tuple(job.name for job in jobs))
    groups: dict[str, list[Job]] = {}
    for job in jobs:
        stack = anatomy.place(job.name).stack
        if job.method in STATISTICS:
            groups.setdefault("running statistics", []).append(job)
            continue
        if stack:
            name = f"{stack}0 … {anatomy.stacks[stack] - 1}"
        else:
            name = "before the layers" if is_early(job.name) else "after the layers"
        groups.setdefault(name if anatomy.stacks else "all", []).append(job)
    return [_part(name, group) for name, group in groups.items()]


def _part(name: str, jobs: Sequence[Job]) -> Part:
    settings = {n: _span([job.settings.get(n) for job in jobs]) for n in _names(jobs)}
    elements = sum(job.nbytes // job.dtype.itemsize for job in jobs)
    return Part(name, jobs[0].method, len(jobs), elements, settings)


def _names(jobs: Sequence[Job]) -> list[str]:
    return list(dict.fromkeys(name for job in jobs for name in job.settings))


def _span(values: Sequence[Any]) -> str:
    """One value, or the least and the greatest, model by model."""
    if all(isinstance(value, tuple) for value in values):
        columns = zip(*values, strict=False)
        return ", ".join(_span(column) for column in columns)
    distinct = list(dict.fromkeys(values))
    if len(distinct) == 1:
        return _short(distinct[0])
    numbers = [v for v in distinct if isinstance(v, int | float)]
    if len(numbers) == len(distinct):
        return f"{_short(min(numbers))} … {_short(max(numbers))}"
    return " or ".join(map(_short, distinct))


def _short(value: Any) -> str:
    plain = isinstance(value, float)
    return f"{value:.4g}" if plain else str(value).lower() if value is not None else "–"
