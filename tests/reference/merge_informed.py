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
