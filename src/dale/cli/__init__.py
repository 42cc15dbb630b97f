"""The command line: ``dale VERB RUN [options]``."""

import sys

import typer

from dale.errors import DaleError

app = typer.Typer(
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
    from dale.cli import verbs  # noqa: F401 - each file adds its verb to the app

    try:
        app()
    except DaleError as error:
        from dale.cli.common import fail

        sys.exit(fail(error))
    except BrokenPipeError:
        sys.exit(0)
