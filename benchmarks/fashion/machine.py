"""What the figures are measured on."""

import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

import dale

DATA = "/usr/share/datasets/fashion-mnist"
"""Where Debian's package dataset-fashion-mnist puts the images."""


def processor() -> str:
    """The CPU's model name, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if "model name" in line]
    return names[0] if names else platform.machine()


def surroundings(workers: int) -> dict[str, Any]:
    """When, where and with which versions figures were measured."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "cpu": processor(),
        "cores": os.cpu_count(),
        "workers": workers,
        "dale": dale.__version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def has_images(folder: str) -> bool:
    """Whether the folder of the images is there; says what to do where it is not."""
    if Path(folder).is_dir():
        return True
    print(
        f"no folder {folder}; install Debian's dataset-fashion-mnist, or give "
        "--data FOLDER with the four IDX files",
        file=sys.stderr,
    )
    return False
