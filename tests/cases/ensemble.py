"""Members' logits, targets and weights that cover what combiners meet."""

from dataclasses import dataclass

import torch
from torch import Tensor

from cases.metrics import members

INF = float("inf")


@dataclass(frozen=True)
class Members:
    name: str
    logits_MNC: Tensor
    targets_N: Tensor
    weights_M: tuple[float, ...] | None = None

    def __str__(self) -> str:
        return self.name


def _sampled(
    m: int, n: int, classes: int, weights: tuple[float, ...] | None = None
) -> Members:
    logits, targets = members(m, n, classes, seed=m + n)
    name = f"{m} x {n} x {classes}" + (" weighted" if weights else "")
    return Members(name, logits.double(), targets, weights)


def _ruled_out() -> Members:
    logits = torch.tensor([[[0.0, -INF, 1.0]], [[1.0, 0.0, -INF]], [[0.0, 2.0, 1.0]]])
    return Members("ruled out", logits.double(), torch.tensor([0]))


CASES = [
    _sampled(1, 7, 3),
    _sampled(2, 20, 2),
    _sampled(5, 40, 6),
    _sampled(3, 20, 4, (1.0, 2.0, 5.0)),
    _sampled(4, 20, 3, (0.0, 3.0, 0.0, 1.0)),
    Members("equal", torch.ones(3, 4, 2).double(), torch.tensor([0, 1, 1, 0])),
    Members(
        "saturated",
        torch.tensor([[[500.0, 0.0]], [[0.0, 500.0]]]).double(),
        torch.tensor([1]),
    ),
    _ruled_out(),
]

# (what is wrong, weights for three members, what the message must say)
BAD_WEIGHTS = [
    ("too few", [0.5, 0.5], r"expected 3 weights, .* got shape \(2,\)"),
    ("too many axes", [[1.0, 1.0, 1.0]], r"got shape \(1, 3\)"),
    ("negative", [1.0, -0.5, 1.0], r">= 0 .* got \[1\.0, -0\.5, 1\.0\]"),
    ("zero sum", [0.0, 0.0, 0.0], r"positive sum, got \[0\.0, 0\.0, 0\.0\]"),
    ("NaN", [1.0, INF - INF, 1.0], "finite weights"),
    ("infinite", [1.0, INF, 1.0], "finite weights"),
]
