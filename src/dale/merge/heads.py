"""Heads of language models that are their table of embeddings, stored or not."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from dale.errors import WeightsError
from dale.merge.tokens.rows import layout_in, vocabulary_names
from dale.weights import Layout, Weights
from dale.weights.match import ties_of
from dale.weights.stamp import Stamp, stamp_of_view

_HEADS = ("lm_head.weight", "embed_out.weight", "output.weight")
TIE = "tie_word_embeddings"
"""The key in a configuration that says whether the head is the table."""


def head_names(weights: Weights) -> tuple[str | None, str | None]:
    """Names of the table of embeddings and of the head.

    Example:
        >>> head_names({"wte.weight": torch.ones(3, 2), "wpe.weight": torch.ones(9, 2)})
        ('wte.weight', None)
    """
    names = vocabulary_names(weights)
    head = next((name for name in names if name.endswith(_HEADS)), None)
    table = next((name for name in names if name != head), None)
    return table, head


def same_heads(
    weights_K: Sequence[Weights],
    configs_K: Sequence[Mapping[str, Any]],
    labels: Sequence[str],
    *,
    read: bool = True,
) -> tuple[list[Weights], bool | None]:
    """Models of which either all have a head of their own or none has.

    A model's head is its table of embeddings if its configuration says so, or if the
    configuration says nothing and no other head is stored. A head that is stored all
    the same is compared with the table and left out, so that the result stores it once
    whatever the models do. If some models have a head of their own, the others get
    theirs as a second name of the table.

    Args:
        weights_K: Models, in memory or in files.
        configs_K: What their ``config.json`` says; empty if there is none.
        labels: What to call them in messages.
        read: Compare stored heads; otherwise only headers are looked at, and a stored
            head counts as one of its own unless the configuration denies it.

    Returns:
        The models, and whether the result's head is its table; None if nothing shows
        that these are language models.

    Raises:
        WeightsError: A configuration says that a head is the table, and it is not.

    Example:
        >>> table = torch.ones(3, 2)
        >>> stored = {"wte.weight": table, "lm_head.weight": table.clone()}
        >>> models, tied = same_heads([stored, {"wte.weight": table}], [{}, {}], "ab")
        >>> [list(model) for model in models], tied
        ([['wte.weight'], ['wte.weight']], True)
    """
    pairs = [head_names(weights) for weights in weights_K]
    if not any(table for table, _ in pairs):
        return [*weights_K], None
    rows = zip(weights_K, configs_K, pairs, labels, strict=True)
    tied_K = [is_tied(*row, read=read) for row in rows]
    if all(tied_K):
        return [
            weights if head is None else Headless(weights, head)
            for weights, (_, head) in zip(weights_K, pairs, strict=True)
        ], True
    name = next((head for _, head in pairs if head is not None), None)
    return [
        TwiceNamed(weights, table, name)
        if table is not None and head is None and name is not None
        else weights
        for weights, (table, head) in zip(weights_K, pairs, strict=True)
    ], False


def stated(config: Mapping[str, Any]) -> bool | None:
    """Whether a configuration says that the head is the table; None if it is silent.

    Example:
        >>> stated({"text_config": {"tie_word_embeddings": True}}), stated({})
        (True, None)
    """
    inner = config.get("text_config")
    return config.get(TIE, inner.get(TIE) if isinstance(inner, Mapping) else None)


def is_tied(
    weights: Weights,
    config: Mapping[str, Any],
    names: tuple[str | None, str | None],
    label: str,
    *,
    read: bool = True,
) -> bool:
    """Whether a model's head is its table of embeddings; see `same_heads`.

    Args:
        weights: The model.
        config: What its ``config.json`` says.
        names: Of its table and its head, as far as it has them.
        label: What to call it in messages.
        read: Compare the two where the configuration does not deny it.

    Raises:
        WeightsError: The configuration says so, and it is not.
    """
    table, head = names
    said = stated(config)
    if head is None or table is None:
        return said is not False or head is None
    if ties_of(weights).get(head, head) == ties_of(weights).get(table, table):
        return True
    if said is False:
        return False
    if not read:
        return said is True
    same = torch.equal(weights[head], weights[table])
    if said and not same:
        raise WeightsError(
            f"{label}: {TIE} is true in its config.json, but {head!r} differs from "
            f"{table!r}; set it to false if the head is its own"
        )
    return same


class Headless(Mapping[str, Tensor]):
    """A model without its head, which is its table of embeddings.

    Args:
        weights: The model.
        head: Name of the head.
    """

    def __init__(self, weights: Weights, head: str) -> None:
        self._own = weights
        self._head = head
        self.header: dict[str, str] = dict(getattr(weights, "header", {}))
        kept = {n: to for n, to in ties_of(weights).items() if head not in {n, to}}
        self.ties = kept

    def __getitem__(self, name: str) -> Tensor:
        if name == self._head:
            raise KeyError(name)
        return self._own[name]

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._own if name != self._head)

    def __len__(self) -> int:
        return len(self._own) - 1

    @cached_property
    def stamp(self) -> Stamp | None:
        """What it is recognised by later, if the model is in files."""
        return stamp_of_view("headless", [self._own], head=self._head)

    @cached_property
    def layout(self) -> Layout:
        """Shapes, types, roles and ties; no tensor in a file is read."""
        below = layout_in(self._own)
        leaders = {*self.ties, *self.ties.values()}
        return Layout(
            {n: e if n in leaders else replace(e, tie=None) for n, e in below.items()
             if n != self._head}
        )  # fmt: skip


class TwiceNamed(Mapping[str, Tensor]):
    """A model whose table of embeddings is its head too, under a name of its own.

    Args:
        weights: The model.
        table: Name of the table.
        head: Name that the head gets.
    """

    def __init__(self, weights: Weights, table: str, head: str) -> None:
        self._own = weights
        self._table, self._head = table, head
        self.header: dict[str, str] = dict(getattr(weights, "header", {}))
        own = ties_of(weights)
        self.ties = own | {head: own.get(table, table)}

    def __getitem__(self, name: str) -> Tensor:
        return self._own[self._table if name == self._head else name]

    def __iter__(self) -> Iterator[str]:
        yield from self._own
        yield self._head

    def __len__(self) -> int:
        return len(self._own) + 1

    @cached_property
    def stamp(self) -> Stamp | None:
        """What it is recognised by later, if the model is in files."""
        names = [self._table, self._head]
        return stamp_of_view("twice named", [self._own], names=names)

    @cached_property
    def layout(self) -> Layout:
        """Shapes, types, roles and ties; no tensor in a file is read."""
        entries = dict(layout_in(self._own))
        first = self.ties[self._head]
        entries[first] = replace(entries[first], tie=first)
        return Layout(entries | {self._head: entries[self._table]})
