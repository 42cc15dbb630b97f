"""The running mean of many weights, one update at a time."""

from typing import Self, TypedDict

import torch
from torch import Tensor

from dale.errors import InputError, WeightsError
from dale.weights.kernels import wide
from dale.weights.match import Weights, check_match, is_inexact, ties_of
from dale.weights.mixture import MEAN, VARIANCE


class RunningState(TypedDict):
    """Everything a `RunningMean` needs to go on.

    Attributes:
        count: Models seen.
        mean: Accumulators, float32 or wider; counters as last seen.
        dtypes: Element type of each name, such as ``"bfloat16"``.
        ties: Tied names and the first name of their group.
    """

    count: int
    mean: dict[str, Tensor]
    dtypes: dict[str, str]
    ties: dict[str, str]


class RunningMean:
    """Arithmetic mean of the weights given to `update`, in float32 or wider.

    ::

        m_1 = w_1        m_n = m_{n−1} + (w_n − m_{n−1}) / n

    Parameters and floating-point statistics are averaged, the first model counted
    once; counters are carried from the latest. Running variances of normalisation
    layers are those of the mixture, which needs no more than their means:

    ::

        σ²_n = σ²_{n−1} + s (v_n − σ²_{n−1}) + s (1 − s) (μ_n − m_{n−1})²    s = 1 / n

    n equal models give that model, bit for bit. Memory: one float32 copy, whatever n.

    Example:
        >>> mean = RunningMean()
        >>> for value in (1.0, 2.0, 6.0):
        ...     mean.update({"w": torch.tensor(value)})
        >>> mean.count, mean.value()
        (3, {'w': tensor(3.)})

    References:
        Izmailov et al. (2018), Averaging weights leads to wider optima and better
        generalization, arXiv 1803.05407. PyTorch's ``AveragedModel`` pairs tensors by
        position and accepts a network with more of them; here names are compared.
    """

    def __init__(self) -> None:
        self.count = 0
        self._mean: dict[str, Tensor] = {}
        self._dtypes: dict[str, torch.dtype] = {}
        self._ties: dict[str, str] = {}
        self._floats: list[str] = []
        self._endless: list[str] = []

    @torch.no_grad()
    def update(self, weights: Weights, share: float | None = None) -> None:
        """Count one more model. Nothing of it is kept but its counters.

        Args:
            weights: The same names, shapes and kinds as before. Live tensors of a
                network will do, without clones: ``network.state_dict()``.
            share: Of the new model in the mean, in [0, 1], in place of 1/n: a moving
                average has a share of its own. The first model's share is 1 always.

        Raises:
            WeightsError: Names, shapes or kinds are not those of the first model.
        """
        weights = dict(weights)
        if not self.count:
            self._begin(weights)
            return
        self._check(weights)
        ties = ties_of(weights)
        self._ties = {n: to for n, to in self._ties.items() if ties.get(n) == to}
        self.count += 1
        share = 1 / self.count if share is None else share
        for name in self._endless:
            self._step_endless(name, weights[name], share)
        regular = [name for name in self._floats if name not in self._endless]
        spread = self._spread(weights, share)
        means = [self._mean[name] for name in regular]
        fresh = [weights[n].detach().to(self._mean[n]) for n in regular]
        if means:
            torch._foreach_lerp_(means, fresh, share)
        for name, added in spread.items():
            self._mean[name] += added
        for name in self._mean.keys() - {*self._floats}:
            self._mean[name] = weights[name].detach().clone()

    def value(self) -> dict[str, Tensor]:
        """The mean in the types of the first model, in memory of its own.

        Raises:
            InputError: No model was counted yet.
        """
        if not self.count:
            raise InputError("the running mean of 0 models does not exist")
        result: dict[str, Tensor] = {}
        for name, tensor in self._mean.items():
            first = self._ties.get(name)
            own = tensor.to(self._dtypes[name], copy=True) if first is None else None
            result[name] = result[str(first)] if own is None else own
        return result

    def copy(self) -> Self:
        """An independent running mean of the same models."""
        return type(self).from_state(self.state())

    def state(self) -> RunningState:
        """A copy of everything, to be saved and given to `from_state`."""
        return {
            "count": self.count,
            "mean": {name: tensor.clone() for name, tensor in self._mean.items()},
            "dtypes": {name: str(t).split(".")[1] for name, t in self._dtypes.items()},
            "ties": dict(self._ties),
        }

    @classmethod
    def from_state(cls, state: RunningState) -> Self:
        """The running mean that `state` described; further updates are bit-identical.

        Raises:
            WeightsError: Names of the means and of the types differ.
        """
        self = cls()
        if state["mean"].keys() != state["dtypes"].keys():
            raise WeightsError("running mean: names of mean and dtypes differ")
        self.count = state["count"]
        self._ties = dict(state["ties"])
        self._dtypes = {n: getattr(torch, text) for n, text in state["dtypes"].items()}
        self._hold({name: tensor.clone() for name, tensor in state["mean"].items()})
        return self

    def _begin(self, weights: dict[str, Tensor]) -> None:
        self._dtypes = {name: tensor.dtype for name, tensor in weights.items()}
        self._ties = ties_of(weights)
        plain = {name: tensor.detach() for name, tensor in weights.items()}
        floats = {n: wide(t) if is_inexact(t) else t for n, t in plain.items()}
        self._hold({n: t.clone() if t is plain[n] else t for n, t in floats.items()})
        self.count = 1

    def _hold(self, mean: dict[str, Tensor]) -> None:
        self._mean = mean
        self._floats = [name for name, tensor in mean.items() if is_inexact(tensor)]
        self._endless = [name for name in self._floats if mean[name].isinf().any()]

    def _check(self, weights: dict[str, Tensor]) -> None:
        what = f"model {self.count + 1} of a running mean"
        check_match(self._mean, weights, what)
        for name, mean in self._mean.items():
            if is_inexact(mean) != is_inexact(weights[name]):
                raise WeightsError(
                    f"{what}: {name!r} must be like {self._dtypes[name]}, is "
                    f"{weights[name].dtype}"
                )

    def _spread(self, weights: dict[str, Tensor], share: float) -> dict[str, Tensor]:
        """What running variances gain by means that lie apart."""
        found = {}
        for name in self._floats:
            center = f"{name.removesuffix(VARIANCE)}{MEAN}"
            if name.rpartition(".")[2] == VARIANCE and center in self._floats:
                gap = weights[center].detach().to(self._mean[center])
                gap = gap - self._mean[center]
                found[name] = (gap.square() * (share * (1 - share))).to(
                    self._mean[name]
                )
        return found

    def _step_endless(self, name: str, fresh: Tensor, share: float) -> None:
        # masks of −∞ are kept as buffers; the difference of two is not a number
        mean, fresh = self._mean[name], fresh.detach().to(self._mean[name])
        moved = torch.lerp(mean, fresh, share)
        self._mean[name] = torch.where(mean.isinf() & (mean == fresh), mean, moved)
