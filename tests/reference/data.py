"""Slow twins of the data room: loops over single pixels and examples."""

import numpy as np
import torch


def crop_and_flip(raw, crop, probability, generator):
    """Pad, cut and mirror one example at a time, with the draws of the fast one."""
    images = raw.numpy()
    count, _, height, width = images.shape
    offsets = np.zeros((2, count), int)
    if crop:
        drawn = torch.randint(-crop, crop + 1, (2, count, 1), generator=generator)
        offsets = drawn[..., 0].numpy()
    mirrored = np.zeros(count, bool)
    if probability:
        drawn = torch.rand(count, 1, generator=generator)
        mirrored = (drawn < probability)[:, 0].numpy()
    result = np.empty_like(images)
    for n, image in enumerate(images):
        padded = np.pad(image, ((0, 0), (crop, crop), (crop, crop)))
        top, left = crop + offsets[0, n], crop + offsets[1, n]
        cut = padded[:, top : top + height, left : left + width]
        result[n] = cut[:, :, ::-1] if mirrored[n] else cut
    return torch.from_numpy(result)


def normalise(raw, train):
    """Subtract the mean and divide by the deviation, channel by channel."""
    raw, train = raw.numpy().astype(float), train.numpy().astype(float)
    result = np.empty_like(raw)
    for c in range(raw.shape[1]):
        deviation = train[:, c].std()
        result[:, c] = (raw[:, c] - train[:, c].mean()) / (deviation or 1)
    return torch.from_numpy(result)


def hamilton(counts, total):
    """Largest remainders with exact fractions, no minimum for any class."""
    from fractions import Fraction

    ideals = [Fraction(total * n, sum(counts)) for n in counts]
    taken = [int(ideal) for ideal in ideals]
    order = sorted(range(len(counts)), key=lambda c: (taken[c] - ideals[c], c))
    for c in order[: total - sum(taken)]:
        taken[c] += 1
    return taken
