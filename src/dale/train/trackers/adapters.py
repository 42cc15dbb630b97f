"""Where figures can be sent beside the log; the packages are imported when used."""

import csv as text_csv
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from secrets import token_hex
from time import time
from typing import Any, Literal, Protocol

from dale.errors import InputError
from dale.files import write_text
from dale.store import Run


@dataclass(frozen=True)
class Place:
    """What a tracker is told of the run.

    Args:
        run: The run.
        config: The recipe's settings, by dotted names.
        id: What the tracker called the run when it was first opened, or None.
    """

    run: Run
    config: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    id: str | None = None

    @property
    def folder(self) -> Path:
        """Where a tracker may keep files of its own."""
        return self.run.folder / "trackers"

    @property
    def name(self) -> str:
        """Of the run, for people."""
        return self.run.folder.resolve().name


class Tracker(Protocol):
    """Something that figures are sent to."""

    id: str | None

    def send(self, trajectory: str, step: int, values: Mapping[str, float]) -> None:
        """Take note of figures; each is sent once."""
        ...

    def close(self, whole: bool) -> None:
        """Finish; `whole` unless training was stopped or failed."""
        ...


class _Csv:
    """The log itself as a table; written anew where a resume may have cut the log."""

    id = None

    def __init__(self, place: Place, path: Path) -> None:
        self._run, self._path = place.run, path
        self._write()  # a file that cannot be written is better known now
        self._columns: list[str] = []  # a resume may cut the log yet

    def send(self, trajectory: str, step: int, values: Mapping[str, float]) -> None:
        row = {"trajectory": trajectory, "step": step, **values}
        if not self._columns or set(row) - set(self._columns):
            self._write()
        else:
            with self._path.open("a", encoding="utf-8", newline="") as file:
                text_csv.DictWriter(file, self._columns).writerow(row)

    def close(self, whole: bool) -> None:
        if not self._columns:
            self._write()

    def _write(self) -> None:
        rows = [
            {"trajectory": r["trajectory"], "step": r["step"], **numbers(r)}
            for r in self._run.log()
        ]
        self._columns = list(dict.fromkeys(name for row in rows for name in row))
        text = io.StringIO(newline="")
        writer = text_csv.DictWriter(text, self._columns)
        writer.writeheader()
        writer.writerows(rows)
        write_text(self._path, text.getvalue() if rows else "")


class _TensorBoard:
    id = None

    def __init__(self, place: Place, folder: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder))
        self._writer.add_text("recipe", f"```yaml\n{place.run.recipe}\n```")

    def send(self, trajectory: str, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(f"{trajectory}/{name}", value, step)
        self._writer.flush()

    def close(self, whole: bool) -> None:
        self._writer.close()


class _Mlflow:
    def __init__(self, place: Place, uri: str | None, experiment: str) -> None:
        from mlflow import MlflowClient

        self._client = MlflowClient(tracking_uri=uri)
        if place.id is not None:
            self.id: str | None = place.id
            self._client.update_run(place.id, status="RUNNING")
            return
        known = self._client.get_experiment_by_name(experiment)
        home = known.experiment_id if known else None
        home = home or self._client.create_experiment(experiment)
        self.id = self._client.create_run(home, run_name=place.name).info.run_id
        for name, value in place.config.items():
            self._client.log_param(self.id, name, str(value)[:500])

    def send(self, trajectory: str, step: int, values: Mapping[str, float]) -> None:
        from mlflow.entities import Metric

        now = int(1000 * time())
        named = {f"{trajectory}/{name}": value for name, value in values.items()}
        metrics = [Metric(name, value, now, step) for name, value in named.items()]
        self._client.log_batch(self.id, metrics=metrics)

    def close(self, whole: bool) -> None:
        self._client.set_terminated(self.id, "FINISHED" if whole else "KILLED")


class _Wandb:
    def __init__(self, place: Place, **settings: Any) -> None:
        import wandb

        self.id: str | None = place.id or token_hex(4)
        place.folder.mkdir(parents=True, exist_ok=True)
        self._run = wandb.init(
            id=self.id,
            resume="allow",
            name=place.name,
            dir=str(place.folder),
            config=dict(place.config),
            settings=wandb.Settings(quiet=True),
            **settings,
        )
        self._known: set[str] = set()

    def send(self, trajectory: str, step: int, values: Mapping[str, float]) -> None:
        # the steps of W&B only rise, and each trajectory begins with its first
        own = f"{trajectory}/step"
        if trajectory not in self._known:
            self._known.add(trajectory)
            self._run.define_metric(f"{trajectory}/*", step_metric=own)
        named = {f"{trajectory}/{name}": value for name, value in values.items()}
        self._run.log({**named, own: step})

    def close(self, whole: bool) -> None:
        self._run.finish(exit_code=0 if whole else 1)


def csv(place: Place, *, path: str = "log.csv") -> Tracker:
    """The log as a table of comma-separated values.

    Args:
        place: The run.
        path: Relative to the run folder, in which it stays; its name ends in ``.csv``.

    Returns:
        The tracker.
    """
    return _Csv(place, place.run.folder / path)


def check_csv(*, path: str) -> None:
    """Refuse a table that is written outside of the run or over a file of the run.

    Args:
        path: As `csv` takes it.

    Raises:
        InputError: The path leads elsewhere, or is no ``.csv``.
    """
    parts = PurePath(path).parts
    if PurePath(path).is_absolute() or ".." in parts or not path.endswith(".csv"):
        raise InputError(
            f"trackers: csv takes a path in the run folder that ends in .csv, got "
            f"{path!r}"
        )


def tensorboard(place: Place, *, folder: str | None = None) -> Tracker:
    """TensorBoard's event files.

    Args:
        place: The run.
        folder: Where they go; in the run folder, under ``trackers``, if left out.

    Returns:
        The tracker.
    """
    return _TensorBoard(place, Path(folder or place.folder / "tensorboard"))


def mlflow(
    place: Place, *, uri: str | None = None, experiment: str = "dale"
) -> Tracker:
    """A run of MLflow.

    Args:
        place: The run.
        uri: Of the tracking server or store; MLflow's own setting if left out.
        experiment: That the run belongs to; made if it is not there.

    Returns:
        The tracker.
    """
    return _Mlflow(place, uri, experiment)


def wandb(
    place: Place,
    *,
    project: str = "dale",
    entity: str | None = None,
    mode: Literal["online", "offline"] | None = None,
) -> Tracker:
    """A run of Weights & Biases.

    Args:
        place: The run.
        project: That the run belongs to.
        entity: User or team; that of the login if left out.
        mode: ``"offline"`` writes files in the run folder, to be sent later with
            ``wandb sync``; W&B's own setting if left out.

    Returns:
        The tracker.
    """
    return _Wandb(place, project=project, entity=entity, mode=mode)


def numbers(record: Mapping[str, Any]) -> dict[str, float]:
    """The finite numbers of a log line, those inside others by ``outer/inner``.

    Example:
        >>> numbers({"step": 3, "rate": 0.1, "val_nll": None, "rates": {"0": 0.2}})
        {'rate': 0.1, 'rates/0': 0.2}
    """
    found: dict[str, float] = {}
    for name, value in record.items():
        if isinstance(value, Mapping):
            inside = numbers(value)
            found |= {_plain(f"{name}/{key}"): v for key, v in inside.items()}
        elif isinstance(value, (int, float)) and name != "step":
            if abs(value) < float("inf"):
                found[_plain(name)] = value
    return found


def _plain(name: str) -> str:
    """A name that every tracker takes."""
    return "".join(c if c.isalnum() or c in "_-./ " else "_" for c in name)
