"""A proper score taken apart: what recalibration could win back, and the rest.

Shapes: N examples, C classes.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from dale.calibrate.guard import Fit, cross_fitted_score
from dale.calibrate.scaling import fit_temperature
from dale.metrics import nll


@dataclass(frozen=True)
class ScoreParts:
    """A score as the sum of two.

    Args:
        score: The score of the logits as they are.
        refinement: What remains after cross-fitted recalibration.

    Example:
        >>> ScoreParts(0.7, 0.5).calibration
        0.19999999999999996
    """

    score: float
    refinement: float

    @property
    def calibration(self) -> float:
        """What recalibration wins; below 0 where it does harm on unseen examples."""
        return self.score - self.refinement


def score_parts(
    logits_NC: Tensor,
    targets_N: Tensor,
    metric: Callable[[Tensor, Tensor], float] = nll,
    fit: Fit = fit_temperature,
    folds: int = 5,
    repeats: int = 1,
    seed: int = 0,
) -> ScoreParts:
    """Calibration and refinement of a proper score, by recalibrating.

    ``refinement = min over maps f of score(f(z))``, estimated by a map that is fitted
    to other folds than it is scored on, and ``calibration = score - refinement``. It
    needs no bins, and unlike the calibration error it says what an honest
    recalibration of this kind would gain.

    Args:
        logits_NC: Floating, shape (N, C).
        targets_N: Integer classes in [0, C), shape (N,).
        metric: A proper score, such as `nll` or `brier`; lower is better.
        fit: The family of maps.
        folds: Number of folds, from 2 to N.
        repeats: Number of random divisions into folds.
        seed: Seed of the divisions.

    Returns:
        The two parts.

    Raises:
        InputError: As `cross_fitted_score`.

    Example:
        >>> import torch
        >>> logits = torch.tensor([[9.0, 0.0]]).repeat(100, 1)
        >>> parts = score_parts(logits, (torch.arange(100) % 4 == 0).long())
        >>> parts.calibration > 1 > parts.refinement
        True

    Reference:
        J. Bröcker, Reliability, Sufficiency, and the Decomposition of Proper Scores,
        2009; E. Berta, D. Holzmüller, M. I. Jordan, F. Bach, Rethinking Early Stopping:
        Refine, Then Calibrate, 2025, arXiv 2501.19195.
    """
    refinement = cross_fitted_score(
        metric, logits_NC, targets_N, fit, folds, repeats, seed
    )
    return ScoreParts(metric(logits_NC, targets_N), refinement)
