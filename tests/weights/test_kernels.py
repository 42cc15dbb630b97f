"""Linear combinations of single tensors."""

import math

import pytest
import torch

from dale.errors import InputError
from dale.weights import linear, wide


def test_the_kernel_keeps_gradients() -> None:
    coefficient = torch.ones(2, requires_grad=True)
    linear([coefficient, *torch.zeros(3, 2)], normalize=True).sum().backward()
    assert coefficient.grad.tolist() == [0.25, 0.25]


@pytest.mark.parametrize(
    ("count", "coefficients", "normalize", "message"),
    [
        (0, None, False, "0 models, 0 coefficients"),
        (2, [1.0], False, "2 models, 1 coefficients"),
        (2, [1.0, math.nan], False, "must be finite"),
        (2, [1.0, -1.0], True, "must not sum to 0"),
    ],
)
def test_impossible_coefficients(
    count: int, coefficients: list[float] | None, normalize: bool, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        linear([torch.ones(1)] * count, coefficients, normalize)


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        (torch.bfloat16, torch.float32),
        (torch.float8_e5m2, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
        (torch.complex64, torch.complex64),
    ],
)
def test_wide_types(dtype: torch.dtype, expected: torch.dtype) -> None:
    assert wide(torch.ones(2).to(dtype)).dtype == expected


@pytest.mark.parametrize("coefficients", [(2.0, 3.0), (1.0, -1.0), (0.0, 5.0)])
def test_sums_agree_with_plain_ones(coefficients: tuple[float, float]) -> None:
    x, y = torch.randn(2, 50, generator=torch.Generator().manual_seed(0)).double()
    expected = coefficients[0] * x + coefficients[1] * y
    torch.testing.assert_close(linear([x, y], coefficients), expected)


def test_infinite_values() -> None:
    low, high = torch.tensor([-math.inf, -math.inf]), torch.tensor([-math.inf, 1.0])
    assert linear([low, high], normalize=True).tolist() == [-math.inf, -math.inf]
    # equal infinities are one value, whatever the signs of their coefficients
    result = linear([low, low, low], [3, 1, -0.5], normalize=True)
    assert result.tolist() == [-math.inf, -math.inf]
    assert linear([-low, low]).isnan().all()
