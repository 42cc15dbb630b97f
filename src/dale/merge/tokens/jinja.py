"""Whether the text of a chat template is Jinja, as transformers reads it."""

from jinja2 import TemplateSyntaxError, nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment


class _Generation(Extension):
    """``{% generation %}`` marks what the model says; it says so to transformers."""

    tags = {"generation"}  # noqa: RUF012 - as Jinja has it

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


_ROOM = ImmutableSandboxedEnvironment(
    trim_blocks=True,
    lstrip_blocks=True,
    extensions=[_Generation, "jinja2.ext.loopcontrols"],
)


def fault(text: str) -> str | None:
    r"""What keeps a template from being read, with its line; nothing of it is run.

    Example:
        >>> fault("{% for m in messages %}{% break %}{% endfor %}")
        >>> fault("a\n{{ messages | joined }}")
        "line 2 is not Jinja: no filter named 'joined'"
    """
    try:
        _ROOM.compile(text, raw=True)
    except TemplateSyntaxError as error:
        said = " ".join((error.message or "syntax").split()).removesuffix(".")
        said = said.replace(". ", "; ")
        return f"line {error.lineno} is not Jinja: {said[0].lower()}{said[1:]}"
    except RecursionError:
        return "the template has parts in each other too deep"
    return None
