"""``dale`` as a program; ``python -m dale`` is the same, for launchers."""

import atexit
import gc
import os
import sys
import threading

from dale.cli import main


def program() -> None:
    """Run the command line, and leave quickly.

    Of a short command, most is loading PyTorch and taking it apart again. Until it is
    loaded, the collector of garbage has nothing to find; and when all is done, the
    system frees memory faster than the interpreter does.

    Raises:
        SystemExit: Where it carries words, not a number.
    """
    gc.disable()
    try:
        main()
    except SystemExit as stop:
        code = 0 if stop.code is None else stop.code
        if isinstance(code, int):
            _leave(code)
        raise


def _leave(code: int) -> None:
    """End as the interpreter would, but for the objects that are still alive."""
    try:
        threading._shutdown()  # type: ignore[attr-defined] # waits for threads
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    except (OSError, ValueError):  # nobody reads any more, or the stream is closed
        pass
    os._exit(code)


if __name__ == "__main__":
    program()
