"""A small example of every source, written into a folder."""

import gzip
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

FACTORY = """
import torch

def arrays(n=60):
    g = torch.Generator().manual_seed(0)
    return {"train": (torch.rand(n, 5, generator=g), torch.arange(n) % 3)}

def datasets(n=60):
    from torch.utils.data import TensorDataset
    g = torch.Generator().manual_seed(0)
    make = lambda m: TensorDataset(torch.rand(m, 2, 4, 4, generator=g),
                                   torch.arange(m) % 3)
    return {"train": make(n), "test": make(12)}

def data():
    from dale.data import load
    return load("digits")

def nothing():
    return 3

def fails():
    raise RuntimeError("no disk\\nsecond line")
"""


def idx_bytes(array: np.ndarray) -> bytes:
    head = bytes([0, 0, 8, array.ndim])
    return head + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def write_idx(folder: Path, train: int = 60, test: int = 20) -> dict[str, Any]:
    draw = np.random.default_rng(0)
    for stem, count in (("train", train), ("t10k", test)):
        images = draw.integers(0, 256, (count, 6, 5), dtype=np.uint8)
        labels = (np.arange(count) % 4).astype(np.uint8)
        (folder / f"{stem}-images-idx3-ubyte").write_bytes(idx_bytes(images))
        packed = gzip.compress(idx_bytes(labels), mtime=0)
        (folder / f"{stem}-labels-idx1-ubyte.gz").write_bytes(packed)
    return {"path": str(folder)}


def write_images(folder: Path, per_class: int = 12) -> dict[str, Any]:
    draw = np.random.default_rng(0)
    for name in ("cat", "dog"):
        place = folder / "train" / name
        place.mkdir(parents=True)
        for index in range(per_class):
            height, width = draw.integers(6, 12, 2)
            pixels = draw.integers(0, 256, (height, width, 3), dtype=np.uint8)
            ending = "png" if index % 2 else "jpg"
            Image.fromarray(pixels).save(place / f"{index:02d}.{ending}")
    return {"path": str(folder), "size": (6, 4)}


def write_npz(folder: Path, count: int = 60) -> dict[str, Any]:
    draw = np.random.default_rng(0)
    path = folder / "data.npz"
    np.savez(path, x=draw.normal(3.0, 2.0, (count, 5)), y=np.arange(count) % 3)
    return {"path": str(path)}


def write_factory(folder: Path, function: str = "arrays") -> dict[str, Any]:
    path = folder / "mine.py"
    path.write_text(FACTORY)
    return {"function": f"{path}:{function}"}


CASES: dict[str, Callable[[Path], dict[str, Any]]] = {
    "digits": lambda folder: {},
    "idx": write_idx,
    "images": write_images,
    "npz": write_npz,
    "factory": write_factory,
}
"""Source to what writes an example of it and gives its settings."""
