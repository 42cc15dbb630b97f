"""Sets the rates of layers while an optimiser trains them, in any loop.

Shape suffix: L layers.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer

from dale.errors import InputError
from dale.train.layers.rules import Measured, Rule

Agree = Callable[..., list[float]]
"""Numbers of this process to numbers that all processes have."""


class Layerwise:
    """Watches an optimiser's steps, and sets each layer's factor of the rate.

    The layers are the optimiser's groups, told apart by their ``name``, as
    `layer_groups` makes them. The factors are the groups' ``lr_scale``, by which
    `dale.Scheduled` multiplies the schedule, whatever it is. Gradients are looked at
    as the optimiser sees them: of the whole batch, and clipped where they are. A
    frozen layer has its gradients dropped before the step, so that the optimiser
    passes over it: no update, no weight decay, no momentum.

    Args:
        optimizer: Any optimiser of PyTorch, fresh.
        rule: What the factors follow: `discriminative`, `equalised` or `signal`.
        agree: Makes all processes decide the same; left out for one process.

    Raises:
        InputError: The groups have no names.

    Example:
        >>> import dale
        >>> from dale.train import equalised
        >>> _ = torch.manual_seed(0)
        >>> model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Linear(8, 2))
        >>> optimizer = torch.optim.SGD(dale.layer_groups(model), lr=0.1)
        >>> layers = Layerwise(optimizer, equalised(pilot=5, of="largest"))
        >>> for _ in range(5):
        ...     optimizer.zero_grad()
        ...     model(torch.ones(3, 4)).square().mean().backward()
        ...     optimizer.step()
        >>> list(layers.scales), max(layers.scales.values())
        (['0', '1'], 1.0)
    """

    def __init__(
        self,
        optimizer: Optimizer,
        rule: Rule,
        agree: Agree = lambda *values: list(values),
    ) -> None:
        self.optimizer, self.rule, self._agree = optimizer, rule, agree
        if not all("name" in group for group in optimizer.param_groups):
            raise InputError(
                "layers: a parameter group has no name; make the groups with "
                "dale.layer_groups(model)"
            )
        self.names = list(dict.fromkeys(g["name"] for g in optimizer.param_groups))
        # groups are replaced when a state is loaded, and keep their order
        self._places = [self.names.index(g["name"]) for g in optimizer.param_groups]
        L = len(self.names)
        self._step, self._window = 0, rule.window(0)
        self._sums_L, self._count = torch.zeros(L, dtype=torch.float64), 0
        self._ratios: list[float] | None = None
        self._frozen: dict[str, int] = {}
        self._used: list[float] = [0.0] * L
        self._set(rule.first(L))
        optimizer.register_step_pre_hook(self._before)
        optimizer.register_step_post_hook(self._after)

    @property
    def scales(self) -> dict[str, float]:
        """Each layer's factor of the rate; 0 where it is frozen."""
        return dict(zip(self.names, self._scales, strict=True))

    @property
    def frozen(self) -> dict[str, int]:
        """Layers that are left alone, and after how many updates they were frozen."""
        return dict(self._frozen)

    def apply(self, step: int) -> None:
        """Multiply the rates that were just set for an update."""
        self._step = step
        for group in self.optimizer.param_groups:
            group["lr"] *= group["lr_scale"]

    def record(self) -> dict[str, Any]:
        """What the log says of the last update."""
        found: dict[str, Any] = {
            "rates": dict(zip(self.names, self._used, strict=True))
        }
        if self._ratios is not None:
            found["ratios"] = dict(zip(self.names, self._ratios, strict=True))
        if self._frozen:
            found["frozen"] = self.frozen
        return found

    def state(self) -> dict[str, Any]:
        """Everything it knows."""
        return {
            "step": self._step,
            "window": self._window,
            "sums": self._sums_L.cpu(),
            "count": self._count,
            "scales": self._scales,
            "ratios": self._ratios,
            "frozen": self._frozen,
            "used": self._used,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint."""
        self._step, window = state["step"], state["window"]
        self._window = None if window is None else (window[0], window[1])
        self._sums_L, self._count = state["sums"].clone(), state["count"]
        ratios = state["ratios"]
        self._ratios = None if ratios is None else list(ratios)
        self._frozen, self._used = dict(state["frozen"]), list(state["used"])
        self._set(state["scales"])

    def _set(self, scales: list[float]) -> None:
        """Take these factors; a frozen layer keeps 0."""
        pairs = zip(self.names, scales, strict=True)
        self._scales = [0.0 if name in self._frozen else s for name, s in pairs]
        for place, group in self._placed():
            group["lr_scale"] = self._scales[place]

    def _placed(self) -> list[tuple[int, dict[str, Any]]]:
        return list(zip(self._places, self.optimizer.param_groups, strict=True))

    def _before(self, *_: Any) -> None:
        """Before a step: measure, and drop what a frozen layer has."""
        if self._window is not None and self._step >= self._window[0]:
            grads = [(place, p.grad) for place, p, _ in self._parameters()]
            norms_L = self._norms([(place, g) for place, g in grads if g is not None])
            self._sums_L = self._sums_L.to(norms_L.device) + norms_L
            self._count += 1
        for place, group in self._placed():
            self._used[place] = float(group["lr"])
            if group["name"] in self._frozen:
                for parameter in group["params"]:
                    parameter.grad = None

    def _after(self, *_: Any) -> None:
        """After a step: at the end of a window, decide."""
        self._step += 1
        if self._window is not None and self._step >= self._window[1]:
            if self._count:
                self._decide()
            self._sums_L, self._count = torch.zeros_like(self._sums_L), 0
            self._window = self.rule.window(self._step)

    @torch.no_grad()
    def _decide(self) -> None:
        found = self._measured()
        if not all(map(_finite, (found.gradients, found.weights, found.decays))):
            return  # the loop stops at such a loss, and says so
        self._ratios = self.rule.ratios(found)
        for name, ratio in zip(self.names, self._ratios or (), strict=False):
            if name not in self._frozen and self.rule.freezes(ratio):
                self._frozen[name] = self._step
        self._set(self.rule.rates(found) or self._scales)

    def _measured(self) -> Measured:
        weights = [(place, p) for place, p, _ in self._parameters()]
        decays = [(place, p * decay) for place, p, decay in self._parameters()]
        rows = [self._sums_L / self._count, self._norms(weights), self._norms(decays)]
        values = [row.tolist() for row in rows]
        L, agreed = len(self.names), self._agree(*(v for row in values for v in row))
        return Measured(agreed[:L], agreed[L : 2 * L], agreed[2 * L :])

    def _parameters(self) -> list[tuple[int, Tensor, float]]:
        """Place of the layer, parameter and its weight decay."""
        return [
            (place, parameter, group.get("weight_decay", 0.0))
            for place, group in self._placed()
            for parameter in group["params"]
        ]

    def _norms(self, tensors: list[tuple[int, Tensor]]) -> Tensor:
        """Norm of each layer's tensors together."""
        squares_L = torch.zeros_like(self._sums_L)
        if not tensors:
            return squares_L
        norms = torch._foreach_norm([tensor.detach() for _, tensor in tensors])
        whole = [n.full_tensor() if isinstance(n, DTensor) else n for n in norms]
        squares = torch.stack(whole).double().square()
        places = torch.tensor([place for place, _ in tensors], device=squares.device)
        return squares_L.to(squares.device).index_add(0, places, squares).sqrt()


def _finite(values: Any) -> bool:
    return all(abs(value) < float("inf") for value in values)
