"""Low-rank adapters as models: the base, and what the adapter adds to it."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from torch import Tensor

from dale.errors import WeightsError
from dale.weights.adapter import ADAPTER, Adapter, Target, read_adapter, read_config
from dale.weights.kernels import wide
from dale.weights.layout import Entry, Layout, layout_of_weights
from dale.weights.lowrank import with_lora
from dale.weights.match import Weights, listing, ties_of
from dale.weights.stamp import Stamp, stamp_of_files, stamp_of_view

__all__ = ["ADAPTER", "AdaptedWeights", "adapter_base"]


class AdaptedWeights(Mapping[str, Tensor]):
    """A base and a LoRA adapter that PEFT saved, as one model.

    Nothing is written: asking for a name reads the base's tensor and the adapter's two
    matrices, and adds their product. Layers that the adapter holds whole
    (``modules_to_save``, biases, resized embeddings) take the place of the base's.

    Args:
        base: The model, in memory or in files.
        adapter: The folder, with ``adapter_config.json`` and ``adapter_model``.

    Raises:
        WeightsError: Not a LoRA adapter, one that cannot be merged, or one that does
            not fit the base.
        CorruptError: A file is truncated.

    Attributes:
        path: Folder of the adapter.
        header: Words of the base, if it has any.
        ties: Those of the base that the adapter left.

    Example:
        >>> import json, tempfile, torch
        >>> from dale.weights import save
        >>> folder = Path(tempfile.mkdtemp())
        >>> config = {"peft_type": "LORA", "r": 1, "lora_alpha": 2}
        >>> _ = (folder / "adapter_config.json").write_text(json.dumps(config))
        >>> parts = {"lora_A": torch.ones(1, 2), "lora_B": torch.ones(2, 1)}
        >>> content = {f"base_model.model.fc.{n}.weight": t for n, t in parts.items()}
        >>> _ = save(folder / "adapter_model.safetensors", content, {})
        >>> AdaptedWeights({"fc.weight": torch.eye(2)}, folder)["fc.weight"]
        tensor([[3., 2.],
                [2., 3.]])
    """

    def __init__(self, base: Weights, adapter: str | Path) -> None:
        self.path = Path(adapter)
        self.base = base
        self.header: dict[str, str] = dict(getattr(base, "header", {}))
        self._adapter = read_adapter(adapter)
        base_ties = ties_of(base)
        short = _renamer(self._adapter, base)
        self._replaced = {
            short(name): stored for name, stored in self._adapter.replaced.items()
        }
        # the layer's name, with every target of one shared tensor under the first name
        self._added: dict[str, list[Target]] = {}
        self._biases: dict[str, Target] = {}
        for module, target in self._adapter.targets.items():
            weight, bias = (short(f"{module}.{leaf}") for leaf in ("weight", "bias"))
            self._added.setdefault(base_ties.get(weight, weight), []).append(target)
            if target.bias is not None:
                self._biases[bias] = target
        self._check(short.missing)
        self._turn = self._direction()
        self.ties = _kept(base, base_ties, self._replaced)
        self._home = base_ties
        self._names = [*base, *(name for name in self._replaced if name not in base)]

    @cached_property
    def _below(self) -> Layout:
        """What the base is made of; tensors in files are not read."""
        return getattr(self.base, "layout", None) or layout_of_weights(self.base)

    def _check(self, missing: list[str]) -> None:
        lost = [n for n in missing if not self._may_add(n)]
        lost += [n for n in self._biases if n not in self.base]
        if lost:
            raise WeightsError(
                f"{self.path}: the base has no {listing(sorted(set(lost)))}"
            )
        for name, targets in self._added.items():
            entry = self._below[name]
            if entry.role == "counter":
                raise WeightsError(
                    f"{self.path}: {name!r} of the base is {entry.dtype}; an adapter "
                    "needs the model before it was quantised"
                )
            for target in targets:
                self._fits(name, entry.shape, target)

    def _fits(self, name: str, shape: tuple[int, ...], target: Target) -> None:
        """Refuse matrices whose product has another shape, before any is multiplied."""
        down, up = (self._adapter.tensors[n].shape for n in (target.down, target.up))
        if up[1] != down[0]:
            raise WeightsError(
                f"{self.path}: {name!r}: adapters of grouped layers are not known; B "
                f"has {up[1]} columns, A {down[0]} rows"
            )
        straight, turned = (up[0], *down[1:]), (*down[1:], up[0])
        if shape not in ({turned} if target.embedding else {straight, turned}):
            raise WeightsError(
                f"{self.path}: {name!r}: an adapter of shape {straight} does not fit a "
                f"weight of shape {shape}"
            )
        for part in (target.magnitude, target.bias):
            if part is not None and self._adapter.tensors[part].numel() != up[0]:
                raise WeightsError(
                    f"{self.path}: {part!r} must have {up[0]} elements, has "
                    f"{self._adapter.tensors[part].numel()}"
                )

    def _direction(self) -> bool:
        """Whether square matrices are kept ``[in, out]``, as the others are."""
        seen: set[bool] = set()
        square: list[str] = []
        for name, targets in self._added.items():
            shape, parts = self._below[name].shape, self._adapter.tensors
            for target in targets:
                if target.embedding or len(shape) != 2:
                    continue
                width, height = parts[target.down].shape[1], parts[target.up].shape[0]
                if width == height:
                    square.append(name)
                elif shape in {(width, height), (height, width)}:
                    seen.add(shape == (width, height))
        if square and len(seen) == 2:
            raise WeightsError(
                f"{self.path}: layers of both directions, and nothing says which these "
                f"square ones have: {listing(square)}"
            )
        stated = bool(self._adapter.config.get("fan_in_fan_out"))
        return seen.pop() if seen else stated

    def _may_add(self, name: str) -> bool:
        module = name.rpartition(".")[0]
        saved = self._adapter.added
        held = name in self._replaced
        return held and any(module == s or module.endswith(f".{s}") for s in saved)

    def __getitem__(self, name: str) -> Tensor:
        parts = self._adapter.tensors
        if name in self._replaced:
            whole = parts[self._replaced[name]]
            return whole.to(self.layout[name].dtype)
        found = self.base[name]
        bias = self._biases.get(name)
        value: Tensor | None = None
        if bias is not None and bias.bias is not None:
            value = wide(found) + bias.scale * wide(parts[bias.bias])
        for target in self._added.get(self._home.get(name, name), ()):
            value = self._one(found if value is None else value, target)
        return found if value is None else value.to(found.dtype)

    def _one(self, weight: Tensor, target: Target) -> Tensor:
        parts = self._adapter.tensors
        length = target.magnitude
        return with_lora(
            weight,
            parts[target.down],
            parts[target.up],
            target.scale,
            embedding=target.embedding,
            transposed=self._turn,
            magnitude=None if length is None else parts[length],
        )

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self.base or name in self._replaced

    @cached_property
    def layout(self) -> Layout:
        """Shapes, types, roles and ties; no tensor of a base in files is read."""
        below = self._below
        kind = next((e.dtype for e in below.values() if e.role == "parameter"), None)
        leaders = set(self.ties.values())
        entries: dict[str, Entry] = {}
        for name in self._names:
            tie = self.ties.get(name, name if name in leaders else None)
            if name not in self._replaced:
                entries[name] = replace(below[name], tie=tie)
                continue
            whole = self._adapter.tensors[self._replaced[name]]
            dtype = below[name].dtype if name in below else kind or whole.dtype
            entries[name] = Entry(tuple(whole.shape), dtype, "parameter", tie)
        return Layout(entries)

    @cached_property
    def stamp(self) -> Stamp | None:
        """What it is recognised by later; None if the base is in memory."""
        config = stamp_of_files([self.path / ADAPTER])
        return stamp_of_view("adapted", [self.base, self._adapter.tensors], by=config)

    def close(self) -> None:
        """Let go of the files. Tensors already read stay valid."""
        for weights in (self.base, self._adapter.tensors):
            if callable(close := getattr(weights, "close", None)):
                close()


def adapter_base(path: str | Path) -> Path:
    """The local path of the model that an adapter's configuration names.

    Raises:
        WeightsError: It names none, or one that is not here.
    """
    path = Path(path)
    named = read_config(path).get("base_model_name_or_path")
    if isinstance(named, str) and named:
        for place in (Path(named), path / named):
            if place.exists() and place.resolve() != path.resolve():
                return place
    raise WeightsError(
        f"{path}: an adapter of {named!r}, which is not a local folder; give the base "
        "with it"
    )


class _Renamed:
    """Names of an adapter as the base has them, whose outermost module may differ."""

    def __init__(self, base: Weights, change: tuple[str, str]) -> None:
        self._base = base
        self._off, self._on = change
        self.missing: list[str] = []

    def __call__(self, name: str) -> str:
        changed = self._on + name.removeprefix(self._off)
        found = next((n for n in (changed, name) if n in self._base), changed)
        if found not in self._base and not name.endswith(".bias"):
            self.missing.append(found)
        return found


def _renamer(adapter: Adapter, base: Weights) -> _Renamed:
    wanted = [f"{module}.weight" for module in adapter.targets]
    for change in _changes(wanted, base):
        off, on = change
        if all(on + name.removeprefix(off) in base for name in wanted):
            return _Renamed(base, change)
    return _Renamed(base, ("", ""))


def _changes(wanted: Iterable[str], base: Weights) -> Iterator[tuple[str, str]]:
    """As they are; with the base's outermost module; without the adapter's."""
    yield "", ""
    for first in dict.fromkeys(name.partition(".")[0] for name in base):
        yield "", f"{first}."
    for first in dict.fromkeys(name.partition(".")[0] for name in wanted):
        yield f"{first}.", ""


def _kept(
    base: Weights, ties: Mapping[str, str], replaced: Mapping[str, str]
) -> dict[str, str]:
    leaders: dict[str, str] = {}
    kept: dict[str, str] = {}
    for name in base:
        if name in replaced:
            continue
        leader = leaders.setdefault(ties.get(name, name), name)
        if leader != name:
            kept[name] = leader
    return kept
