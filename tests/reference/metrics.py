"""Metrics as one would write them on paper: loops over Python floats."""

import math
from fractions import Fraction

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


def adaptive_ece(logits_NC: Tensor, targets_N: Tensor, bins: int = 15) -> float:
    return ece(logits_NC, targets_N, bins, "mass")


def rms_ce(
    logits_NC: Tensor, targets_N: Tensor, bins: int = 15, spacing: str = "mass"
) -> float:
    gaps = _gaps(binned(logits_NC, targets_N, bins, spacing))
    return math.sqrt(math.fsum(n * gap**2 for n, gap in gaps) / len(targets_N))


def debiased_square(
    logits_NC: Tensor, targets_N: Tensor, bins: int = 15, spacing: str = "mass"
) -> float:
    terms = []
    for sure, right in binned(logits_NC, targets_N, bins, spacing):
        n = len(right)
        if n > 1:
            share = sum(right) / n
            # the usual unbiased estimate of the variance of a mean
            variance = math.fsum((x - share) ** 2 for x in right) / (n - 1) / n
            terms.append(n * ((share - math.fsum(sure) / n) ** 2 - variance))
    return math.fsum(terms) / len(targets_N)


def debiased_rms_ce(
    logits_NC: Tensor, targets_N: Tensor, bins: int = 15, spacing: str = "mass"
) -> float:
    return math.sqrt(max(0.0, debiased_square(logits_NC, targets_N, bins, spacing)))


def _grouped(
    values: list[float], truths: list[bool], bins: int, spacing: str
) -> list[list[tuple[float, bool]]]:
    """The pairs (value, truth) of each bin that is in use."""
    limits = [round(limit, 12) for limit in edges(values, bins, spacing)]
    result: list[list[tuple[float, bool]]] = [[] for _ in range(bins)]
    for value, truth in zip(values, truths, strict=True):
        index = next(b for b in range(bins) if round(value, 12) <= limits[b + 1])
        result[index].append((value, truth))
    return [pairs for pairs in result if pairs]


def _one_against_all(
    logits_NC: Tensor, targets_N: Tensor, bins: int, spacing: str
) -> list[list[list[tuple[float, bool]]]]:
    probs = [softmax(row) for row in rows_of(logits_NC)]
    return [
        _grouped(
            [row[c] for row in probs],
            [target == c for target in targets_N.tolist()],
            bins,
            spacing,
        )
        for c in range(logits_NC.shape[1])
    ]


def _sum_of_gaps(groups: list[list[tuple[float, bool]]]) -> float:
    return math.fsum(abs(math.fsum(y - p for p, y in pairs)) for pairs in groups)


def classwise_ece(
    logits_NC: Tensor, targets_N: Tensor, bins: int = 15, spacing: str = "width"
) -> float:
    classes = _one_against_all(logits_NC, targets_N, bins, spacing)
    total = math.fsum(_sum_of_gaps(groups) for groups in classes)
    return total / len(targets_N) / len(classes)


def top_label_ece(
    logits_NC: Tensor, targets_N: Tensor, bins: int = 15, spacing: str = "width"
) -> float:
    rows = list(zip(rows_of(logits_NC), targets_N.tolist(), strict=True))
    total = 0.0
    for c in range(logits_NC.shape[1]):
        called = [(max(softmax(row)), y == c) for row, y in rows if argmax(row) == c]
        if called:
            sure, right = zip(*called, strict=True)
            total += _sum_of_gaps(_grouped(list(sure), list(right), bins, spacing))
    return total / len(rows)


def brier_reliability(
    logits_NC: Tensor, targets_N: Tensor, bins: int = 15, spacing: str = "width"
) -> float:
    total = 0.0
    for groups in _one_against_all(logits_NC, targets_N, bins, spacing):
        for pairs in groups:
            gap = math.fsum(p - y for p, y in pairs) / len(pairs)
            total += len(pairs) * gap**2
    return total / len(targets_N)


def brier_resolution(
    logits_NC: Tensor, targets_N: Tensor, bins: int = 15, spacing: str = "width"
) -> float:
    total = 0.0
    for groups in _one_against_all(logits_NC, targets_N, bins, spacing):
        overall = sum(y for pairs in groups for _, y in pairs) / len(targets_N)
        for pairs in groups:
            share = sum(y for _, y in pairs) / len(pairs)
            total += len(pairs) * (share - overall) ** 2
    return total / len(targets_N)


def _by_confidence(logits_NC: Tensor, targets_N: Tensor) -> list[tuple[float, bool]]:
    pairs = zip(rows_of(logits_NC), targets_N.tolist(), strict=True)
    rated = [(round(max(softmax(row)), 12), argmax(row) != y) for row, y in pairs]
    return sorted(rated, key=lambda pair: -pair[0])


def risks(logits_NC: Tensor, targets_N: Tensor) -> list[float]:
    """Error among the k most confident; of ties each is wrong by the tie's share."""
    rated = _by_confidence(logits_NC, targets_N)
    result, wrong = [], 0.0
    for k, (level, _) in enumerate(rated, 1):
        ties = [bad for other, bad in rated if other == level]
        wrong += sum(ties) / len(ties)
        result.append(wrong / k)
    return result


def aurc(logits_NC: Tensor, targets_N: Tensor) -> float:
    return math.fsum(risks(logits_NC, targets_N)) / len(targets_N)


def selective_risk(
    logits_NC: Tensor, targets_N: Tensor, coverage: float = 0.8
) -> float:
    share = Fraction(coverage).limit_denominator(10**6)
    kept = max(1, math.ceil(share * len(targets_N)))
    return risks(logits_NC, targets_N)[kept - 1]


def misclassification_auroc(logits_NC: Tensor, targets_N: Tensor) -> float:
    """Share of the pairs of a right and a wrong one that are in order."""
    rated = _by_confidence(logits_NC, targets_N)
    right = [level for level, bad in rated if not bad]
    wrong = [level for level, bad in rated if bad]
    if not right or not wrong:
        return math.nan
    wins = sum((r > w) + (r == w) / 2 for r in right for w in wrong)
    return wins / len(right) / len(wrong)


def logit_norm(logits_NC: Tensor, targets_N: Tensor) -> float:
    norms = []
    for row in rows_of(logits_NC):
        if any(math.isinf(z) for z in row):
            return math.inf
        mean = sum(row) / len(row)
        norms.append(math.sqrt(sum((z - mean) ** 2 for z in row)))
    return sum(norms) / len(norms)
