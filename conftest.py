"""Every test and documented example runs in an empty folder and a plain environment."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

PREFIXES = ("ACCELERATE_", "CUDA_", "DALE_", "FSDP_", "HF_", "LOCAL_", "MASTER_")
NAMES = ("FORCE_COLOR", "RANK", "SOURCE_DATE_EPOCH", "TTY_COMPATIBLE", "WORLD_SIZE")
PLAIN = {"COLUMNS": "100", "LINES": "40", "NO_COLOR": "1", "TERM": "dumb"}


@pytest.fixture(autouse=True)
def isolated(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Path]:
    """Work in an empty folder, with the caller's settings out of sight."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(PREFIXES) or name in NAMES:
                patch.delenv(name)
        for name, value in PLAIN.items():
            patch.setenv(name, value)
        folder = tmp_path_factory.mktemp("empty")
        patch.setenv("XDG_CACHE_HOME", str(folder / ".cache"))
        patch.setenv("HF_HOME", str(folder / ".cache" / "huggingface"))
        patch.chdir(folder)
        yield folder
