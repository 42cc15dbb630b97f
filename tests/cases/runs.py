"""Small runs: recipes that train in a second, and a folder of IDX files."""

import struct
from pathlib import Path

import numpy as np

from dale.recipes import Workbench

FASHION = Path("/usr/share/datasets/fashion-mnist")

STRATEGIES = """
strategies:
  - {name: nocycle, members: 3}
  - {name: snapshot, cycles: 4, peak: 0.2, warmup: 2}
  - {name: swa, start: 50%, every: 5}
"""

RECIPE = (
    """
version: 1
seed: 3
data: {source: digits, val: 200, test: 200}
model: {name: mlp, hidden: [16], norm: batch, dropout: 0.2}
epochs: 3
batch: 256
checkpoint_seconds: 0
"""
    + STRATEGIES
)

IDX_RECIPE = (
    """
version: 1
seed: 3
data: {source: idx, path: FOLDER, train_limit: 300, val: 100}
model: {name: convnet, width: 4, dropout: 0.1}
augment: {crop: 2, flip: true}
epochs: 3
batch: 64
checkpoint_seconds: 0
"""
    + STRATEGIES
)


HEAD = """
seed: 3
data: {source: digits, val: 300, test: 1200}
epochs: 3
batch: 64
checkpoint_seconds: 0
"""


def with_lines(more: str, head: str = HEAD) -> str:
    """The start of a recipe, with more lines, which replace its own of the same key."""
    keys = {line.split(":")[0] for line in more.splitlines()}
    kept = [line for line in head.splitlines() if line.split(":")[0] not in keys]
    return "\n".join([*kept, more])


def files_of(bench: Workbench, *more: str) -> dict[str, bytes]:
    """The list of members, the log, the members and what matches more patterns."""
    folder = bench.run.folder
    names = ["population.json", "log.jsonl", "members/*", *more]
    paths = sorted(path for name in names for path in folder.glob(name))
    assert len(paths) >= 3
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def idx_folder(folder: Path) -> Path:
    """Fashion-MNIST where it is installed, else IDX files made from random images."""
    if FASHION.is_dir():
        return FASHION
    rng = np.random.default_rng(0)
    for name, count in (("train", 600), ("t10k", 200)):
        images = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        labels = np.arange(count, dtype=np.uint8) % 10
        write_idx(folder / f"{name}-images-idx3-ubyte", images)
        write_idx(folder / f"{name}-labels-idx1-ubyte", labels)
    return folder


def write_idx(path: Path, array: np.ndarray) -> None:
    """Write a uint8 array in the IDX format."""
    head = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    path.write_bytes(head + array.tobytes())
