"""Calibrating an ensemble: pool first, or calibrate first.

Shapes: M members, N examples, C classes.

A *combiner* is any function ``(logits_MNC, weights_M) -> log_probs_NC``, such as those
of `dale.ensemble`. For both at once see `dale.calibrate.joint`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from dale.calibrate.calibrator import Calibrator, Header, Identity
from dale.calibrate.compose import Composed
from dale.calibrate.guard import Fit
from dale.calibrate.scaling import fit_temperature
from dale.errors import InputError
from dale.metrics import check_shape, checked_members

Combine = Callable[[Tensor, Tensor | None], Tensor]


@dataclass(frozen=True, eq=False)
class CalibratedEnsemble:
    """Members, each calibrated; pooled with weights; and the pool calibrated.

    Args:
        combine: The combiner. It is not saved: `load` is given it again.
        members: One calibrator for each member.
        pooled: The calibrator of the pool.
        weights_M: Weights of the members, of sum 1, float64; None for equal ones.
    """

    combine: Combine
    members: tuple[Calibrator, ...]
    pooled: Calibrator
    weights_M: Tensor | None = None

    def apply(self, logits_MNC: Tensor) -> Tensor:
        """Calibrated logits of the ensemble.

        Args:
            logits_MNC: Floating, one slice for each member, shape (M, N, C).

        Returns:
            Float64, shape (N, C).

        Raises:
            InputError: Wrong type, shape or number of members; or as the parts.
        """
        check_shape(logits_MNC, "logits_MNC")
        if len(logits_MNC) != len(self.members):
            raise InputError(
                f"logits_MNC: expected {len(self.members)} members, as it was fitted "
                f"to, got {len(logits_MNC)}"
            )
        pairs = zip(self.members, logits_MNC, strict=True)
        ready_MNC = torch.stack([member.apply(z_NC) for member, z_NC in pairs])
        weights_M = self.weights_M
        if weights_M is not None:
            weights_M = weights_M.to(logits_MNC.device)
        return self.pooled.apply(self.combine(ready_MNC, weights_M))

    def describe(self) -> str:
        """One line in words."""
        members = "; ".join(dict.fromkeys(m.describe() for m in self.members))
        return f"members: {members}. Pool: {self.pooled.describe()}"

    def tensors(self) -> dict[str, Tensor]:
        """The tensors of all parts; ``weights`` where there are any."""
        own = {} if self.weights_M is None else {"weights": self.weights_M}
        return self._parts().tensors() | own

    def header(self) -> Header:
        """The headers of all parts, the members first and the pool last."""
        return self._parts().header() | {"calibrator": "ensemble"}

    @classmethod
    def load(
        cls,
        tensors: Mapping[str, Tensor],
        header: Mapping[str, str | float | None],
        combine: Combine,
    ) -> Self:
        """The inverse of ``tensors`` and ``header``, with the combiner given again.

        Args:
            tensors: What ``tensors()`` gave.
            header: What ``header()`` gave.
            combine: The same combiner.

        Returns:
            An equal ensemble.

        Raises:
            InputError: Missing or unexpected content.
        """
        if header.get("calibrator") != "ensemble":
            raise InputError(
                f"calibrator: expected 'ensemble', got {header.get('calibrator')!r}"
            )
        rest = {name: x for name, x in tensors.items() if name != "weights"}
        *members, pooled = Composed.load(
            rest, {**header, "calibrator": "composed"}
        ).parts
        return cls(combine, tuple(members), pooled, tensors.get("weights"))

    def _parts(self) -> Composed:
        return Composed((*self.members, self.pooled))


def pool_then_calibrate(
    logits_MNC: Tensor,
    targets_N: Tensor,
    combine: Combine,
    fit: Fit = fit_temperature,
    weights_M: Tensor | None = None,
) -> CalibratedEnsemble:
    """Combine the members as they are, and calibrate what comes out.

    The pool of over-confident members may itself be under-confident, and one map on
    the pool puts both right: the order to start with.

    Args:
        logits_MNC: Floating, shape (M, N, C).
        targets_N: Integer classes in [0, C), shape (N,).
        combine: The combiner.
        fit: How to fit the calibrator of the pool.
        weights_M: Weights of the members, of sum 1; equal by default.

    Returns:
        The calibrated ensemble.

    Raises:
        InputError: Wrong types, shapes, labels, NaN; or as ``fit`` and ``combine``.

    Example:
        >>> logits = torch.tensor([[[4.0, 0.0]], [[0.0, 2.0]]]).repeat(1, 4, 1)
        >>> mean = lambda z, weights: z.softmax(2).mean(0).log()
        >>> fitted = pool_then_calibrate(logits, torch.tensor([0, 0, 0, 1]), mean)
        >>> fitted.apply(logits)[0].softmax(0)
        tensor([0.7500, 0.2500], dtype=torch.float64)

    Reference:
        R. Rahaman, A. H. Thiery, Uncertainty Quantification and Deep Ensembles, 2021,
        arXiv 2007.08792; X. Wu, M. Gales, Should Ensemble Members Be Calibrated?,
        2021, arXiv 2101.05397.
    """
    logits_MNC = checked_members(logits_MNC, targets_N)
    pooled_NC = combine(logits_MNC.double(), weights_M)
    members = (Identity(),) * len(logits_MNC)
    fitted = fit(pooled_NC, targets_N)
    return CalibratedEnsemble(combine, members, fitted, weights_M)


def calibrate_then_pool(
    logits_MNC: Tensor,
    targets_N: Tensor,
    combine: Combine,
    fit: Fit = fit_temperature,
    weights_M: Tensor | None = None,
    fit_pool: Fit | None = None,
) -> CalibratedEnsemble:
    """Calibrate each member by itself, with a temperature of its own, and combine.

    The mean of calibrated members is under-confident wherever they disagree, so that
    a second fit on the pool, ``fit_pool``, usually helps; it makes members that were
    confident to different degrees comparable first.

    Args:
        logits_MNC: Floating, shape (M, N, C).
        targets_N: Integer classes in [0, C), shape (N,).
        combine: The combiner.
        fit: How to fit the calibrator of a member.
        weights_M: Weights of the members, of sum 1; equal by default.
        fit_pool: How to calibrate the pool after that; not at all by default.

    Returns:
        The calibrated ensemble.

    Raises:
        InputError: Wrong types, shapes, labels, NaN; or as ``fit`` and ``combine``.

    Example:
        >>> logits = torch.tensor([[[4.0, 0.0]], [[2.0, 0.0]]]).repeat(1, 4, 1)
        >>> mean = lambda z, weights: z.softmax(2).mean(0).log()
        >>> fitted = calibrate_then_pool(logits, torch.tensor([0, 0, 0, 1]), mean)
        >>> [round(member.value, 3) for member in fitted.members]
        [3.641, 1.82]

    Reference:
        R. Rahaman, A. H. Thiery, 2021, and X. Wu, M. Gales, 2021, as for
        `pool_then_calibrate`.
    """
    logits_MNC = checked_members(logits_MNC, targets_N)
    members = tuple(fit(z_NC, targets_N) for z_NC in logits_MNC)
    plain = CalibratedEnsemble(combine, members, Identity(), weights_M)
    if fit_pool is None:
        return plain
    pooled = fit_pool(plain.apply(logits_MNC), targets_N)
    return CalibratedEnsemble(combine, members, pooled, weights_M)
