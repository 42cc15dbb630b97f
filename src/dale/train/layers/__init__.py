"""Rates by layer: how fast each part of a network learns.

`LAYERS` lists the rules that a recipe may name under ``layers``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from dale.train.layers.groups import VECTORS as VECTORS
from dale.train.layers.groups import layer_groups as layer_groups
from dale.train.layers.groups import layers_of as layers_of
from dale.train.layers.groups import matches as matches
from dale.train.layers.groups import parameter_groups as parameter_groups
from dale.train.layers.layerwise import Layerwise as Layerwise
from dale.train.layers.rules import Measured as Measured
from dale.train.layers.rules import Rule as Rule
from dale.train.layers.rules import discriminative as discriminative
from dale.train.layers.rules import equalised as equalised
from dale.train.layers.rules import signal as signal


@dataclass(frozen=True)
class LayersRow:
    """What is true of a rule for the rates of layers.

    Args:
        function: Makes the rule; its keywords are the recipe's.
        summary: One line.
        raw: It needs updates that follow the size of the gradient.
        decays: It needs weight decay.
        reference: Where it was published; empty for a composition of others.
    """

    function: Callable[..., Rule]
    summary: str
    raw: bool = False
    decays: bool = False
    reference: str = ""


LAYERS: Mapping[str, LayersRow] = {
    "discriminative": LayersRow(
        discriminative,
        "a factor from layer to layer, from the head back",
        reference="Howard and Ruder 2018, arXiv 1801.06146",
    ),
    "equalised": LayersRow(
        equalised,
        "expected updates of one size, from measured gradients",
        raw=True,
        reference="relative sizes: You et al. 2017, arXiv 1708.03888",
    ),
    "signal": LayersRow(
        signal,
        "layers that learn too little against their weight decay are frozen",
        decays=True,
    ),
}
