"""Accelerate, set up afresh for each engine."""

import atexit
import warnings
from datetime import timedelta

import torch.distributed as dist
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import InitProcessGroupKwargs

# the others wait while the first process scores and writes
_PATIENCE = timedelta(hours=6)


def accelerator(cpu: bool, mixed: str) -> Accelerator:
    """An accelerator with these settings, whatever this process used before.

    Args:
        cpu: Leave GPUs alone.
        mixed: Precision of the forward pass: ``"no"``, ``"bf16"`` or ``"fp16"``.

    Returns:
        The accelerator; processes started by a launcher know one another by it.
    """
    try:
        return _made(cpu, mixed)
    except ValueError:
        # Accelerate keeps the first settings of a process and refuses others; runs
        # of one process may differ
        AcceleratorState._reset_state(reset_partial_state=True)
        return _made(cpu, mixed)


def _made(cpu: bool, mixed: str) -> Accelerator:
    with warnings.catch_warnings():
        # how many threads a process takes is up to the recipe and the environment
        warnings.filterwarnings("ignore", "OMP_NUM_THREADS")
        made = Accelerator(
            cpu=cpu,
            mixed_precision=mixed,
            kwargs_handlers=[InitProcessGroupKwargs(timeout=_PATIENCE)],
        )
    if made.num_processes > 1:
        atexit.register(_part)
    return made


def _part() -> None:
    """Leave the group in order; its threads abort a process that just ends."""
    if dist.is_initialized():
        dist.destroy_process_group()
