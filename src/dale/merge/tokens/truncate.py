"""Vocabularies of different lengths: refused, or cut to the rows that all have."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

from torch import Tensor

from dale.errors import InputError, WeightsError
from dale.merge.tokens.rows import layout_in, relaid, vocabulary_names
from dale.weights import Layout, Weights
from dale.weights.match import listing, ties_of
from dale.weights.stamp import Stamp, stamp_of_view


def check_vocabularies(weights_K: Sequence[Weights], labels: Sequence[str]) -> None:
    """Require vocabularies of one length.

    Args:
        weights_K: Models.
        labels: What to call them in the message.

    Raises:
        WeightsError: Lengths differ.

    Example:
        >>> import torch
        >>> short, long = ({"wte.weight": torch.ones(n, 2)} for n in (5, 6))
        >>> check_vocabularies([short, long], ["a", "b"])
        Traceback (most recent call last):
            ...
        dale.errors.WeightsError: vocabularies differ: 'wte.weight' has 5 rows in a, 6
        in b; say by tokenizer_source which tokens the result has, or truncate
    """
    for name in vocabulary_names(weights_K[0]) if weights_K else ():
        shapes = [
            layout_in(weights)[name].shape if name in weights else None
            for weights in weights_K
        ]
        lengths = [shape[0] if shape else None for shape in shapes]
        if len({length for length in lengths if length is not None}) > 1:
            pairs = zip(labels, lengths, strict=True)
            head, *tail = [f"{n} in {at}" for at, n in pairs if n is not None]
            head = head.replace(" in ", " rows in ", 1)
            raise WeightsError(
                f"vocabularies differ: {name!r} has {', '.join([head, *tail])}; say by "
                "tokenizer_source which tokens the result has, or truncate"
            )


class TruncatedWeights(Mapping[str, Tensor]):
    """A model whose vocabulary ends early.

    Args:
        weights: The model.
        size: Rows that are kept.
        names: Tensors with a row for every token.

    Raises:
        InputError: The model has fewer rows.

    Example:
        >>> import torch
        >>> model = {"wte.weight": torch.arange(6.0).view(3, 2)}
        >>> TruncatedWeights(model, 1, ["wte.weight"])["wte.weight"]
        tensor([[0., 1.]])
    """

    def __init__(self, weights: Weights, size: int, names: Sequence[str]) -> None:
        below = layout_in(weights)
        short = [n for n in names if n in below and below[n].shape[0] < size]
        if short:
            raise InputError(f"fewer than {size} rows in {listing(short)}")
        self._own = weights
        self._named = frozenset(names)
        self._size = size
        self.header: dict[str, str] = dict(getattr(weights, "header", {}))
        self.ties = ties_of(weights)

    def __getitem__(self, name: str) -> Tensor:
        found = self._own[name]
        return found[: self._size] if name in self._named else found

    def __iter__(self) -> Iterator[str]:
        return iter(self._own)

    def __len__(self) -> int:
        return len(self._own)

    @cached_property
    def stamp(self) -> Stamp | None:
        """What it is recognised by later, if the model is in files."""
        names = sorted(self._named)
        return stamp_of_view("truncated", [self._own], names=names, rows=self._size)

    @cached_property
    def layout(self) -> Layout:
        """Shapes, types, roles and ties; no tensor in a file is read."""
        return relaid(layout_in(self._own), self._named, self._size)


def truncated(weights_K: Sequence[Weights]) -> list[Weights]:
    """Models cut to the rows that all of them have, counted from the first.

    What the rows mean is not looked at: this is for vocabularies that were made longer
    at the end alone.

    Example:
        >>> import torch
        >>> short, long = ({"wte.weight": torch.ones(n, 2)} for n in (5, 6))
        >>> [len(model["wte.weight"]) for model in truncated([short, long])]
        [5, 5]
    """
    names_K = [vocabulary_names(weights) for weights in weights_K]
    lengths = [
        layout_in(weights)[names[0]].shape[0]
        for weights, names in zip(weights_K, names_K, strict=True)
        if names
    ]
    if len(set(lengths)) < 2:
        return [*weights_K]
    size = min(lengths)
    pairs = zip(weights_K, names_K, strict=True)
    return [TruncatedWeights(weights, size, names) for weights, names in pairs]
