"""Masks drawn bit by bit have the chance that was asked for."""

import numpy as np
import pytest
import torch

from dale.merge import thin

COUNT = 1 << 22


def drawn(count: int, chance: float, generator: torch.Generator) -> np.ndarray:
    bits = thin.drawn(count, chance, generator)
    assert len(bits) == count + 7 >> 3
    return np.unpackbits(bits, count=count).view(bool)


@pytest.mark.parametrize("chance", [2**-17, 2**-9, 0.1, 1 / 3, 0.5, 0.625, 1 - 2**-9])
def test_the_chance_is_exact(chance: float) -> None:
    """Rounded to 1/256, all but ½ would be more than five standard deviations off."""
    kept = int(drawn(COUNT, chance, torch.Generator().manual_seed(3)).sum())
    spread = (COUNT * chance * (1 - chance)) ** 0.5
    assert abs(kept - COUNT * chance) < 5 * spread


def test_none_and_all() -> None:
    generator = torch.Generator().manual_seed(0)
    assert not drawn(100_001, 0.0, generator).any()
    assert drawn(100_001, 1.0, generator).all()


@pytest.mark.parametrize("chance", [0.3, 0.5, 0.75])
def test_neighbours_do_not_depend_on_each_other(chance: float) -> None:
    count = 1 << 20
    mask = torch.from_numpy(drawn(count, chance, torch.Generator().manual_seed(5)))
    for step in (1, 2, 3, 4, 8):
        both = int((mask[step:] & mask[:-step]).sum())
        expected = chance**2
        spread = (count * expected * (1 - expected)) ** 0.5
        assert abs(both - (count - step) * expected) < 8 * spread
