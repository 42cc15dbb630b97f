import pytest
import torch

import reference.data as slow
from dale.data import AUGMENTATIONS, augmentation, compose
from dale.errors import DataError


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


IMAGES = torch.randint(0, 256, (40, 3, 7, 5), dtype=torch.uint8, generator=seeded())


@pytest.mark.parametrize("crop", [0, 1, 2, 9])
@pytest.mark.parametrize("flip", [False, True, 0.2, 1.0])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_equals_the_slow_twin(crop, flip, dtype):
    images = IMAGES.to(dtype)
    made = augmentation(crop, flip)(images, seeded(5))
    probability = 0.5 if flip is True else float(flip)
    expected = slow.crop_and_flip(images, crop, probability, seeded(5))
    assert made.dtype == dtype
    assert torch.equal(made, expected)


def test_every_row_can_be_chosen_by_its_name():
    for name in AUGMENTATIONS:
        made = augmentation(**{name: 1})(IMAGES, seeded())
        assert made.shape == IMAGES.shape
        assert not torch.equal(made, IMAGES)


def test_input_is_not_changed():
    before = IMAGES.clone()
    augmentation(crop=2, flip=True)(IMAGES, seeded())
    assert torch.equal(IMAGES, before)


def test_draws_from_the_given_generator_alone():
    torch.manual_seed(7)
    state = torch.get_rng_state()
    one = augmentation(crop=2, flip=True)(IMAGES, seeded(1))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(one, augmentation(crop=2, flip=True)(IMAGES, seeded(1)))
    assert not torch.equal(one, augmentation(crop=2, flip=True)(IMAGES, seeded(2)))


def test_examples_are_drawn_one_by_one():
    same = IMAGES[:1].expand(40, -1, -1, -1)
    made = augmentation(crop=1, flip=True)(same, seeded())
    kinds = {bytes(image.contiguous().numpy()) for image in made}
    assert len(kinds) > 10  # of 18


def test_offsets_are_uniform():
    point = torch.zeros(9000, 1, 3, 3)
    point[:, :, 1, 1] = 1
    made = augmentation(crop=1)(point, seeded()).mean(0)[0]
    assert made.sum().item() == pytest.approx(1, abs=1e-5)
    assert (made - 1 / 9).abs().max() < 0.015  # 4.5 standard deviations


def test_no_augmentation_is_the_identity_and_draws_nothing():
    generator = seeded(4)
    assert augmentation()(IMAGES, generator) is IMAGES
    assert torch.equal(generator.get_state(), seeded(4).get_state())


def test_compose_applies_from_left_to_right():
    def add(raw, generator):
        return raw + 1

    def double(raw, generator):
        return raw * 2

    assert compose(add, double)(torch.tensor([1]), seeded()).item() == 4
    assert compose(double, add)(torch.tensor([1]), seeded()).item() == 3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"crop": -1}, "crop is -1; expected a padding of 0 or more"),
        ({"crop": 1.5}, "crop is 1.5"),
        ({"crop": True}, "crop is True"),
        ({"flip": 1.5}, r"flip is 1.5; expected a probability in \[0, 1\]"),
        ({"flip": -0.1}, "flip is -0.1"),
    ],
)
def test_wrong_settings(settings, message):
    with pytest.raises(DataError, match=message):
        augmentation(**settings)


def test_feature_vectors_are_refused():
    with pytest.raises(DataError, match=r"needs images .* have shape \(5,\)"):
        augmentation(crop=1)(torch.zeros(2, 5), seeded())
