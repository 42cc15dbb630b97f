"""Slow twins of the models room: forward passes written out with loops."""

import numpy as np


def mlp(weights, images):
    """Matrix products in float64, from the weights of an mlp without normalisation."""
    hidden = images.numpy().astype(float).reshape(len(images), -1)
    names = sorted({int(name.split(".")[0]) for name in weights})
    for name in names:
        w = weights[f"{name}.weight"].numpy().astype(float)
        hidden = hidden @ w.T + weights[f"{name}.bias"].numpy().astype(float)
        if name != names[-1]:
            hidden = np.maximum(hidden, 0)
    return hidden


def convolve(image, kernel, stride=1):
    """Zero-padded cross-correlation of (C, H, W) with (O, C, k, k), pixel by pixel."""
    size = kernel.shape[-1]
    edge = size // 2
    padded = np.pad(image, ((0, 0), (edge, edge), (edge, edge)))
    rows, cols = (range(0, side, stride) for side in image.shape[1:])
    return np.array(
        [
            [
                [(padded[:, i : i + size, j : j + size] * k).sum() for j in cols]
                for i in rows
            ]
            for k in kernel
        ]
    )


def normalise(image, weights, name):
    """Batch normalisation in evaluation mode."""
    scale, shift, mean, variance = (
        weights[f"{name}.{key}"].numpy().astype(float)[:, None, None]
        for key in ("weight", "bias", "running_mean", "running_var")
    )
    return (image - mean) / np.sqrt(variance + 1e-5) * scale + shift


def pool(image):
    """Largest of each 2×2 square."""
    channels, height, width = image.shape
    result = np.empty((channels, height // 2, width // 2))
    for i in range(height // 2):
        for j in range(width // 2):
            square = image[:, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
            result[:, i, j] = square.max((1, 2))
    return result


def kernel(weights, name):
    return weights[f"{name}.weight"].numpy().astype(float)


def linear(hidden, weights, name):
    return kernel(weights, name) @ hidden + weights[f"{name}.bias"].numpy()


def convnet(weights, images):
    """A convnet of four pooled-pooled-pooled-plain blocks with batch normalisation."""
    logits = []
    for image in images.numpy().astype(float):
        index = 0
        for block in range(4):
            image = convolve(image, kernel(weights, index))
            index += 1
            if block < 3:
                image = pool(image)
                index += 1
            image = np.maximum(normalise(image, weights, index), 0)
            index += 2
        logits.append(linear(image.mean((1, 2)), weights, index + 2))
    return np.array(logits)


def pool_large(image):
    """Largest of each 3×3 square of stride 2, edges padded with what is never it."""
    padded = np.pad(image, ((0, 0), (1, 1), (1, 1)), constant_values=-np.inf)
    rows, cols = (range(0, side, 2) for side in image.shape[1:])
    return np.array(
        [
            [[channel[i : i + 3, j : j + 3].max() for j in cols] for i in rows]
            for channel in padded
        ]
    )


def bottleneck(weights, images, stem):
    """A network of 26 layers: two bottleneck blocks in each of four stages."""
    logits = []
    for image in images.numpy().astype(float):
        first = 2 if stem == "large" else 1
        image = convolve(image, kernel(weights, "stem.0"), first)
        image = np.maximum(normalise(image, weights, "stem.1"), 0)
        if stem == "large":
            image = pool_large(image)
        for stage in range(4):
            for block in range(2):
                name, stride = f"stages.{stage}.{block}", 1 + (stage > 0 and block == 0)
                hidden = image
                for number, step in ((1, 1), (2, stride), (3, 1)):
                    part = kernel(weights, f"{name}.conv{number}")
                    hidden = convolve(hidden, part, step)
                    hidden = normalise(hidden, weights, f"{name}.norm{number}")
                    if number < 3:
                        hidden = np.maximum(hidden, 0)
                if f"{name}.shortcut.0.weight" in weights:
                    part = kernel(weights, f"{name}.shortcut.0")
                    image = convolve(image, part, stride)
                    image = normalise(image, weights, f"{name}.shortcut.1")
                image = np.maximum(image + hidden, 0)
        logits.append(linear(image.mean((1, 2)), weights, "head"))
    return np.array(logits)


def resnet(weights, images, shortcut):
    """A residual network of 8 layers: one block in each of three stages."""
    logits = []
    for image in images.numpy().astype(float):
        image = convolve(image, kernel(weights, "conv"))
        image = np.maximum(normalise(image, weights, "norm"), 0)
        for stage in range(3):
            name, stride = f"stages.{stage}.0", 1 if stage == 0 else 2
            hidden = convolve(image, kernel(weights, f"{name}.conv1"), stride)
            hidden = np.maximum(normalise(hidden, weights, f"{name}.norm1"), 0)
            hidden = convolve(hidden, kernel(weights, f"{name}.conv2"))
            hidden = normalise(hidden, weights, f"{name}.norm2")
            if stage and shortcut == "conv":
                image = convolve(image, kernel(weights, f"{name}.shortcut.0"), 2)
                image = normalise(image, weights, f"{name}.shortcut.1")
            elif stage:
                zeros = np.zeros_like(image[:, ::2, ::2])
                image = np.concatenate([image[:, ::2, ::2], zeros])
            image = np.maximum(image + hidden, 0)
        logits.append(linear(image.mean((1, 2)), weights, "head"))
    return np.array(logits)
