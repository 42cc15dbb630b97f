"""Slow, obviously right twins of what data-driven merging measures and computes."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dale.weights import load_into


def fisher(
    net: nn.Module, inputs: Sequence[Tensor], labels: Sequence[int] | None
) -> dict[str, Tensor]:
    """One backward pass for each example and class; expected when labels are None."""
    net.eval()
    sums = {n: torch.zeros_like(p).double() for n, p in net.named_parameters()}
    for position, one in enumerate(inputs):
        logs = net(one[None]).log_softmax(1)[0]
        chances = logs.exp().tolist()
        for label, chance in enumerate(chances):
            if labels is not None:
                chance = float(label == labels[position])
            gradients = torch.autograd.grad(
                logs[label], list(net.parameters()), retain_graph=True
            )
            for name, gradient in zip(sums, gradients, strict=True):
                sums[name] += chance * gradient.double() ** 2
    return {name: total / len(inputs) for name, total in sums.items()}


def regmean(
    matrices_K: Sequence[Tensor], inputs_K: Sequence[Tensor], alpha: float
) -> Tensor:
    """The formula with inverses, for matrices ``[out, in]`` and inputs ``[R, in]``."""
    left = torch.zeros(matrices_K[0].shape[1], matrices_K[0].shape[1]).double()
    right = torch.zeros(matrices_K[0].mT.shape).double()
    for matrix, inputs in zip(matrices_K, inputs_K, strict=True):
        rows = inputs.double()
        gram = rows.mT @ rows / len(rows)
        gram = alpha * gram + (1 - alpha) * torch.diag(torch.diag(gram))
        left += gram
        right += gram @ matrix.double().mT
    return (torch.linalg.inv(left) @ right).mT


def sampled_convolution(net: nn.Conv2d, inputs: Tensor) -> Tensor:
    """Rows that a convolution multiplies, found by probing it with each unit kernel."""
    columns = []
    probe = nn.Conv2d(
        net.in_channels,
        net.groups,
        net.kernel_size,
        stride=net.stride,
        padding=net.padding,
        dilation=net.dilation,
        groups=net.groups,
        padding_mode=net.padding_mode,
        bias=False,
    )
    size = probe.weight[0].numel()
    for place in range(size):
        unit = torch.zeros(size)
        unit[place] = 1
        load_into(
            probe, {"weight": unit.view(probe.weight[0].shape).expand_as(probe.weight)}
        )
        with torch.no_grad():
            out = probe(inputs)
        columns.append(out.transpose(0, 1).reshape(net.groups, -1))
    return torch.stack(columns, dim=-1)


def covariance(rows: Tensor) -> Tensor:
    """Of rows ``[R, C]``, entry by entry."""
    rows = rows.double()
    found = torch.zeros(rows.shape[1], rows.shape[1]).double()
    for i in range(rows.shape[1]):
        for j in range(rows.shape[1]):
            apart = (rows[:, i] - rows[:, i].mean()) * (rows[:, j] - rows[:, j].mean())
            found[i, j] = apart.mean()
    return found


def most_important(covariances_K: Sequence[Tensor], count: int) -> list[int]:
    """Units by eigenvectors weighted by eigenvalues, one at a time."""
    values, vectors = torch.linalg.eigh(sum(c.double() for c in covariances_K))
    size = len(values)
    scores = [
        sum(float(values[i]) * abs(float(vectors[c, i])) for i in range(size))
        for c in range(size)
    ]
    return sorted(sorted(range(size), key=lambda c: -scores[c])[:count])


def imported(
    matrices_K: Sequence[Tensor],
    inputs_K: Sequence[Tensor],
    donor: int,
    strength: float,
) -> Tensor:
    """Least squares over stacked rows, for matrices ``[out, in]``."""
    left, right = [], []
    others = len(matrices_K) - 1
    for k, (matrix, inputs) in enumerate(zip(matrices_K, inputs_K, strict=True)):
        share = 1.0 if k == donor else strength / others
        rows = inputs.double() * (share / len(inputs)) ** 0.5
        left.append(rows)
        right.append(rows @ matrix.double().mT)
    return torch.linalg.lstsq(torch.cat(left), torch.cat(right)).solution.mT


def moved(
    base: Tensor,
    tensors_K: Sequence[Tensor],
    importances_K: Sequence[Tensor],
    alpha: float,
    rounds: int,
) -> Tensor:
    """The moving average, element by element and round by round."""
    result = base.double().clone()
    flat = result.view(-1)
    for place in range(flat.numel()):
        for _ in range(rounds):
            a_K = [max(float(a.reshape(-1)[place]), 1e-6) for a in importances_K]
            w_K = [float(x.reshape(-1)[place]) for x in tensors_K]
            fresh = sum(a * w for a, w in zip(a_K, w_K, strict=True)) / sum(a_K)
            flat[place] = (1 - alpha) * float(flat[place]) + alpha * fresh
    return result


def entropy_step(
    net: nn.Module,
    models: Sequence[dict[str, Tensor]],
    base: dict[str, Tensor],
    inputs: Tensor,
    start: float,
    rate: float,
) -> list[float]:
    """Task-wise coefficients after Adam's first step, by finite differences."""

    def value(coefficients: Sequence[float]) -> float:
        mixed = {
            name: origin
            + sum(
                c * (model[name] - origin)
                for c, model in zip(coefficients, models, strict=True)
            )
            for name, origin in base.items()
        }
        load_into(net, mixed)
        with torch.no_grad():
            chances = net(inputs).softmax(1)
        return float(-(chances * chances.log()).sum(1).mean())

    found = []
    for k in range(len(models)):
        ahead = [start + (1e-2 if j == k else 0) for j in range(len(models))]
        behind = [start - (1e-2 if j == k else 0) for j in range(len(models))]
        slope = value(ahead) - value(behind)
        found.append(start - rate * (1 if slope > 0 else -1))
    return found
