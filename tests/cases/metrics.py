"""Logits and targets that cover what metrics and calibrators meet in practice."""

from dataclasses import dataclass

import torch
from torch import Tensor

INF = float("inf")


@dataclass(frozen=True)
class Problem:
    name: str
    logits_NC: Tensor
    targets_N: Tensor

    def __str__(self) -> str:
        return self.name


def sampled(
    n: int, classes: int, seed: int, scale: float = 2.0, temperature: float = 1.0
) -> Problem:
    """Targets drawn from softmax(logits / temperature)."""
    generator = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(n, classes, generator=generator)
    probs = (logits.double() / temperature).softmax(dim=1)
    targets = torch.multinomial(probs, 1, generator=generator)[:, 0]
    return Problem(f"sampled-{n}x{classes}-T{temperature:g}", logits, targets)


def members(m: int, n: int, classes: int, seed: int) -> tuple[Tensor, Tensor]:
    """Logits of m noisy members around one truth, and the targets."""
    base = sampled(n, classes, seed)
    generator = torch.Generator().manual_seed(seed + 1)
    noise = torch.randn(m, n, classes, generator=generator)
    return base.logits_NC + 1.5 * noise, base.targets_N


def _tied() -> Problem:
    logits = torch.tensor([[1.0, 1.0, 0.0], [0.0, 2.0, 2.0], [3.0, 3.0, 3.0]])
    return Problem("tied", logits.repeat(4, 1), torch.tensor([0, 1, 2, 1] * 3))


def _saturated() -> Problem:
    """Confidences of exactly 1.0 beside others in the last bin and elsewhere."""
    logits = torch.tensor([[900.0, 0.0], [0.0, 900.0], [3.2, 0.0], [0.3, 0.0]])
    return Problem("saturated", logits, torch.tensor([0, 0, 0, 1]))


def _minus_infinity() -> Problem:
    logits = torch.tensor([[0.0, -INF, 1.0], [2.0, 0.5, -INF], [-INF, 0.0, -INF]])
    return Problem("minus-infinity", logits, torch.tensor([0, 1, 1]))


def _huge() -> Problem:
    logits = torch.tensor([[1e30, 0.0], [-1e30, 2e30], [1e30, 1e30]])
    return Problem("huge", logits, torch.tensor([0, 0, 1]))


def _half(dtype: torch.dtype) -> Problem:
    base = sampled(40, 4, 11)
    return Problem(str(dtype), base.logits_NC.to(dtype), base.targets_N)


PROBLEMS = [
    sampled(200, 5, 0),
    sampled(150, 2, 1),
    sampled(300, 10, 2, temperature=3.0),
    sampled(300, 10, 3, temperature=0.4),
    Problem("one example", torch.tensor([[1.0, 2.0, 0.5]]), torch.tensor([2])),
    Problem("one class", sampled(30, 3, 4).logits_NC, torch.ones(30).long()),
    Problem("uniform", torch.zeros(7, 4), torch.tensor([0, 1, 2, 3, 0, 1, 2])),
    Problem("perfect", 9 * torch.eye(3), torch.tensor([0, 1, 2])),
    Problem("hopeless", -9 * torch.eye(3), torch.tensor([0, 1, 2])),
    Problem("int32 targets", 2 * torch.eye(3), torch.tensor([0, 1, 1]).int()),
    _tied(),
    _saturated(),
    _minus_infinity(),
    _huge(),
    _half(torch.float16),
    _half(torch.bfloat16),
    _half(torch.float64),
]

# (what is wrong, logits, targets, what the message must say)
ZERO = torch.zeros(3, 2)
GOOD = torch.tensor([0, 1, 1])
BAD_INPUTS = [
    ("integer logits", ZERO.long(), GOOD, r"floating tensor, got torch\.int64"),
    ("list", [[0.0, 1.0]], GOOD, "floating tensor, got list"),
    ("one axis", torch.zeros(3), GOOD, r"2 axes \(N, C\), got shape \(3,\)"),
    ("three axes", torch.zeros(1, 3, 2), GOOD, r"2 axes .* got shape \(1, 3, 2\)"),
    ("no example", torch.zeros(0, 2), GOOD[:0], r"N >= 1, got shape \(0, 2\)"),
    ("one class", torch.zeros(3, 1), 0 * GOOD, r"C >= 2, got shape \(3, 1\)"),
    ("float targets", ZERO, GOOD.float(), r"integer tensor, got torch\.float32"),
    ("bool targets", ZERO, GOOD.bool(), r"integer tensor, got torch\.bool"),
    ("list targets", ZERO, [0, 1, 1], "integer tensor, got list"),
    ("short targets", ZERO, GOOD[:2], r"shape \(3,\) .* got \(2,\)"),
    ("one-hot targets", ZERO, torch.eye(3).long(), r"shape \(3,\) .* got \(3, 3\)"),
    ("label too large", ZERO, GOOD + 1, r"classes in \[0, 2\), got .* 1 to 2"),
    ("negative label", ZERO, GOOD - 1, r"classes in \[0, 2\), got .* -1 to 0"),
    ("NaN", torch.tensor([[0.0, 1.0], [INF - INF, 0.0]]), GOOD[:2], "example 1.*NaN"),
    ("+inf", torch.tensor([[0.0, INF]]), GOOD[:1], r"example 0.*\+inf"),
    ("all -inf", torch.tensor([[-INF, -INF]]), GOOD[:1], "-inf for every class"),
]
