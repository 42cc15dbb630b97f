"""What a merge configuration may hold: mergekit's keys, and no other."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

import torch
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PlainValidator,
    Tag,
    model_validator,
)

from dale.errors import nearest
from dale.merge.config.values import Value, parse_value, shortened

TYPES: dict[str, torch.dtype] = {
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "float32": torch.float32,
    "float64": torch.float64,
}
"""Names of types for ``dtype`` and ``out_dtype``."""


class Spec(BaseModel):
    """A piece of a configuration; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _number(given: Any) -> Any:
    if isinstance(given, bool):
        raise ValueError(f"expected a number; got {str(given).lower()}")
    return given


Whole = Annotated[int, BeforeValidator(_number)]
"""A whole number, and no truth value, which Python would take for 0 or 1."""


class Place(Spec):
    """A folder or a name on the Hugging Face hub.

    Args:
        path: As written.
        revision: Branch, tag or commit, for names on the hub.
    """

    path: str
    revision: str | None = None

    def __str__(self) -> str:
        return self.path if self.revision is None else f"{self.path}@{self.revision}"


def _place(given: Any) -> Any:
    if not isinstance(given, str):
        return given
    path, _, revision = given.partition("@")
    return {"path": path, "revision": revision or None}


def _reference(given: Any) -> Any:
    if isinstance(given, Mapping | Reference):
        return given
    model, plus, lora = str(given).partition("+")
    if not isinstance(given, str) or not model or (plus and not lora):
        raise ValueError(
            "expected path, path@revision or path+lora as a model, got "
            f"{shortened(given)}"
        )
    return {"model": model, "lora": lora or None}


_Place = Annotated[Place, BeforeValidator(_place)]


class Reference(Spec):
    """A model, and maybe an adapter to be put on it.

    Args:
        model: Where it lies.
        lora: Where the adapter lies.
        override_architecture: Accepted; it plays no part, as layers are found by name.
    """

    model: _Place
    lora: _Place | None = None
    override_architecture: str | None = None

    def __str__(self) -> str:
        return str(self.model) if self.lora is None else f"{self.model}+{self.lora}"


Model = Annotated[Reference, BeforeValidator(_reference)]
"""A reference, written as text or as a mapping."""
Parameters = Annotated[
    dict[str, Annotated[Value, PlainValidator(parse_value)]],
    BeforeValidator(lambda given: {} if given is None else given),
]
"""Name of a parameter to its value."""


def _dtype(given: Any) -> Any:
    if given is not None and (not isinstance(given, str) or given not in TYPES):
        near = nearest(given if isinstance(given, str) else "", TYPES)
        raise ValueError(f"unknown type {shortened(given)}; {near}")
    return given


Type = Annotated[str | None, BeforeValidator(_dtype)]
"""One of `TYPES`."""


class Input(Spec):
    """A whole model.

    Args:
        model: Which.
        parameters: Its own.
    """

    model: Model
    parameters: Parameters = {}


class Span(Input):
    """Layers of a model.

    Args:
        layer_range: The first layer, and the one after the last.
    """

    layer_range: tuple[Whole, Whole]


class Slice(Spec):
    """Layers that become layers of the result.

    Args:
        sources: Layers of models, as many of each.
        base_model: For this slice.
        parameters: For this slice.
        residual_weight: Accepted; it plays no part.
    """

    sources: Annotated[tuple[Span, ...], Field(min_length=1)]
    base_model: Model | None = None
    parameters: Parameters = {}
    residual_weight: Annotated[float | None, BeforeValidator(_number)] = None


def _nonempty(given: Any) -> Any:
    return None if given == [] or given == {} else given


Inputs = Annotated[tuple[Input, ...] | None, BeforeValidator(_nonempty)]
Slices = Annotated[tuple[Slice, ...] | None, BeforeValidator(_nonempty)]


class Module(Spec):
    """A part of a model of several parts, such as its encoder.

    Args:
        models: Whole parts.
        slices: Layers.
        parameters: For this part.
    """

    models: Inputs = None
    slices: Slices = None
    parameters: Parameters = {}

    @model_validator(mode="after")
    def _one(self) -> Self:
        return _exactly_one(self, ("models", "slices"))


def _exactly_one(spec: Any, names: tuple[str, ...]) -> Any:
    given = [name for name in names if getattr(spec, name) is not None]
    if len(given) != 1:
        found = " and ".join(given) or "none of them"
        raise ValueError(f"expected exactly one of {', '.join(names)}; found {found}")
    return spec


class TokenOf(Spec):
    """The embedding of a token of a model, or zeros."""

    kind: Literal["model_token", "zero"]
    model: Model | None = None
    token: str | None = None
    token_id: Whole | None = None


def _token_kind(given: Any) -> str:
    own = isinstance(given, TokenOf) or (isinstance(given, Mapping) and "kind" in given)
    return "TokenOf" if own else "Reference"


class Token(Spec):
    """Where the embedding of a token comes from.

    Args:
        source: A model, or a mapping with ``kind``.
        force: Take it in all models, also in those that have the token.
    """

    source: (
        Annotated[
            Annotated[TokenOf, Tag("TokenOf")] | Annotated[Model, Tag("Reference")],
            Discriminator(_token_kind),
        ]
        | None
    ) = None
    force: bool = False


class Tokenizer(Spec):
    """The vocabulary of the result.

    Args:
        source: ``"union"``, ``"base"`` or a model.
        tokens: Tokens that are treated on their own.
        pad_to_multiple_of: Rows of embeddings are a multiple of this.
    """

    source: str | Model = "union"
    tokens: Annotated[dict[str, Token], BeforeValidator(lambda given: given or {})] = {}
    pad_to_multiple_of: Annotated[Whole, Field(ge=1, le=1 << 20)] | None = None


class MergeConfig(Spec):
    """A whole configuration.

    Args:
        merge_method: One of `dale.merge.METHODS`.
        models: Whole models.
        slices: Layers of models, one slice after the other.
        modules: Parts of models.
        base_model: The common ancestor, and the donor of config and tokenizer.
        dtype: Type to which tensors are cast before they are merged.
        out_dtype: Type of the result.
        parameters: For everything that has none of its own.
        tokenizer: The vocabulary.
        tokenizer_source: The older way to name it.
        chat_template: ``"auto"``, the name of a template, or the template itself.
    """

    model_config = ConfigDict(title="merge configuration")

    merge_method: str
    models: Inputs = None
    slices: Slices = None
    modules: Annotated[dict[str, Module] | None, BeforeValidator(_nonempty)] = None
    base_model: Model | None = None
    dtype: Type = None
    out_dtype: Type = None
    parameters: Parameters = {}
    tokenizer: Tokenizer | None = None
    tokenizer_source: str | None = None
    chat_template: str | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.tokenizer is not None and self.tokenizer_source is not None:
            raise ValueError("expected tokenizer or tokenizer_source, not both")
        return _exactly_one(self, ("models", "slices", "modules"))
