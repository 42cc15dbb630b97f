"""Merges described in YAML, in the format of mergekit.

`load_config` reads a configuration, `plan_config` says what it does, what it costs and
everything that is wrong with it, and `run_config` does it. pydantic and PyYAML are
imported on first use.
"""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dale.merge.config.plan import Config, ConfigPlan
    from dale.merge.config.schema import MergeConfig


def load_config(path: str | Path) -> "MergeConfig":
    """Read a configuration from a file; see `dale.merge.config.loading`."""
    return import_module("dale.merge.config.loading").load_config(path)


def plan_config(config: "Config", out: str | Path = "merged") -> "ConfigPlan":
    """Look at a merge without doing it; see `dale.merge.config.plan.plan_config`.

    Example:
        >>> print(*plan_config("absent.yml").problems)
        no such file
    """
    return import_module("dale.merge.config.plan").plan_config(config, out)


def run_config(
    config: "Config",
    out: str | Path,
    *,
    note: Callable[[str], None] | None = None,
    **options: Any,
) -> list[Path]:
    """Do a merge; see `dale.merge.config.plan.run_config`.

    Example:
        >>> import torch
        >>> from dale.weights import load, save
        >>> for name, value in (("one", 1.0), ("two", 4.0)):
        ...     _ = save(f"{name}/model.safetensors", {"w": torch.tensor([value])}, {})
        >>> text = "{merge_method: linear, models: [{model: one}, {model: two}], "
        >>> _ = Path("soup.yml").write_text(text + "parameters: {weight: 1}}")
        >>> [path.name for path in run_config("soup.yml", "soup")]
        ['model.safetensors']
        >>> load("soup")[0]
        {'w': tensor([2.5000])}
    """
    run = import_module("dale.merge.config.plan").run_config
    return run(config, out, note=note, **options)


__all__ = ["load_config", "plan_config", "run_config"]
