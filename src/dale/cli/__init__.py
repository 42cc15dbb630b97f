"""The command line: ``dale VERB RUN [options]``."""

import gc
import signal
import sys
from typing import Any

import typer
from typer.core import TyperCommand

from dale.errors import DaleError

_STOPPED = 130
_ALLOCATOR = "DefaultCPUAllocator"
"""Is named by PyTorch, in a RuntimeError, where memory is exhausted."""


class _Verb(TyperCommand):
    """A verb; once its arguments are understood, PyTorch is loaded."""

    def invoke(self, ctx: Any) -> Any:
        if not gc.isenabled():  # as a program; what is loaded stays
            import torch  # noqa: F401 - almost all of what will be loaded

            gc.freeze()
            gc.enable()
        return super().invoke(ctx)


class _App(typer.Typer):
    def command(self, name: str | None = None, **options: Any) -> Any:
        options.setdefault("cls", _Verb)
        return super().command(name, **options)


app = _App(
    name="dale",
    help="The strength of many networks out of few training runs.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback(invoke_without_command=True)
def _root(
    version: bool = typer.Option(False, "--version", help="Print the version."),
) -> None:
    if version:
        from dale import __version__

        typer.echo(__version__)
        raise typer.Exit


def main() -> None:
    """Run the command line; exit with 0, with 1 for a failure, 2 for bad usage."""
    signal.signal(signal.SIGTERM, _stop)
    try:
        code = _run()
    except KeyboardInterrupt:  # while modules were still being loaded
        sys.stderr.write("dale: stopped; nothing was lost\n")
        code = _STOPPED
    sys.exit(code)


def _run() -> int:
    from dale.cli import verbs  # noqa: F401 - each file adds its verb to the app
    from dale.cli.common import complain, fail

    try:
        code = app(prog_name="dale", standalone_mode=False) or 0
    except DaleError as error:
        return fail(error)
    except BrokenPipeError:
        return 0
    except typer.Abort:
        return complain("stopped; nothing was lost", _STOPPED)
    except OSError as error:
        return complain(f"{error.filename or 'input'}: {error.strerror or error}")
    except Exception as error:
        if isinstance(error, MemoryError) or _ALLOCATOR in str(error):
            return complain("there is not enough memory for what was asked")
        # typer's own errors, wherever this version of it keeps their class
        if not hasattr(error, "format_message"):
            raise
        return _misused(error)
    if code == _STOPPED:  # typer's word for Ctrl-C, which says nothing itself
        return complain("stopped; nothing was lost", _STOPPED)
    return code


def _stop(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _misused(error: Any) -> int:
    """Say in one line what is wrong with the arguments and where to look."""
    from dale.cli.common import complain

    command = error.ctx.command_path if getattr(error, "ctx", None) else "dale"
    if type(error).__name__ == "NoArgsIsHelpError":
        typer.echo(error.ctx.get_help(), err=True)
        return 2
    message = error.format_message().rstrip(".?")
    return complain(f"{message}; see: {command} --help", 2)
