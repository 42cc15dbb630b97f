"""Embeddings of one vocabulary out of those of another. Shape suffix: V, rows."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from dale.errors import WeightsError
from dale.weights import Layout, Weights, digest_arrays, layout_of_weights, wide
from dale.weights.match import ties_of
from dale.weights.stamp import Stamp, stamp_of_view

_TABLES = {
    "embed_tokens",
    "wte",
    "word_embeddings",
    "embed_in",
    "tok_embeddings",
    "shared",
    "embeddings",
    "embedding",
}
_HEADS = {"lm_head", "embed_out", "output", "decoder"}
_BIASES = ("cls.predictions.bias",)
_FEW = 4096
MEAN, ZERO = -1, -2
"""Where a row comes from when it is from no single model."""


def vocabulary_names(weights: Weights) -> list[str]:
    """Tensors with a row for every token: tables of embeddings and heads.

    They are told by the name of their layer, outside of numbered layers, and by their
    length, which is that of the first table of embeddings.

    Args:
        weights: A model, in memory or in files.

    Returns:
        Names, in the order of the model; none if it has no table of embeddings.

    Example:
        >>> names = ("model.embed_tokens", "model.layers.0.output", "lm_head")
        >>> vocabulary_names({f"{name}.weight": torch.ones(5, 2) for name in names})
        ['model.embed_tokens.weight', 'lm_head.weight']
    """
    layout = layout_in(weights)
    tables = [name for name in layout if _layer(name) in _TABLES]
    tables = [name for name in tables if len(layout[name].shape) == 2]
    if not tables:
        return []
    rows = layout[tables[0]].shape[0]
    return [
        name
        for name, found in layout.items()
        if (_layer(name) in _TABLES | _HEADS or name.endswith(_BIASES))
        and found.shape[:1] == (rows,)
        and found.role == "parameter"
    ]


def _layer(name: str) -> str:
    """The layer that a tensor outside of numbered layers belongs to."""
    *above, layer, leaf = ("", "", *name.split("."))
    if leaf not in {"weight", "bias"} or any(part.isdecimal() for part in above):
        return ""
    return layer


def layout_in(weights: Weights) -> Layout:
    """Layout of weights in memory or in files, which are not read."""
    found = getattr(weights, "layout", None)
    return layout_of_weights(weights) if found is None else found


@dataclass(frozen=True)
class Rows:
    """Where every row of the result comes from, for every model.

    Attributes:
        size: Rows of the result, padding included.
        tokens_V: Which of them have a token.
        own_KV: The row of the same token in each model, −1 where it has none.
        lender_V: The model that lends a row to models without one; `MEAN` of those
            that have one, or `ZERO`.
        lent_V: The lender's row.
        forced_V: Rows that are lent even to models with one of their own.
    """

    size: int
    tokens_V: Tensor
    own_KV: Tensor
    lender_V: Tensor
    lent_V: Tensor
    forced_V: Tensor

    @cached_property
    def digest(self) -> str:
        """Of where every row comes from."""
        lent = self.lender_V, self.lent_V, self.forced_V
        return digest_arrays(torch.tensor(self.size), self.tokens_V, self.own_KV, *lent)

    def unchanged(self, k: int, length: int) -> bool:
        """Whether model k has these rows already."""
        same = length == self.size and bool(self.tokens_V.all())
        same = same and not bool(self.forced_V.any())
        return same and torch.equal(self.own_KV[k], torch.arange(self.size))

    def table(self, k: int, tensors_K: Sequence["Tensor | None"]) -> Tensor:
        """The tensor of model k with these rows.

        Args:
            k: The model.
            tensors_K: The tensor of every model that is needed, see `needed`.

        Returns:
            ``[size, *]`` in the type of model k. Rows without a token get the mean of
            those that have one.
        """
        source = _given(tensors_K[k], k)
        mine = (self.own_KV[k] >= 0) & ~self.forced_V
        # all rows in one go; those of tokens that are not its own are replaced
        result = source.index_select(0, self.own_KV[k].clamp(min=0))
        result[~mine] = 0
        for j in range(len(tensors_K)):
            lent = ~mine & (self.lender_V == j) & self.tokens_V
            if lent.any():
                rows = _given(tensors_K[j], j).index_select(0, self.lent_V[lent])
                result[lent] = rows.to(result.dtype)
        mean = ~mine & (self.lender_V == MEAN) & self.tokens_V
        if mean.any():
            result[mean] = self._mean(mean, tensors_K).to(result.dtype)
        if not self.tokens_V.all() and self.tokens_V.any():
            result[~self.tokens_V] = self._average(result).to(result.dtype)
        return result

    def _average(self, table: Tensor) -> Tensor:
        """Mean of the rows that have a token, a few widened at a time."""
        parts = zip(table.split(_FEW), self.tokens_V.split(_FEW), strict=True)
        total = sum(wide(rows[kept]).sum(0) for rows, kept in parts)
        return total / self.tokens_V.sum()

    def _mean(self, chosen_V: Tensor, tensors_K: Sequence["Tensor | None"]) -> Tensor:
        """Mean of the rows that models have for these tokens, in float32 or wider."""
        total = torch.zeros(())
        owners = (self.own_KV[:, chosen_V] >= 0).sum(0)
        for j, own_V in enumerate(self.own_KV[:, chosen_V]):
            rows = wide(_given(tensors_K[j], j).index_select(0, own_V.clamp(min=0)))
            shape = (-1, *(1,) * (rows.ndim - 1))
            total = total + rows.masked_fill((own_V < 0).view(shape), 0)
        return total / owners.view(-1, *(1,) * (total.ndim - 1))

    def needed(self, k: int) -> list[int]:
        """Models whose tensors the table of model k is made of."""
        borrowed = ((self.own_KV[k] < 0) | self.forced_V) & self.tokens_V
        lenders = set(self.lender_V[borrowed].tolist())
        everyone = range(len(self.own_KV)) if MEAN in lenders else ()
        return sorted({k, *everyone, *(j for j in lenders if j >= 0)})


def _given(tensor: "Tensor | None", k: int) -> Tensor:
    if tensor is None:
        raise WeightsError(f"model {k} lacks a tensor that others have by token")
    return tensor


class ReindexedWeights(Mapping[str, Tensor]):
    """A model with another vocabulary, made a tensor at a time when it is asked for.

    Args:
        weights_K: All models.
        k: Which of them this is.
        rows: Where rows come from.
        names: Tensors with a row for every token.

    Attributes:
        header: Words of the model, if it has any.
        ties: As the model has them.
    """

    def __init__(
        self, weights_K: Sequence[Weights], k: int, rows: Rows, names: Sequence[str]
    ) -> None:
        self._weights_K = weights_K
        self._own = weights_K[k]
        self._k = k
        self._rows = rows
        self._named = frozenset(names)
        self.header: dict[str, str] = dict(getattr(self._own, "header", {}))
        self.ties = ties_of(self._own)

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._named:
            return self._own[name]
        needed = self._rows.needed(self._k)
        tensors_K = [
            weights[name] if j in needed and name in weights else None
            for j, weights in enumerate(self._weights_K)
        ]
        return self._rows.table(self._k, tensors_K)

    def __iter__(self) -> Iterator[str]:
        return iter(self._own)

    def __len__(self) -> int:
        return len(self._own)

    def __contains__(self, name: object) -> bool:
        return name in self._own

    @cached_property
    def stamp(self) -> Stamp | None:
        """What it is recognised by later, if all models are in files."""
        names = sorted(self._named)
        how = {"model": self._k, "names": names, "rows": self._rows.digest}
        return stamp_of_view("aligned", self._weights_K, **how)

    @cached_property
    def layout(self) -> Layout:
        """Shapes, types, roles and ties; no tensor in a file is read."""
        return relaid(layout_in(self._own), self._named, self._rows.size)


def relaid(below: Layout, names: frozenset[str], size: int) -> Layout:
    """A layout with another number of rows under some names."""
    return Layout(
        {
            name: replace(found, shape=(size, *found.shape[1:]))
            if name in names
            else found
            for name, found in below.items()
        }
    )
