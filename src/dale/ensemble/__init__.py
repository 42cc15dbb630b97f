"""Members in, one predictive distribution out.

Shapes: M members, N examples, C classes.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from dale.ensemble.average import (
    MemberWeights,
    geometric,
    mean_logit,
    mean_probability,
    normalised,
)
from dale.ensemble.module import Ensemble
from dale.ensemble.select import Choice, greedy
from dale.ensemble.vote import hard_vote


@dataclass(frozen=True)
class Combiner:
    """One row of `COMBINERS`: a function and what is true of it.

    Args:
        function: Takes (logits_MNC, weights_M=None); returns log-probabilities NC.
        symmetric: The order of the members does not matter.
        obeys_jensen: The NLL of the result is at most the mean of the members' NLLs.
        exact_for_one_member: One member alone comes back as its own distribution.
        differentiable: Gradients reach the members.
        reference: Where it comes from.
        alias_of: The row that this one is another name for.
    """

    function: Callable[..., Tensor]
    symmetric: bool
    obeys_jensen: bool
    exact_for_one_member: bool
    differentiable: bool
    reference: str
    alias_of: str | None = None


COMBINERS: dict[str, Combiner] = {
    "mean_probability": Combiner(
        function=mean_probability,
        symmetric=True,
        obeys_jensen=True,
        exact_for_one_member=True,
        differentiable=True,
        reference="Hansen and Salamon, 1990; Lakshminarayanan et al., 2017, "
        "arXiv 1612.01474",
    ),
    "soft_vote": Combiner(
        function=mean_probability,
        symmetric=True,
        obeys_jensen=True,
        exact_for_one_member=True,
        differentiable=True,
        reference="the usual name of mean_probability beside hard_vote",
        alias_of="mean_probability",
    ),
    "geometric": Combiner(
        function=geometric,
        symmetric=True,
        obeys_jensen=True,
        exact_for_one_member=True,
        differentiable=True,
        reference="Genest and Zidek, 1986; Heskes, 1998",
    ),
    "mean_logit": Combiner(
        function=mean_logit,
        symmetric=True,
        obeys_jensen=True,
        exact_for_one_member=True,
        differentiable=True,
        reference="Arpit et al., 2022, arXiv 2110.10832",
    ),
    "hard_vote": Combiner(
        function=hard_vote,
        symmetric=True,
        obeys_jensen=False,
        exact_for_one_member=False,
        differentiable=False,
        reference="Hansen and Salamon, 1990",
    ),
}

__all__ = [
    "COMBINERS",
    "Choice",
    "Combiner",
    "Ensemble",
    "MemberWeights",
    "geometric",
    "greedy",
    "hard_vote",
    "mean_logit",
    "mean_probability",
    "normalised",
]
