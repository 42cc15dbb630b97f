"""How large logits are.

Shapes: N examples, C classes.
"""

from torch import Tensor

from dale.metrics.check import blocks, checked_logits


def logit_norm(logits_NC: Tensor) -> float:
    """Mean Euclidean norm of an example's logits around their own mean.

    ``mean_i || z_i - mean_c z_ic ||``: the mean of an example's logits is free, as the
    softmax does not see it. Once nearly every training example is right, the loss falls
    on only by larger logits; on unseen examples the confidence grows with them, the
    accuracy does not.

    Args:
        logits_NC: Floating, shape (N, C).

    Returns:
        A float >= 0; infinite where a logit is.

    Raises:
        InputError: Wrong type or shape, or NaN.

    Example:
        >>> import torch
        >>> logit_norm(torch.tensor([[9.0, 1.0, 1.0, 9.0], [4.0, 4.0, 4.0, 4.0]]))
        4.0

    Reference:
        H. Wei, R. Xie, H. Cheng, L. Feng, B. An, Y. Li, Mitigating Neural Network
        Overconfidence with Logit Normalization, 2022, arXiv 2205.09310. Theirs is the
        norm around 0.
    """
    checked_logits(logits_NC)
    total = 0.0
    for z, _ in blocks(logits_NC):
        if bool(z.isinf().any()):
            return float("inf")
        total += float((z - z.mean(dim=1, keepdim=True)).norm(dim=1).sum())
    return total / len(logits_NC)
