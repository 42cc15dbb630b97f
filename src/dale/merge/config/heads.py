"""Which models of a configuration have their table of embeddings as their head."""

from collections.abc import Sequence

from dale.merge.config.anatomy import embedding, is_head
from dale.merge.config.findings import Findings
from dale.merge.config.reference import Opened
from dale.merge.heads import is_tied, stated


def tied_heads(
    models: Sequence[Opened], findings: Findings, read: bool = False
) -> dict[int, bool]:
    """Whether the head of each model is its table of embeddings.

    ``tie_word_embeddings`` decides. Where it is not set to false and a head is stored
    all the same, values do, as long as the result may do without: if one model has a
    head of its own for sure, every head is merged as it is.

    Args:
        models: That have a part in the result.
        findings: For heads that a configuration calls tied and that are not.
        read: Compare values; otherwise a stored head is one of its own unless the
            configuration denies it, and a note says that this is not known yet.

    Returns:
        By the identity of the model.
    """
    own = any(_own(model) for model in models)
    found = {}
    for model in models:
        found[id(model)] = False
        with findings.catching():
            found[id(model)] = _tied(model, read and not own)
        table, head = _table_and_head(model)
        if table and head and not (read or own) and stated(model.config) is None:
            findings.note(
                f"{model.name}: whether {head} is the table of embeddings is seen when "
                "it is read"
            )
    return found


def _own(model: Opened) -> bool:
    """Whether a model stores a head and says that it is its own."""
    return _table_and_head(model)[1] is not None and stated(model.config) is False


def _table_and_head(model: Opened) -> tuple[str | None, str | None]:
    """Names of the embeddings and of a head that is stored beside them."""
    names = model.anatomy.names
    heads = (name for name in names if is_head(name) and name not in model.ties)
    return embedding(names), next(heads, None)


def _tied(model: Opened, read: bool) -> bool:
    table, head = _table_and_head(model)
    said = stated(model.config)
    if head is None:
        return said is not False and table is not None
    if table is None:
        return said is True
    return is_tied(model.weights, model.config, (table, head), model.name, read=read)
