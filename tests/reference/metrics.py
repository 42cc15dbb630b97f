"""Metrics as one would write them on paper: loops over Python floats."""

import math

import numpy as np
from torch import Tensor


def rows_of(logits_NC: Tensor) -> list[list[float]]:
    return logits_NC.double().tolist()


def softmax(row: list[float]) -> list[float]:
    top = max(row)
    powers = [math.exp(value - top) for value in row]
    return [power / math.fsum(powers) for power in powers]


def argmax(row: list[float]) -> int:
    return row.index(max(row))


def accuracy(logits_NC: Tensor, targets_N: Tensor) -> float:
    pairs = zip(rows_of(logits_NC), targets_N.tolist(), strict=True)
    hits = [argmax(row) == target for row, target in pairs]
    return sum(hits) / len(hits)


def error(logits_NC: Tensor, targets_N: Tensor) -> float:
    pairs = zip(rows_of(logits_NC), targets_N.tolist(), strict=True)
    misses = [argmax(row) != target for row, target in pairs]
    return sum(misses) / len(misses)


def nll(logits_NC: Tensor, targets_N: Tensor) -> float:
    losses = []
    for row, target in zip(rows_of(logits_NC), targets_N.tolist(), strict=True):
        top = max(row)
        spread = math.log(math.fsum(math.exp(value - top) for value in row))
        losses.append(spread - (row[target] - top))
    return math.fsum(losses) / len(losses)


def brier(logits_NC: Tensor, targets_N: Tensor) -> float:
    scores = []
    for row, target in zip(rows_of(logits_NC), targets_N.tolist(), strict=True):
        probs = softmax(row)
        scores.append(math.fsum((p - (c == target)) ** 2 for c, p in enumerate(probs)))
    return math.fsum(scores) / len(scores)


def edges(confidences: list[float], bins: int, spacing: str) -> list[float]:
    if spacing == "width":
        return [b / bins for b in range(bins + 1)]
    ordered = sorted(round(confidence, 12) for confidence in confidences)
    ranks = [-(-b * len(ordered) // bins) for b in range(1, bins)]
    return [0.0, *(ordered[rank - 1] for rank in ranks), 1.0]


def binned(
    logits_NC: Tensor, targets_N: Tensor, bins: int = 15, spacing: str = "width"
) -> list[tuple[list[float], list[bool]]]:
    """For each bin the confidences in it and whether each was right."""
    rows = rows_of(logits_NC)
    confidences = [max(softmax(row)) for row in rows]
    limits = [round(limit, 12) for limit in edges(confidences, bins, spacing)]
    result: list[tuple[list[float], list[bool]]] = [([], []) for _ in range(bins)]
    for row, confidence, target in zip(
        rows, confidences, targets_N.tolist(), strict=True
    ):
        index = next(b for b in range(bins) if round(confidence, 12) <= limits[b + 1])
        result[index][0].append(confidence)
        result[index][1].append(argmax(row) == target)
    return result


def _gaps(bins: list[tuple[list[float], list[bool]]]) -> list[tuple[int, float]]:
    return [
        (len(right), abs(sum(right) / len(right) - math.fsum(sure) / len(sure)))
        for sure, right in bins
        if right
    ]


def ece(
    logits_NC: Tensor, targets_N: Tensor, bins: int = 15, spacing: str = "width"
) -> float:
    gaps = _gaps(binned(logits_NC, targets_N, bins, spacing))
    return math.fsum(count * gap for count, gap in gaps) / len(targets_N)


def mce(
    logits_NC: Tensor, targets_N: Tensor, bins: int = 15, spacing: str = "width"
) -> float:
    return max(gap for _, gap in _gaps(binned(logits_NC, targets_N, bins, spacing)))


def disagreement_MM(logits_MNC: Tensor) -> np.ndarray:
    predictions = [[argmax(row) for row in rows_of(member)] for member in logits_MNC]
    members, count = len(predictions), len(predictions[0])
    result = np.zeros((members, members))
    for i in range(members):
        for j in range(members):
            differ = [predictions[i][n] != predictions[j][n] for n in range(count)]
            result[i, j] = sum(differ) / count
    return result


def mean_disagreement(logits_MNC: Tensor) -> float:
    table = disagreement_MM(logits_MNC)
    members = len(table)
    pairs = [table[i, j] for i in range(members) for j in range(i)]
    return math.fsum(pairs) / len(pairs)


def normalised_disagreement(logits_MNC: Tensor, targets_N: Tensor) -> float:
    errors = [error(member, targets_N) for member in logits_MNC]
    mean_error = math.fsum(errors) / len(errors)
    return mean_disagreement(logits_MNC) / mean_error if mean_error else 0.0
