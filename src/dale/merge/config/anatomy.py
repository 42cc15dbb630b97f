"""Which tensors belong to which layer, read off their names.

Layers are lists: names that differ in one number only, as ``model.layers.3.mlp.weight``
or ``h.11.attn.bias`` do. Nothing is known of any architecture.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

_NUMBER = re.compile(r"^((?:[^.]+\.)*?)(\d+)\.(.+)$")
_EARLY = ("embed", "wte", "wpe", "position", "token", "patch", "rotary")
"""Parts of names of what comes before the layers; all else outside them comes after."""
_HEADS = ("lm_head.weight", "embed_out.weight", "cls.predictions.decoder.weight")
_EMBEDDINGS = (
    "embed_tokens.weight",
    "wte.weight",
    "embed_in.weight",
    "word_embeddings.weight",
    "shared.weight",
)
_DERIVED = re.compile(
    r"(^|\.)(rotary_emb\.inv_freq|rotary_emb\.(cos|sin)_cached|position_ids"
    r"|(attn|attention)\.(bias|masked_bias))$"
)
_DEPTHS = {
    "num_hidden_layers",
    "n_layer",
    "n_layers",
    "num_layers",
    "encoder_layers",
    "decoder_layers",
    "num_decoder_layers",
    "depth",
}


@dataclass(frozen=True)
class Place:
    """Where a tensor stands.

    Attributes:
        stack: Start of the names of its list of layers, ``""`` outside of any.
        index: Number of its layer; 0 outside of any.
        rest: End of its name, all of it outside of any list.
    """

    stack: str
    index: int
    rest: str


@dataclass(frozen=True)
class Anatomy:
    """The layers of a model.

    Attributes:
        names: Of its tensors.

    Example:
        >>> names = [f"model.layers.{i}.mlp.weight" for i in range(3)]
        >>> anatomy = Anatomy((*names, "model.norm.weight"))
        >>> anatomy.stacks, anatomy.main
        ({'model.layers.': 3}, 'model.layers.')
        >>> anatomy.place("model.layers.2.mlp.weight")
        Place(stack='model.layers.', index=2, rest='mlp.weight')
        >>> anatomy.place("model.norm.weight").stack
        ''
    """

    names: tuple[str, ...]

    @cached_property
    def stacks(self) -> dict[str, int]:
        """Start of the names of every list of layers, and how many there are.

        The list with the most tensors counts however different its layers are; others
        do if they are numbered from 0, two or more, and all alike.
        """
        parts: dict[str, dict[int, set[str]]] = {}
        for name in self.names:
            if (found := _NUMBER.match(name)) is not None and found[1]:
                stack, index, rest = found.groups()
                parts.setdefault(stack, {}).setdefault(int(index), set()).add(rest)
        if not parts:
            return {}
        most = max(parts, key=lambda s: sum(map(len, parts[s].values())))
        chosen = {s: max(p) + 1 for s, p in parts.items() if s == most or _alike(p)}
        return dict(sorted(chosen.items()))

    @cached_property
    def main(self) -> str | None:
        """The list with the most tensors, if there is any."""
        count = Counter(self.place(name).stack for name in self.names)
        count.pop("", None)
        return max(self.stacks, key=lambda stack: count[stack], default=None)

    def place(self, name: str) -> Place:
        """Where a tensor stands."""
        if (found := _NUMBER.match(name)) is not None:
            stack, index, rest = found.groups()
            if stack in self.stacks:
                return Place(stack, int(index), rest)
        return Place("", 0, name)


def _alike(layers: Mapping[int, Collection[str]]) -> bool:
    whole = sorted(layers) == list(range(len(layers)))
    return (
        whole and len(layers) > 1 and len({frozenset(x) for x in layers.values()}) == 1
    )


def is_early(name: str) -> bool:
    """Whether a tensor outside the layers comes before them.

    Example:
        >>> is_early("model.embed_tokens.weight"), is_early("model.norm.weight")
        (True, False)
    """
    return any(part in name for part in _EARLY)


def is_derived(name: str) -> bool:
    """Whether a network makes this tensor by itself, so that it may be missing.

    Example:
        >>> is_derived("h.0.attn.bias"), is_derived("h.0.attn.c_attn.bias")
        (True, False)
    """
    return _DERIVED.search(name) is not None


def is_head(name: str) -> bool:
    """Whether it turns hidden states into words, as embeddings may do as well."""
    return name.endswith(_HEADS)


def embedding(names: Iterable[str]) -> str | None:
    """The table of embeddings of words, if there is one such name."""
    found = [name for name in names if name.endswith(_EMBEDDINGS)]
    return found[0] if len(found) == 1 else None


def is_vocabulary(name: str) -> bool:
    """Whether the first axis counts words."""
    return name.endswith((*_HEADS, *_EMBEDDINGS, "lm_head.bias", "embed_out.bias"))


def depths(config: Mapping[str, Any]) -> dict[tuple[str, ...], int]:
    """Numbers of layers in a ``config.json``, by the keys that lead to them.

    Example:
        >>> depths({"n_layer": 12, "text_config": {"num_hidden_layers": 4}})
        {('n_layer',): 12, ('text_config', 'num_hidden_layers'): 4}
    """
    found: dict[tuple[str, ...], int] = {}
    for key, value in config.items():
        if key in _DEPTHS and isinstance(value, int):
            found[key,] = value
        if isinstance(value, Mapping) and key.endswith("config"):
            found |= {(key, *rest): number for rest, number in depths(value).items()}
    return found
