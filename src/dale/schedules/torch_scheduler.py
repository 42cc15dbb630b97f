"""Schedules as a `torch.optim.lr_scheduler.LRScheduler`, for any training loop.

The only file of the package that needs torch. The schedulers follow torch's
convention: ``optimizer.step()``, then ``scheduler.step()``.
"""

from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from inspect import Parameter, Signature, signature
from typing import Any, Concatenate, ParamSpec

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from dale.errors import InputError, nearest
from dale.schedules import curves, cyclic, shapes, triangles
from dale.schedules._numbers import whole
from dale.schedules.schedule import Schedule

Driven = Schedule | Mapping[str, Schedule]
"""One schedule for all groups, or one for each pattern of group names."""

# Adam and its kin keep in one tuple what others call momentum
_IN_BETAS = {"momentum": 0, "beta1": 0, "beta2": 1}
_PARAMETERS = ParamSpec("_PARAMETERS")


class Scheduled(LRScheduler):
    """Drives the fields of an optimiser's parameter groups by schedules.

    Every value is a function of the step alone, and so is the state: `state_dict`
    holds one integer. After ``n`` calls of `step` the fields hold the values for
    update ``n``, whatever happened before, and loading a state sets them at once.

    A field is any number in a parameter group: ``lr``, ``momentum``,
    ``weight_decay`` and so on. Where a group has ``betas``, ``beta1`` and ``beta2``
    are their two entries, and so is ``momentum`` (the first) if the group has no
    field of that name.

    Groups are told apart by a ``"name"`` in the group, against which wildcard
    patterns are matched; the first pattern in order wins, and a group that none
    matches keeps its value. A group may carry ``"lr_scale"`` (or another field's
    name with ``_scale``): its value is the schedule's times that number. Apart from
    that, all groups of a schedule get the same value; the one they began with is
    replaced.

    Args:
        optimizer: Any torch optimiser.
        schedule: A schedule for ``lr``, or a mapping from field to schedule, or from
            field to a mapping from pattern to schedule.
        last_epoch: Last step done, counted from 0; −1 for a fresh start.

    Raises:
        InputError: There is nothing to drive, a field is missing in a group, or a
            pattern matches no group.

    Example:
        >>> import torch
        >>> from dale.schedules import cosine_restarts, linear
        >>> weight = torch.nn.Parameter(torch.zeros(1))
        >>> optimizer = torch.optim.SGD([weight], lr=0.1, momentum=0.9)
        >>> scheduler = Scheduled(optimizer, {
        ...     "lr": cosine_restarts(peak=0.5, steps=4, cycles=2),
        ...     "momentum": linear(first=0.85, last=0.95, steps=3),
        ... })
        >>> for _ in range(2):
        ...     optimizer.step()
        ...     scheduler.step()
        >>> optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["momentum"]
        (0.5, 0.95)
        >>> scheduler.cycle_ended, scheduler.state_dict()
        (True, {'step': 2})
    """

    def __init__(
        self,
        optimizer: Optimizer,
        schedule: Schedule | Mapping[str, Driven],
        last_epoch: int = -1,
    ) -> None:
        if not isinstance(optimizer, Optimizer):
            kind = type(optimizer).__name__
            raise InputError(f"optimizer must be a torch Optimizer, got {kind}")
        self._driven = _driven(schedule)
        _check_groups(optimizer, self._driven)
        for group in optimizer.param_groups:
            # torch demands it when resuming; here nothing is computed from it
            group.setdefault("initial_lr", _copied(group["lr"]))
        super().__init__(optimizer, whole("last_epoch", last_epoch, least=-1))

    @property
    def ends(self) -> tuple[int, ...]:
        """Ends of the cycles: of the learning rate's schedule if that has cycles.

        Otherwise those of the first schedule given that has some; else empty.
        """
        fields = sorted(self._driven, key=lambda field: field != "lr")
        found = (
            schedule.ends
            for field in fields
            for schedule in self._driven[field].values()
            if schedule.ends
        )
        return next(found, ())

    @property
    def cycle_ended(self) -> bool:
        """Whether the update just made was the last of a cycle.

        After ``scheduler.step()`` it says that a member is to be taken now.
        """
        return self.last_epoch in self.ends

    def get_lr(self) -> list[float | Tensor]:
        """The learning rate of each group; the other driven fields are set.

        Called by torch whenever the step has changed. Calling it again changes
        nothing, as all values follow from the step.
        """
        for group in self.optimizer.param_groups:
            for field in self._driven:
                if field != "lr":
                    self._set(group, field)
        return [
            group["lr"] if rate is None else rate
            for group in self.optimizer.param_groups
            for rate in [self._value(group, "lr")]
        ]

    def state_dict(self) -> dict[str, Any]:
        """The step: how many updates have been made."""
        return {"step": self.last_epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go to a step and set every driven field to its value there.

        Args:
            state_dict: What `state_dict` returned.

        Raises:
            InputError: It is not a state of this class.
        """
        if set(state_dict) != {"step"}:
            found = ", ".join(sorted(map(str, state_dict))) or "nothing"
            raise InputError(f"expected a state with 'step' alone, got {found}")
        self.last_epoch = whole("step", state_dict["step"], least=-1)
        # torch counts its own call at the start, and warns about order when it is 1
        self._step_count = self.last_epoch + 1
        if self.last_epoch >= 0:  # SequentialLR keeps those yet to start at −1
            for group in self.optimizer.param_groups:
                for field in self._driven:
                    self._set(group, field)
        self._last_lr = [_copied(g["lr"]) for g in self.optimizer.param_groups]

    def _value(self, group: dict[str, Any], field: str) -> float | None:
        name = str(group.get("name", ""))
        for pattern, schedule in self._driven.get(field, {}).items():
            if fnmatchcase(name, pattern):
                return schedule(self.last_epoch) * group.get(f"{field}_scale", 1.0)
        return None

    def _set(self, group: dict[str, Any], field: str) -> None:
        value = self._value(group, field)
        if value is None:
            return
        if field in group:
            group[field] = _written(group[field], value)
        else:
            betas = list(group["betas"])
            place = _IN_BETAS[field]
            betas[place] = _written(betas[place], value)
            group["betas"] = tuple(betas)


def _driven(
    schedule: Schedule | Mapping[str, Driven],
) -> dict[str, dict[str, Schedule]]:
    """Field to pattern to schedule, whichever way it was given."""
    fields = {"lr": schedule} if isinstance(schedule, Schedule) else schedule
    if not isinstance(fields, Mapping) or not fields:
        raise InputError(f"expected a Schedule or a mapping to some, got {schedule!r}")
    driven = {}
    for field, given in fields.items():
        patterns = {"*": given} if isinstance(given, Schedule) else given
        if not isinstance(patterns, Mapping) or not patterns:
            raise InputError(f"{field}: expected a Schedule, got {given!r}")
        for pattern, one in patterns.items():
            if not isinstance(one, Schedule):
                raise InputError(
                    f"{field}, {pattern}: expected a Schedule, got {one!r}"
                )
        driven[str(field)] = dict(patterns)
    return driven


def _check_groups(optimizer: Optimizer, driven: dict[str, dict[str, Schedule]]) -> None:
    """Every pattern decides for some group, and that group has the field."""
    for field, patterns in driven.items():
        unused = dict(patterns)
        for index, group in enumerate(optimizer.param_groups):
            name = str(group.get("name", ""))
            match = next((p for p in patterns if fnmatchcase(name, p)), None)
            if match is None:
                continue
            unused.pop(match, None)
            if field not in group and not (field in _IN_BETAS and "betas" in group):
                known = [key for key in group if key not in ("params", "name")]
                raise InputError(
                    f"parameter group {index} has no field {field!r}; "
                    f"{nearest(field, known)}"
                )
        if unused:
            names = [str(group.get("name", "")) for group in optimizer.param_groups]
            raise InputError(
                f"{field}: pattern {next(iter(unused))!r} decides for no parameter "
                f"group; names in order: {names}"
            )


def _written(current: Any, value: float) -> Any:
    """The value in the kind of the current one: a tensor is filled in place."""
    # compiled optimisers and CUDA graphs read the tensor that they have captured
    return current.fill_(value) if isinstance(current, Tensor) else value


def _copied(value: Any) -> Any:
    return value.clone() if isinstance(value, Tensor) else value


def _named(
    shape: Callable[_PARAMETERS, Schedule],
) -> Callable[Concatenate[Optimizer, _PARAMETERS], Scheduled]:
    """A constructor that takes the optimiser and the parameters of a shape."""

    def construct(
        optimizer: Optimizer, *args: _PARAMETERS.args, **kwargs: _PARAMETERS.kwargs
    ) -> Scheduled:
        return Scheduled(optimizer, shape(*args, **kwargs))

    name = getattr(shape, "__name__", "schedule")
    construct.__name__ = construct.__qualname__ = name.title().replace("_", "")
    construct.__doc__ = f"`Scheduled` with `{name}` for the learning rate."
    first = Parameter("optimizer", Parameter.POSITIONAL_OR_KEYWORD)
    others = signature(shape).parameters.values()
    construct.__signature__ = Signature([first, *others])  # pyrefly: ignore
    return construct


Clr = _named(triangles.clr)
Constant = _named(shapes.constant)
Cosine = _named(curves.cosine)
CosineRestarts = _named(cyclic.cosine_restarts)
ExpRange = _named(triangles.exp_range)
Exponential = _named(shapes.exponential)
FgeTriangle = _named(triangles.fge_triangle)
Geometric = _named(shapes.geometric)
InverseSqrt = _named(curves.inverse_sqrt)
Linear = _named(shapes.linear)
Milestones = _named(shapes.milestones)
OneCycle = _named(curves.one_cycle)
Polynomial = _named(curves.polynomial)
StepDecay = _named(shapes.step_decay)
SwaTail = _named(curves.swa_tail)
Triangular = _named(triangles.triangular)
Triangular2 = _named(triangles.triangular2)
