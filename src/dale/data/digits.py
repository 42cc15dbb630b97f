"""The handwritten digits that come with scikit-learn."""

import torch

from dale.data.assemble import from_arrays
from dale.data.data import Data


def digits(
    val: int | float = 0.2,
    test: int | float = 0.2,
    labelled: int | float | None = None,
    seed: int = 0,
) -> Data:
    """1797 images of handwritten digits, 8×8 pixels, 10 classes; nothing is downloaded.

    Args:
        val: Size of the validation split: a number of examples or a share of all.
        test: Size of the test split.
        labelled: Keep the labels of this many training examples, or of this share,
            stratified; of all if None.
        seed: Of the stratified splits.

    Returns:
        A data set of shape ``(1, 8, 8)`` with raw values 0 to 16.

    Raises:
        DataError: A size is out of range.

    Example:
        >>> digits().splits["train"].batch(torch.arange(3)).shape
        torch.Size([3, 1, 8, 8])

    Reference:
        Alpaydin and Kaynak 1998, Optical recognition of handwritten digits, UCI Machine
        Learning Repository; the copy of scikit-learn is that set's test part.
    """
    from sklearn.datasets import load_digits

    images, targets = load_digits(return_X_y=True)
    values = torch.from_numpy(images).to(torch.uint8).reshape(-1, 1, 8, 8)
    arrays = {"train": (values, targets)}
    return from_arrays(
        arrays, "digits", val=val, test=test, labelled=labelled, seed=seed, white=16.0
    )
