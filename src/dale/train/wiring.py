"""What a recipe hangs into the loop, beside the model and the optimiser."""

from torch import nn
from torch.optim import Optimizer

from dale.data import Data
from dale.train.recipe import Recipe
from dale.train.seams import Seams
from dale.train.trajectory import Trajectory


def seams_of(
    recipe: Recipe,
    trajectory: Trajectory,
    data: Data,
    model: nn.Module,
    optimizer: Optimizer,
) -> Seams:
    """The seams of one trajectory.

    Args:
        recipe: What is asked for.
        trajectory: Its clock and seed.
        data: The examples.
        model: The network, on its device.
        optimizer: Of the model's parameters.

    Returns:
        What is done before, in and after each update.
    """
    return Seams()
