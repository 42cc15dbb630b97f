"""Small models with different vocabularies, made the same way by both libraries."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
MODELS = ("one", "two", "three")
WIDTH = 8
PADDING = {"one": 0, "two": 3, "three": 0}
"""Rows of the tables that have no token."""


def tables(name: str, rows: int) -> dict[str, np.ndarray]:
    """Embeddings and head of a model, float32."""
    draw = np.random.default_rng([*name.encode()])
    shape = (rows, WIDTH)
    return {
        "model.embed_tokens.weight": draw.standard_normal(shape, dtype=np.float32),
        "lm_head.weight": draw.standard_normal(shape, dtype=np.float32),
    }


@dataclass(frozen=True)
class Case:
    """What is merged, by which vocabulary.

    Without a base mergekit takes any model for it, as a hash table gives them.
    """

    source: str
    models: tuple[str, ...]
    base: str
    tokens: dict[str, Any] = field(default_factory=dict)
    multiple: int | None = None


ZERO = {"kind": "zero"}


def row(model: str, **which: Any) -> dict[str, Any]:
    """A row of a model, by mergekit's words."""
    return {"kind": "model_token", "model": model, **which}


CASES = {
    "base": Case("base", ("one", "two"), base="one"),
    "union": Case("union", ("one", "two", "three"), base="one"),
    "union_base": Case("union", ("one", "two", "three"), base="two"),
    "model": Case("three", ("one", "three"), base="one"),
    "rules": Case(
        "union",
        ("one", "two"),
        base="one",
        tokens={
            "<new>": {"source": ZERO},
            "<copy>": {"source": row("two", token="<sep>")},
            "<row>": {"source": row("one", token_id=3)},
            "the": {"source": "two", "force": True},
            "<s>": {"source": ZERO, "force": True},
        },
        multiple=16,
    ),
}
