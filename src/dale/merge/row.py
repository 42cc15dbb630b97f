"""What one tensor of a merge looks like: the row of a table."""

from dataclasses import dataclass


@dataclass(frozen=True)
class TensorRow:
    """What one tensor of the result looks like beside those it was made from.

    Attributes:
        name: Of the tensor.
        shape: Its shape.
        ratio: ``‖w‖ / mean_k ‖x_k‖``; NaN where the inputs are all zero.
        conflict: Of the elements that two or more models changed, the share in which
            not all changes have one sign; NaN without a base.
        kept: ``‖w − base‖ / mean_k ‖x_k − base‖``; NaN without a base.
        not_finite: Elements that are NaN or infinite.
        not_finite_before: The most such elements in an input.
        nan: Elements that are NaN.
        above: Elements that are +∞, which no mask is.
        mixed: Whether it is a running mean or variance as a mixture may have it, which
            has a size of its own.
        nan_in: Places, from 0, of the inputs that have a NaN; one more is the base.
    """

    name: str
    shape: tuple[int, ...]
    ratio: float
    conflict: float
    kept: float
    not_finite: int
    not_finite_before: int
    nan: int = 0
    nan_in: tuple[int, ...] = ()
    above: int = 0
    mixed: bool = False
