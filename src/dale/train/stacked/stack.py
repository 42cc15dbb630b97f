"""Networks of one architecture as one: their tensors stacked, their calls one call.

Shapes: M members, B examples of each member's batch, C classes.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from dale.errors import ModelError
from dale.factories import one_line

_TOLERANCE = 1e-3


class Stack:
    """M networks whose parameters and buffers lie in stacked tensors.

    ``w_m = W[m]``: each network's own tensors become views of the stacked ones, so
    that whatever looks at a network, scores it or loads weights into it does what it
    always did, and nothing is copied from step to step. A call is `torch.func.vmap`
    of the first network's call over its weights and inputs: linear layers become
    batched products, convolutions become grouped ones, batch normalisation measures
    and keeps the statistics of each member on its own.

    Args:
        models: At least one, of one architecture, on one device and in one mode; they
            are changed to share memory with the stack.

    Raises:
        ModelError: Their tensors do not fit together.

    Example:
        >>> models = [nn.Linear(3, 2), nn.Linear(3, 2)]
        >>> stack = Stack(models)
        >>> stack(torch.zeros(2, 5, 3)).shape
        torch.Size([2, 5, 2])
        >>> _ = stack.parameters["bias"].detach().fill_(7.0)
        >>> models[1].bias.tolist()
        [7.0, 7.0]
    """

    def __init__(self, models: Sequence[nn.Module]) -> None:
        self.models = tuple(models)
        self.parameters = _stacked([dict(m.named_parameters()) for m in models])
        self.buffers = _stacked([dict(m.named_buffers()) for m in models])

    def __len__(self) -> int:
        return len(self.models)

    def tensors(self) -> dict[str, Tensor]:
        """All stacked tensors by name, ``[M, ...]``."""
        return {**self.parameters, **self.buffers}

    def __call__(self, inputs_MB: Tensor) -> Tensor:
        """The networks' outputs, each for its own inputs.

        Args:
            inputs_MB: ``[M, B, ...]``.

        Returns:
            Logits ``[M, B, C]``; random draws, such as dropout's, differ between them.
        """
        with _quietly():
            return vmap(self._one, randomness="different")(
                self.parameters, self.buffers, inputs_MB
            )

    def _one(
        self,
        parameters: Mapping[str, Tensor],
        buffers: Mapping[str, Tensor],
        inputs_B: Tensor,
    ) -> Tensor:
        state = {**parameters, **buffers}
        logits_BC = functional_call(self.models[0], state, (inputs_B,))
        for name, buffer in buffers.items():
            if state[name] is not buffer:  # the network put a new one in its place
                buffer.copy_(state[name].detach())
        return logits_BC

    def check(self, inputs_B: Tensor) -> None:
        """Hold the stack against its networks, one by one, in evaluation mode.

        Args:
            inputs_B: A few inputs of one network.

        Raises:
            ModelError: The networks cannot be called together, or give other outputs
                then.
        """
        modes = [[child.training for child in m.modules()] for m in self.models]
        try:
            with torch.no_grad():
                apart = torch.stack([model.eval()(inputs_B) for model in self.models])
                every = inputs_B.expand(len(self), *inputs_B.shape)
                together = self(every)
        except Exception as cause:
            raise ModelError(f"torch.func.vmap: {one_line(cause)}") from cause
        finally:
            for model, mode in zip(self.models, modes, strict=True):
                for child, training in zip(model.modules(), mode, strict=True):
                    child.training = training
        scale = float(apart.abs().max()) + 1e-6
        if together.shape != apart.shape or not torch.allclose(
            together.float(), apart.float(), rtol=0, atol=_TOLERANCE * scale
        ):
            raise ModelError("called together, the networks give other outputs")


def _stacked(tensors_M: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Tensors of each name in one; those that were given become views of it."""
    first = tensors_M[0]
    for tensors in tensors_M:
        for name, tensor in first.items():
            other = tensors.get(name)
            if other is None or (other.shape, other.dtype, other.requires_grad) != (
                tensor.shape,
                tensor.dtype,
                tensor.requires_grad,
            ):
                raise ModelError(f"the networks cannot be stacked: {name} differs")
        if tensors.keys() != first.keys():
            raise ModelError("the networks cannot be stacked: their tensors differ")
    found = {}
    for name, tensor in first.items():
        whole = torch.stack([tensors[name].detach() for tensors in tensors_M])
        for place, tensors in enumerate(tensors_M):
            tensors[name].data = whole[place]
        found[name] = whole.requires_grad_(tensor.requires_grad)
    return found


@contextmanager
def _quietly() -> Iterator[None]:
    """Without PyTorch's remarks on what vmap does one member after another."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "There is a performance drop", UserWarning)
        yield
