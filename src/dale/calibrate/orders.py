"""The orders in which an ensemble is calibrated, and the choice among them and methods.

Shapes: M members, N examples, C classes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from dale.calibrate.guard import Fit, cross_fitted_score
from dale.calibrate.joint import fit_joint
from dale.calibrate.members import (
    CalibratedEnsemble,
    Combine,
    calibrate_then_pool,
    pool_then_calibrate,
)
from dale.errors import InputError, nearest
from dale.metrics import nll


@dataclass(frozen=True)
class Order:
    """One row of `ORDERS`.

    Args:
        fit: Takes (logits_MNC, targets_N, combine, fit, weights_M) with ``fit`` the
            way to fit one calibrator; returns a `CalibratedEnsemble`.
        summary: What it does, in a few words.
        any_method: It works with every calibrator; else with temperatures only.
        reference: Where it comes from.
    """

    fit: Callable[[Tensor, Tensor, Combine, Fit, Tensor | None], CalibratedEnsemble]
    summary: str
    any_method: bool
    reference: str


def _members_and_pool(
    logits_MNC: Tensor,
    targets_N: Tensor,
    combine: Combine,
    fit: Fit,
    weights_M: Tensor | None,
) -> CalibratedEnsemble:
    return calibrate_then_pool(
        logits_MNC, targets_N, combine, fit, weights_M, fit_pool=fit
    )


def _joint(
    logits_MNC: Tensor,
    targets_N: Tensor,
    combine: Combine,
    fit: Fit,
    weights_M: Tensor | None,
) -> CalibratedEnsemble:
    return fit_joint(logits_MNC, targets_N, combine)


ORDERS: dict[str, Order] = {
    "pool-first": Order(
        fit=pool_then_calibrate,
        summary="pool the members as they are, calibrate the pool",
        any_method=True,
        reference="Rahaman and Thiery, 2021, arXiv 2007.08792",
    ),
    "members-first": Order(
        fit=calibrate_then_pool,
        summary="calibrate each member, pool them",
        any_method=True,
        reference="Wu and Gales, 2021, arXiv 2101.05397",
    ),
    "members-and-pool": Order(
        fit=_members_and_pool,
        summary="calibrate each member, pool them, calibrate the pool",
        any_method=True,
        reference="Wu and Gales, 2021, arXiv 2101.05397",
    ),
    "joint": Order(
        fit=_joint,
        summary="fit the members' temperatures and weights together",
        any_method=False,
        reference="after Wu and Gales, 2021, arXiv 2101.05397",
    ),
}


@dataclass(frozen=True)
class Candidate:
    """One way to calibrate, and how well it did.

    Args:
        method: Row of `CALIBRATORS`.
        order: Row of `ORDERS`.
        nll: Its cross-fitted NLL, in nats.
    """

    method: str
    order: str
    nll: float


def candidates(
    method: str, order: str, members: int, examples: int, classes: int
) -> list[tuple[str, str]]:
    """Methods and orders that a choice is among; ``"auto"`` stands for all that suit.

    ``auto`` leaves out methods for two classes where there are more, and methods with
    more numbers than half of the examples: their fit would be the prior's.

    Args:
        method: Row of `CALIBRATORS`, or ``"auto"``.
        order: Row of `ORDERS`, or ``"auto"``; of no matter for one member.
        members: Number of members M.
        examples: Number of examples N to fit on.
        classes: Number of classes C.

    Returns:
        Pairs of a method and an order, the simplest first.

    Raises:
        InputError: An unknown name, or an order that the method cannot have.

    Example:
        >>> candidates("temperature", "auto", members=1, examples=100, classes=3)
        [('temperature', 'pool-first')]
        >>> len(candidates("auto", "pool-first", members=3, examples=100, classes=3))
        7
    """
    from dale.calibrate import CALIBRATORS  # the table holds what this file is for

    if method not in {"auto", *CALIBRATORS}:
        hint = nearest(method, [*CALIBRATORS, "auto"])
        raise InputError(f"unknown method {method!r}; {hint}")
    if order not in {"auto", *ORDERS}:
        hint = nearest(order, [*ORDERS, "auto"])
        raise InputError(f"unknown order {order!r}; {hint}")
    methods = [method]
    if method == "auto":
        methods = [
            name
            for name, row in CALIBRATORS.items()
            if not (row.binary_only and classes != 2)
            and (row.parameters is None or row.parameters(classes) <= examples // 2)
        ]
    orders = list(ORDERS) if order == "auto" else [order]
    if members == 1:
        orders = orders[:1]
    pairs = [
        (m, o)
        for m in methods
        for o in orders
        if ORDERS[o].any_method or m == "temperature"
    ]
    if not pairs:
        raise InputError(f"order {order!r} is for temperatures, not for {method!r}")
    return pairs


def ensemble_fit(
    method: str, order: str, combine: Combine, weights_M: Tensor | None = None
) -> Callable[[Tensor, Tensor], CalibratedEnsemble]:
    """A function of (logits_MNC, targets_N) that fits an ensemble's calibrator.

    Args:
        method: Row of `CALIBRATORS`.
        order: Row of `ORDERS`.
        combine: The combiner.
        weights_M: Weights of the members, of sum 1; equal by default.

    Returns:
        The function.
    """
    from dale.calibrate import CALIBRATORS

    def fit(logits_MNC: Tensor, targets_N: Tensor) -> CalibratedEnsemble:
        return ORDERS[order].fit(
            logits_MNC, targets_N, combine, CALIBRATORS[method].fit, weights_M
        )

    return fit


def choose(
    logits_MNC: Tensor,
    targets_N: Tensor,
    combine: Combine,
    pairs: Sequence[tuple[str, str]],
    weights_M: Tensor | None = None,
    repeats: int = 5,
    seed: int = 0,
) -> list[Candidate]:
    """Ways to calibrate by their cross-fitted NLL, the best first.

    The same folds for all, so that they are compared in pairs. Of equal ones, the one
    named first stays first.

    Args:
        logits_MNC: Floating, shape (M, N, C).
        targets_N: Integer classes in [0, C), shape (N,).
        combine: The combiner.
        pairs: Methods and orders, as `candidates` gives them.
        weights_M: Weights of the members, of sum 1; equal by default.
        repeats: Number of random divisions >= 1.
        seed: Seed of the divisions.

    Returns:
        The candidates, sorted.

    Raises:
        InputError: Wrong types, shapes, labels, NaN; or as the fits.

    Example:
        >>> import torch
        >>> logits = torch.tensor([[[9.0, 0.0]]]).repeat(1, 40, 1)
        >>> targets = (torch.arange(40) % 4 == 0).long()
        >>> found = choose(
        ...     logits, targets, lambda z, weights: z[0],
        ...     [("none", "pool-first"), ("temperature", "pool-first")],
        ... )
        >>> found[0].method
        'temperature'

    Reference:
        Ashukha et al., 2020, arXiv 2002.06470: compare by the calibrated, cross-fitted
        log-likelihood.
    """
    found = [
        Candidate(
            method,
            order,
            cross_fitted_score(
                nll,
                logits_MNC,
                targets_N,
                ensemble_fit(method, order, combine, weights_M),
                repeats=repeats,
                seed=seed,
            ),
        )
        for method, order in pairs
    ]
    return sorted(found, key=lambda candidate: candidate.nll)


def settle(
    logits_MNC: Tensor,
    targets_N: Tensor,
    combine: Combine,
    method: str,
    order: str,
    weights_M: Tensor | None = None,
) -> tuple[str, str, list[Candidate]]:
    """A method and an order without ``"auto"``: chosen only where there is a choice.

    Args:
        logits_MNC: Floating, shape (M, N, C).
        targets_N: Integer classes in [0, C), shape (N,).
        combine: The combiner.
        method: Row of `CALIBRATORS`, or ``"auto"``.
        order: Row of `ORDERS`, or ``"auto"``.
        weights_M: Weights of the members, of sum 1; equal by default.

    Returns:
        The method, the order, and what was compared, the best first.

    Raises:
        InputError: As `candidates` and `choose`.

    Example:
        >>> import torch
        >>> logits, targets = torch.zeros(1, 4, 2), torch.tensor([0, 1, 0, 1])
        >>> settle(logits, targets, lambda z, weights: z[0], "temperature", "auto")
        ('temperature', 'pool-first', [])
    """
    members, count, classes = logits_MNC.shape
    pairs = candidates(method, order, members, count, classes)
    if len(pairs) == 1:
        return *pairs[0], []
    compared = choose(logits_MNC, targets_N, combine, pairs, weights_M)
    return compared[0].method, compared[0].order, compared
