"""What a set of weights is made of: names, shapes, types, roles and ties."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Literal, Protocol, Self, cast, get_args, runtime_checkable

import torch
from torch import Tensor, nn

from dale.errors import CorruptError, WeightsError
from dale.weights.match import Weights, is_inexact, listing, ties_of

Role = Literal["parameter", "statistic", "counter"]
_STATISTICS = {"running_mean", "running_var"}


@dataclass(frozen=True)
class Entry:
    """One named tensor, without its values.

    Attributes:
        shape: Length of every axis.
        dtype: Element type.
        role: ``"parameter"`` is averaged and trained; ``"statistic"`` is averaged
            or re-estimated from data; ``"counter"`` (every integer or Boolean
            tensor) is carried, never averaged.
        tie: First name of the group of names that share this tensor, if any.
    """

    shape: tuple[int, ...]
    dtype: torch.dtype
    role: Role
    tie: str | None = None


@dataclass(frozen=True, eq=True)
class Layout(Mapping[str, Entry]):
    """Read-only mapping from name to `Entry`, in the order of the network.

    Example:
        >>> layout = layout_of(nn.BatchNorm1d(2))
        >>> layout.names("statistic")
        ['running_mean', 'running_var']
        >>> layout["num_batches_tracked"].role
        'counter'
        >>> Layout.from_json(layout.to_json()) == layout
        True
    """

    entries: dict[str, Entry]

    def __getitem__(self, name: str) -> Entry:
        return self.entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def names(self, role: Role | None = None) -> list[str]:
        """Names with this role, or all."""
        return [n for n, e in self.entries.items() if role in {None, e.role}]

    @property
    def ties(self) -> dict[str, str]:
        """Every tied name but the first of its group, and that first name."""
        pairs = ((name, entry.tie) for name, entry in self.entries.items())
        return {name: tie for name, tie in pairs if tie is not None and tie != name}

    def numel(self, role: Role | None = None) -> int:
        """Number of elements with this role, tied tensors counted once."""
        shared = self.ties
        chosen = (self.entries[n] for n in self.names(role) if n not in shared)
        return sum(torch.Size(entry.shape).numel() for entry in chosen)

    def to_json(self) -> str:
        """One line of JSON that `from_json` reads back."""
        rows = {}
        for name, entry in self.entries.items():
            rows[name] = asdict(entry) | {"dtype": str(entry.dtype).split(".")[1]}
        return json.dumps(rows, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The layout that `to_json` wrote.

        Raises:
            CorruptError: The text is not such a layout.
        """
        try:
            rows = json.loads(text)
            return cls({name: _entry(row) for name, row in rows.items()})
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise CorruptError(f"not the JSON text of a layout: {error}") from error


def _entry(row: dict[str, object]) -> Entry:
    dtype = getattr(torch, str(row["dtype"]))
    if not isinstance(dtype, torch.dtype):
        raise ValueError(f"{row['dtype']!r} is not an element type")
    if row["role"] not in get_args(Role):
        raise ValueError(f"{row['role']!r} is not one of {get_args(Role)}")
    shape = tuple(int(length) for length in cast("list[int]", row["shape"]))
    tie = None if row["tie"] is None else str(row["tie"])
    return Entry(shape, dtype, cast("Role", row["role"]), tie)


@runtime_checkable
class Described(Protocol):
    """Weights that know their layout without being read, such as those in a file."""

    @property
    def layout(self) -> Layout:
        """Shapes, types, roles and ties."""
        ...


def described(weights: Weights | Described) -> Mapping[str, Tensor] | Layout:
    """The layout where it is known; otherwise the tensors, which have shapes too."""
    # isinstance of a protocol takes twenty times as long, and this is often asked
    layout = getattr(weights, "layout", None)
    return cast(Weights, weights) if layout is None else layout


def entry_of(weights: Weights | Described, name: str) -> Entry:
    """Shape, type and role of one tensor, read only where there is no other way.

    Example:
        >>> entry_of({"w": torch.ones(2)}, "w").shape
        (2,)
    """
    found = described(weights)[name]
    if isinstance(found, Entry):
        return found
    return Entry(tuple(found.shape), found.dtype, role_of(name, found.dtype))


def layout_of(module: nn.Module) -> Layout:
    """The layout of a network's state, buffers included.

    Works on the meta device too: no value is read.

    Args:
        module: Any network.

    Returns:
        One entry for every name of ``module.state_dict()``. Floating-point buffers
        are statistics, floating-point parameters are parameters.

    Raises:
        WeightsError: Part of the state is not a tensor or has no shape yet.

    Example:
        >>> net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
        >>> net[1].weight = net[0].weight
        >>> layout_of(net).ties
        {'1.weight': '0.weight'}
    """
    state = state_of(module)
    parameters = {name for name, _ in module.named_parameters(remove_duplicate=False)}
    roles: dict[str, Role] = {}
    for name, tensor in state.items():
        kind: Role = "parameter" if name in parameters else "statistic"
        roles[name] = kind if is_inexact(tensor) else "counter"
    return _layout(state, roles)


def layout_of_weights(weights: Weights) -> Layout:
    """The layout of named tensors that came without a network.

    Integers and Booleans are counters; ``running_mean`` and ``running_var``, as
    PyTorch's normalisation layers call them, are statistics; all else is a parameter.

    Args:
        weights: Named tensors.

    Returns:
        One entry for every name, in the same order.

    Example:
        >>> layout_of_weights({"w": torch.ones(2), "n": torch.tensor(3)})["n"].role
        'counter'
    """
    return _layout(weights, {n: role_of(n, t.dtype) for n, t in weights.items()})


def role_of(name: str, dtype: torch.dtype) -> Role:
    """The role of a tensor that came without a network; see `layout_of_weights`."""
    if not (dtype.is_floating_point or dtype.is_complex):
        return "counter"
    known = name.rpartition(".")[2] in _STATISTICS
    return "statistic" if known else "parameter"


def _layout(weights: Weights, roles: Mapping[str, Role]) -> Layout:
    ties = ties_of(weights)
    leaders = set(ties.values())
    entries = {}
    for name, tensor in weights.items():
        tie = ties.get(name, name if name in leaders else None)
        entries[name] = Entry(tuple(tensor.shape), tensor.dtype, roles[name], tie)
    return Layout(entries)


def state_of(module: nn.Module) -> dict[str, Tensor]:
    """The tensors of ``module.state_dict()`` themselves, not copies.

    Args:
        module: Any network.

    Returns:
        Parameters and persistent buffers by name.

    Raises:
        WeightsError: Part of the state is not a tensor or has no shape yet.
    """
    state = module.state_dict(keep_vars=True)
    odd = [name for name, value in state.items() if not isinstance(value, Tensor)]
    if odd:
        raise WeightsError(f"state that is not a tensor: {listing(odd)}")
    lazy = [n for n, v in state.items() if nn.parameter.is_lazy(v)]
    if lazy:
        raise WeightsError(
            f"parameters without a shape: {listing(lazy)}; run one batch through the "
            "network first"
        )
    return state
