"""Weights and optimiser states in shards: made, gathered and given out again.

States are saved whole, in the form a single process gives them, so that a run may go
on in another number of processes, sharded or not.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from dale.weights import Weights, load_into


def shard(model: nn.Module, processes: int, device: torch.device) -> None:
    """Keep a share of each parameter in each process.

    Each child that holds parameters is gathered on its own when it is used, so that
    no process ever holds the gradients of the whole network.

    Args:
        model: Whole, and the same in all processes; changed in place.
        processes: Their number.
        device: Where it lives.
    """
    mesh = init_device_mesh(device.type, (processes,))
    for child in model.children():
        if not _holds_list(child) and any(True for _ in child.parameters()):
            fully_shard(child, mesh=mesh)
    fully_shard(model, mesh=mesh)


def whole(state: Any) -> Any:
    """A nested state with each shard gathered; a collective operation."""
    if isinstance(state, DTensor):
        return state.full_tensor()
    if isinstance(state, Mapping):
        return {name: whole(item) for name, item in state.items()}
    if isinstance(state, (list, tuple)):
        return [whole(item) for item in state]
    return state


@torch.no_grad()
def load_weights(model: nn.Module, weights: Weights) -> None:
    """Put whole weights into a model, sharded or not.

    Args:
        model: Receives them.
        weights: Each tensor whole.
    """
    places = model.state_dict()
    if not any(isinstance(place, DTensor) for place in places.values()):
        load_into(model, weights)
        return
    for name, place in places.items():
        place.copy_(_like(place, weights[name]))


def optimizer_state(
    state: Mapping[str, Any], parameters: list[nn.Parameter]
) -> dict[str, Any]:
    """A whole optimiser state in the shards of the parameters.

    Args:
        state: As `torch.optim.Optimizer.state_dict` gives it, whole.
        parameters: The optimiser's, in order.

    Returns:
        The state to load.
    """
    return {
        **state,
        "state": {
            index: {
                name: _like(parameters[int(index)], item)
                for name, item in values.items()
            }
            for index, values in state["state"].items()
        },
    }


def _like(place: Tensor, tensor: Any) -> Any:
    shards = isinstance(place, DTensor) and isinstance(tensor, Tensor)
    if not shards or tensor.shape != place.shape:
        return tensor
    tensor = tensor.to(place.device)
    return distribute_tensor(tensor, place.device_mesh, place.placements)


def _holds_list(module: nn.Module) -> bool:
    """Whether it is a container without a forward pass of its own."""
    return isinstance(module, (nn.ModuleList, nn.ModuleDict))
