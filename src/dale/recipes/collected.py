"""What to judge of the members that a recipe's ``collect`` added."""

from collections.abc import Sequence
from typing import Any

from dale.store import Member
from dale.train import COLLECTORS


def collected(group: str, members: Sequence[Member]) -> list[dict[str, Any]]:
    """The predictors of a group of added members.

    Args:
        group: Such as ``"snapshot-ema"``: a strategy's group, then the collector.
        members: Of this group, in the order they were made.

    Returns:
        Fields of `Predictor`; nothing when the group is a strategy's own. Of tail
        averages the best start is taken, on validation examples, in each run.
    """
    base, _, word = group.rpartition("-")
    name = word.rstrip("0123456789")
    if not base or name not in COLLECTORS:
        return []
    row, number = COLLECTORS[name], word.removeprefix(name)
    taken, facts = list(members), {}
    if row.several and not row.pool:
        taken = _best_of_each(members)
        starts = ", ".join(str(m.details["start"]) for m in taken)
        facts = {"note": f"from step {starts}, chosen on val", "chosen_on": "val"}
    if row.pool:
        return [_facts(row.pool, number, base, group, taken)]
    found = [_facts(row.title, number, base, group, taken[-1:], **facts)]
    if len(taken) > 1:
        title = f"{row.title} ensemble"
        found.append(_facts(title, number, base, group, taken, **facts))
    return found


def _facts(
    title: str,
    number: str,
    base: str,
    group: str,
    members: Sequence[Member],
    **facts: Any,
) -> dict[str, Any]:
    return {
        "name": f"{title}{f' {number}' if number else ''} of {base}",
        "group": group,
        "kind": "ensemble" if len(members) > 1 else "average",
        "labels": tuple(member.label for member in members),
        **facts,
    }


def _best_of_each(members: Sequence[Member]) -> list[Member]:
    """Of each trajectory the member that is the likeliest on validation examples."""
    best: dict[str, Member] = {}
    for member in members:
        trajectory = member.details["trajectory"]
        known = best.get(trajectory)
        if known is None or member.scores["val_nll"] < known.scores["val_nll"]:
            best[trajectory] = member
    return list(best.values())
