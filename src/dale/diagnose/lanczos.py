"""The largest curvatures of a loss, from products of the Hessian with vectors alone.

Shapes: P parameters, K steps.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from dale.errors import InputError
from dale.keys import key


@dataclass(frozen=True)
class Curvatures:
    """Approximate eigenvalues of a symmetric matrix.

    Args:
        values: Ritz values, the largest first.
        residuals: ``‖H v − θ v‖`` of each: an eigenvalue lies within that of θ.

    Example:
        >>> Curvatures((3.0, 1.0), (0.0, 0.0)).top
        3.0
    """

    values: tuple[float, ...]
    residuals: tuple[float, ...]

    @property
    def top(self) -> float:
        """The largest."""
        return self.values[0]


def lanczos(
    product: Callable[[Tensor], Tensor],
    size: int,
    *,
    steps: int = 20,
    device: torch.device | str = "cpu",
    seed: int = 0,
) -> Curvatures:
    """The ends of the spectrum of a symmetric matrix by Lanczos's method.

    K products give an orthonormal basis of the Krylov space of a random vector, in
    which the matrix is tridiagonal; its eigenvalues are the Ritz values. The largest
    never exceeds the matrix's largest eigenvalue, and comes close to it in a few steps.

    Args:
        product: From a vector ``[P]`` to H times it, float32 or wider.
        size: P.
        steps: K; P at most are taken.
        device: Where the vectors are.
        seed: Of the first vector.

    Returns:
        The Ritz values and how far they may be off.

    Raises:
        InputError: A number below 1, or a product that is not finite.

    Example:
        >>> matrix = torch.diag(torch.tensor([5.0, 1.0, -2.0]))
        >>> found = lanczos(lambda v: matrix.to(v.dtype) @ v, 3)
        >>> [round(value, 5) for value in found.values]
        [5.0, 1.0, -2.0]

    References:
        Lanczos 1950; for Hessians of networks, Ghorbani, Krishnan and Xiao 2019, arXiv
        1901.10159. Every new vector is made orthogonal to all before, twice: without
        it, eigenvalues that were found come back as copies.
    """
    if size < 1 or steps < 1:
        raise InputError(f"Lanczos: expected numbers >= 1, got {size=} and {steps=}")
    generator = torch.Generator().manual_seed(key(seed, "lanczos"))
    first_P = torch.randn(size, generator=generator, dtype=torch.float64).to(device)
    basis, alphas, betas = [first_P / first_P.norm()], [], []
    for _ in range(min(steps, size)):
        image_P = product(basis[-1]).double()
        if not bool(image_P.isfinite().all()):
            raise InputError("Lanczos: a product with the Hessian is NaN or infinite")
        alphas.append(float(image_P @ basis[-1]))
        rows_KP = torch.stack(basis)
        for _ in range(2):
            image_P = image_P - rows_KP.T @ (rows_KP @ image_P)
        betas.append(float(image_P.norm()))
        largest = max(map(abs, [*alphas, *betas]))
        if len(alphas) == size or betas[-1] <= 1e-10 * largest:
            betas[-1] = 0.0  # the space is invariant: the values are exact
            break
        basis.append(image_P / betas[-1])
    small_KK = torch.diag(torch.tensor(alphas, dtype=torch.float64))
    for row, beta in enumerate(betas[:-1]):
        small_KK[row, row + 1] = small_KK[row + 1, row] = beta
    values_K, vectors_KK = torch.linalg.eigh(small_KK)
    residuals_K = (vectors_KK[-1] * betas[-1]).abs()
    return Curvatures(
        tuple(values_K.flip(0).tolist()), tuple(residuals_K.flip(0).tolist())
    )
