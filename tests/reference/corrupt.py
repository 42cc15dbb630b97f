"""Corruptions of one image at a time: loops over pixels, Pillow, SciPy, colorsys.

Shapes: C channels, H height, W width. Values are float64 in [0, 1].
"""

import colorsys
import math
from io import BytesIO

import numpy as np
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter


def gaussian_noise(images, amount, generator):
    return images + amount * torch.randn(images.shape, generator=generator).numpy()


def blur(images, amount, generator):
    sigma = amount * min(images.shape[2:]) / 32
    result = np.empty_like(images)
    for n, image in enumerate(images):
        for c, plane in enumerate(image):
            result[n, c] = gaussian_filter(plane, sigma, mode="nearest", truncate=4)
    return result


def contrast(images, amount, generator):
    result = np.empty_like(images)
    for n, image in enumerate(images):
        for c, plane in enumerate(image):
            mean = plane.sum() / plane.size
            result[n, c] = mean + (plane - mean) * amount
    return result


def brightness(images, amount, generator):
    result = np.empty_like(images)
    for n, _, h, w in np.ndindex(images.shape[0], 1, *images.shape[2:]):
        pixel = images[n, :, h, w]
        r, g, b = pixel if len(pixel) == 3 else (pixel[0],) * 3
        hue, saturation, value = colorsys.rgb_to_hsv(r, g, b)
        raised = colorsys.hsv_to_rgb(hue, saturation, min(1.0, value + amount))
        result[n, :, h, w] = raised[: len(pixel)]
    return result


def _resized(line, size):
    """Means over stretches of a line of cells, cell by cell."""
    ratio = len(line) / size
    result = []
    for k in range(size):
        start, stop, total = k * ratio, (k + 1) * ratio, 0.0
        for i, value in enumerate(line):
            total += value * max(0.0, min(stop, i + 1) - max(start, i))
        result.append(total / ratio)
    return np.array(result)


def pixelate(images, amount, generator):
    for axis in (2, 3):
        side = images.shape[axis]
        small = max(1, int(side * amount))
        images = np.apply_along_axis(
            lambda line, small=small, side=side: _resized(_resized(line, small), side),
            axis,
            images,
        )
    return images


def jpeg(images, amount, generator):
    result = np.empty_like(images)
    for n, image in enumerate(images):
        pixels = np.round(255 * image).astype(np.uint8).transpose(1, 2, 0)
        mode = "L" if pixels.shape[2] == 1 else "RGB"
        size = pixels.shape[1], pixels.shape[0]
        file = BytesIO()
        Image.frombytes(mode, size, pixels.tobytes()).save(
            file, "JPEG", quality=int(amount)
        )
        read = np.array(Image.open(file)).reshape(pixels.shape)
        result[n] = read.transpose(2, 0, 1) / 255
    return result


def rotation(images, amount, generator):
    signs = torch.randint(2, (len(images),), generator=generator).tolist()
    _, channels, height, width = images.shape
    result = np.zeros_like(images)
    for n, c, i, j in np.ndindex(len(images), channels, height, width):
        angle = math.radians(amount) * (2 * signs[n] - 1)
        y, x = i - (height - 1) / 2, j - (width - 1) / 2
        from_x = x * math.cos(angle) - y * math.sin(angle) + (width - 1) / 2
        from_y = x * math.sin(angle) + y * math.cos(angle) + (height - 1) / 2
        for row in (math.floor(from_y), math.floor(from_y) + 1):
            for col in (math.floor(from_x), math.floor(from_x) + 1):
                share = (1 - abs(from_y - row)) * (1 - abs(from_x - col))
                if 0 <= row < height and 0 <= col < width:
                    result[n, c, i, j] += share * images[n, c, row, col]
    return result


def translation(images, amount, generator):
    drawn = torch.rand(len(images), 1, generator=generator)
    _, channels, height, width = images.shape
    result = np.zeros_like(images)
    for n, c, i, j in np.ndindex(len(images), channels, height, width):
        angle = math.tau * drawn[n]
        row = i - int((amount * height * angle.sin()).round())
        col = j - int((amount * width * angle.cos()).round())
        if 0 <= row < height and 0 <= col < width:
            result[n, c, i, j] = images[n, c, row, col]
    return result


def occlusion(images, amount, generator):
    starts, lengths = [], []
    for side in images.shape[2:]:
        lengths.append(min(side, max(1, round(amount * side))))
        drawn = torch.randint(
            side - lengths[-1] + 1, (len(images), 1), generator=generator
        )
        starts.append(drawn[:, 0].tolist())
    result = images.copy()
    for n in range(len(images)):
        top, left = starts[0][n], starts[1][n]
        result[n, :, top : top + lengths[0], left : left + lengths[1]] = 0
    return result
