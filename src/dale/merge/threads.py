"""Jobs in several threads, each of which computes on its own."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import TypeVar

import torch

_KEPT = 8 << 20
READING = Lock()
"""Models may not know how to be read by several threads at a time."""
Item = TypeVar("Item")
Result = TypeVar("Result")


def side_by_side(
    function: Callable[[Item], Result], items: Iterable[Item], threads: int | None
) -> Iterator[Result]:
    """Apply a function in several threads, each of which computes on its own.

    Args:
        function: Spends most of its time in PyTorch, NumPy or the operating system.
        items: What it is applied to. Not many more are begun than threads are there.
        threads: How many; as many as PyTorch uses if None.

    Yields:
        What it returns, in order.

    Example:
        >>> [*side_by_side(abs, [-1, 2, -3], 2)]
        [1, 2, 3]
    """
    count = threads or torch.get_num_threads()
    _settle()
    with ThreadPoolExecutor(count) as pool, one_thread():
        pending: deque[Future[Result]] = deque()
        try:
            for item in items:
                if count == 1:
                    yield function(item)
                    continue
                pending.append(pool.submit(function, item))
                if len(pending) > 2 * count:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute in one thread: where memory is the bound, more would only wait.

    Example:
        >>> with one_thread():
        ...     torch.get_num_threads()
        1
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@cache
def _settle() -> None:
    """Let the C library keep the memory that pieces leave behind.

    glibc gives what is freed at the end of its memory back to the system, and every
    page that comes again costs a fault: three times the arithmetic. How much it keeps,
    it learns from the largest block that was ever freed. The pages of this one are
    never touched, so it takes no memory. Other C libraries take no notice.
    """
    torch.empty(_KEPT, dtype=torch.uint8)
