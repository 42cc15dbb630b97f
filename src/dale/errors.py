"""Every error that dale raises on purpose.

::

    DaleError
    ├── InputError (also ValueError)   something the user gave is wrong
    │   ├── RecipeError                a recipe's key, type or value
    │   ├── ConfigError                a merge configuration that cannot run
    │   ├── DataError                  a data source: folder, image, label, shape
    │   ├── ModelError                 a model: factory, output width
    │   ├── WeightsError               tensor names or shapes that do not fit
    │   └── LeakageError               fitted and scored on the same examples
    ├── StoreError                     a run folder
    │   ├── CorruptError               a truncated or altered file
    │   ├── SchemaError                written by a newer version of dale
    │   ├── LockedError                another process holds the run
    │   └── DiskError                  the disk refused a write
    ├── TrainingError                  training could not go on
    │   └── NotFiniteError             the loss became NaN or infinite
    ├── Interrupted                    stopped on request; can be resumed
    └── Elsewhere                      another process failed, and says why

A message is one line: what was wrong, what was expected, and where. The command
line prints it as it is and exits with 2 for an `InputError`, with 1 otherwise.
"""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches


class DaleError(Exception):
    """Root of every error that dale raises on purpose."""


class InputError(DaleError, ValueError):
    """Something the user gave is wrong."""


class RecipeError(InputError):
    """A recipe has an unknown key, a wrong type or an impossible value."""


class ConfigError(InputError):
    """A merge configuration cannot run.

    Args:
        origin: Where it comes from.
        problems: One line for each.

    Example:
        >>> raise ConfigError("soup.yml", ["no such model", "no such type"])
        Traceback (most recent call last):
            ...
        dale.errors.ConfigError: soup.yml: no such model (and 1 more problem)
    """

    def __init__(self, origin: str, problems: Sequence[str]) -> None:
        self.origin, self.problems = origin, tuple(problems)
        more = len(self.problems) - 1
        rest = f" (and {more} more problem{'s' * (more > 1)})" if more else ""
        super().__init__(f"{origin}: {self.problems[0]}{rest}")


class DataError(InputError):
    """A data source is missing, unreadable or inconsistent."""


class ModelError(InputError):
    """A model cannot be built or its output does not fit the data."""


class WeightsError(InputError):
    """Tensor names, shapes or types do not fit together."""


class LeakageError(InputError):
    """The same examples were used to fit and to score."""


class StoreError(DaleError):
    """A run folder cannot be used as asked."""


class CorruptError(StoreError):
    """A file is truncated or its content does not match its digest."""


class SchemaError(StoreError):
    """A file was written by a newer version of dale."""


class LockedError(StoreError):
    """Another process is writing to the same run."""


class DiskError(StoreError):
    """The disk refused a write; what was there before is intact."""


class TrainingError(DaleError):
    """Training could not go on."""


class NotFiniteError(TrainingError):
    """The loss became NaN or infinite.

    Args:
        where: Name of the trajectory.
        step: Update, counted from 0, whose loss was not finite.
        rate: Learning rate at that update.
        value: The loss.
    """

    def __init__(self, where: str, step: int, rate: float, value: float) -> None:
        self.where, self.step, self.rate, self.value = where, step, rate, value
        super().__init__(
            f"{where}: the loss became {value} at step {step} with learning rate "
            f"{rate:.6g}; a lower peak rate or gradient clipping usually helps"
        )


class Interrupted(DaleError):
    """Stopped on request at a point from which the run can be resumed."""


class Elsewhere(DaleError):
    """Another process of the same run failed, and says itself what went wrong."""


def nearest(name: str, known: Iterable[str]) -> str:
    """End of a message about an unknown name: the nearest known one, or all.

    Example:
        >>> nearest("cosin", ["cosine", "linear"])
        "did you mean 'cosine'?"
        >>> nearest("qqq", ["cosine", "linear"])
        'known: cosine, linear'
    """
    known = sorted(known)
    close = get_close_matches(name, known, n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"
