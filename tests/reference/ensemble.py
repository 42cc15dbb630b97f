"""Combiners and greedy selection in NumPy loops, float64, straight from the text."""

import math

import numpy as np
from torch import Tensor

from reference.metrics import argmax, softmax


def _setup(
    logits_MNC: Tensor, weights_M: list[float] | None
) -> tuple[np.ndarray, list[float]]:
    rows = logits_MNC.double().tolist()
    probs = np.array([[softmax(row) for row in member] for member in rows])
    weights = [1.0] * len(probs) if weights_M is None else list(weights_M)
    return probs, [weight / sum(weights) for weight in weights]


def mean_probability(
    logits_MNC: Tensor, weights_M: list[float] | None = None
) -> np.ndarray:
    probs, weights = _setup(logits_MNC, weights_M)
    return sum(weight * p for weight, p in zip(weights, probs, strict=True))


def geometric(logits_MNC: Tensor, weights_M: list[float] | None = None) -> np.ndarray:
    probs, weights = _setup(logits_MNC, weights_M)
    product = np.ones_like(probs[0])
    for weight, p in zip(weights, probs, strict=True):
        product = product * p**weight  # 0 ** 0 is 1: no weight, no veto
    return product / product.sum(axis=1, keepdims=True)


def mean_logit(logits_MNC: Tensor, weights_M: list[float] | None = None) -> np.ndarray:
    _, weights = _setup(logits_MNC, weights_M)
    total = np.zeros(logits_MNC.shape[1:])
    for weight, member in zip(weights, logits_MNC.double().numpy(), strict=True):
        total += weight * member
    return np.array([softmax(row) for row in total.tolist()])


def hard_vote(
    logits_MNC: Tensor, weights_M: list[float] | None = None, smoothing: float = 1.0
) -> np.ndarray:
    _, weights = _setup(logits_MNC, weights_M)
    _, examples, classes = logits_MNC.shape
    shares = np.zeros((examples, classes))
    for weight, member in zip(weights, logits_MNC.double().tolist(), strict=True):
        for n, row in enumerate(member):
            shares[n, argmax(row)] += weight
    votes = 1 / sum(weight**2 for weight in weights)
    return (votes * shares + smoothing / classes) / (votes + smoothing)


soft_vote = mean_probability


def score(probs_NC: np.ndarray, targets: list[int], metric: str) -> float:
    pairs = list(zip(probs_NC.tolist(), targets, strict=True))
    if metric == "nll":
        return -sum(math.log(row[y]) for row, y in pairs) / len(pairs)
    return sum(argmax(row) != y for row, y in pairs) / len(pairs)


def greedy(
    logits_MNC: Tensor, targets_N: Tensor, size: int, metric: str
) -> tuple[list[int], list[float], int]:
    """Order, scores and length of the best prefix, re-scoring everything each time."""
    probs, _ = _setup(logits_MNC, None)
    targets = targets_N.tolist()
    order: list[int] = []
    scores: list[float] = []
    for _ in range(size):
        trials = []
        for candidate in range(len(probs)):
            chosen = [*order, candidate]
            mean = sum(probs[m] for m in chosen) / len(chosen)
            trials.append(score(mean, targets, metric))
        tied = [m for m, s in enumerate(trials) if s <= min(trials) + 1e-12]
        order.append(min(tied, key=lambda m: (m not in order, m)))
        scores.append(trials[order[-1]])
    best = next(k for k, s in enumerate(scores) if s <= min(scores) + 1e-12)
    return order, scores, best + 1
