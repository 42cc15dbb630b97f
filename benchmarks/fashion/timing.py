"""Trains a run once, and notes in it how much of a processor that took."""

import time

import torch

from dale.recipes import Workbench

_NAME = "timing"


def train_timed(bench: Workbench) -> bool:
    """Train a run, or go on with it, in one thread.

    Args:
        bench: The run.

    Returns:
        Whether it was trained now; one that was done already is left alone.
    """
    torch.set_num_threads(1)
    noted = bench.run.read_result(_NAME)
    if noted is not None and noted["whole"]:
        return False
    _note(bench, None, whole=False)
    begun = time.process_time()
    bench.train()
    seconds = time.process_time() - begun
    # a run that was stopped in between was not timed as a whole
    _note(bench, seconds if noted is None else None, whole=True)
    return True


def seconds_of(bench: Workbench) -> float | None:
    """Of one processor, for its training; None where it was stopped in between.

    Other processes of the machine do not count, so two runs can be compared that were
    trained beside others.
    """
    return bench.run.read_result(_NAME)["seconds"]


def _note(bench: Workbench, seconds: float | None, *, whole: bool) -> None:
    with bench.run.lock():
        bench.run.write_result(_NAME, {"seconds": seconds, "whole": whole})
