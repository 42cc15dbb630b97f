"""Members of one run against independent networks, on a run's own figures.

Shapes: M members, N examples, C classes.
"""

from collections.abc import Sequence
from dataclasses import asdict
from math import isfinite
from typing import Any

import torch
from torch import Tensor

from dale.calibrate import fit_temperature
from dale.diagnose import deep_ensemble_equivalent, ergodicity, scores_by_size
from dale.ensemble import mean_probability
from dale.errors import InputError
from dale.metrics import nll_N
from dale.recipes.workbench import Workbench
from dale.store import Member, Predictions

_MOST = 8  # ensembles of each size that are scored


def compare_averages(
    bench: Workbench, independent: str = "independent", split: str = "test"
) -> dict[str, Any]:
    """How much of a deep ensemble's gain and disagreement single runs recover.

    Every group with at least two members from one trajectory is compared with as many
    networks of the group of independent ones; the last members of the trajectory are
    taken. Each network and each pool has a temperature fitted on ``val``.

    Args:
        bench: The run.
        independent: The group of independent networks.
        split: What is scored.

    Returns:
        As JSON values: ``groups``, one entry each with ``gain`` and ``disagreement``
        (``value``, ``low``, ``high``), the NLLs ``by_size`` and the deep-ensemble
        ``equivalent``; and ``by_size`` of the independent networks. Also stored as
        ``results/ergodicity.json``.

    Raises:
        InputError: There are no two independent networks, or nothing to compare.
    """
    apart = bench.members(independent)
    if len(apart) < 2:
        raise InputError(f"group {independent!r} has one member; expected 2 or more")
    groups = _trajectories(bench, independent)
    if not groups:
        raise InputError(
            "no group has two members from one trajectory; expected one such as "
            "snapshot, nocycle or fge beside the independent networks"
        )
    bench.check_apart("val", split)
    everyone = list({m.label: m for g in (apart, *groups.values()) for m in g}.values())
    fit, score = (bench.predict(name, everyone) for name in ("val", split))
    yardstick = _Judge(fit, score, apart)
    reference = yardstick.by_size()
    entries = []
    for name, members in groups.items():
        size = min(len(members), len(apart))
        mine = _Judge(fit, score, members[-size:])
        theirs = _Judge(fit, score, apart[:size])
        single_N = torch.stack([yardstick.loss_N([m]) for m in range(len(apart))])
        every = range(size)
        found = ergodicity(
            single_N.mean(dim=0),
            mine.loss_N(every),
            theirs.loss_N(every),
            mine.score_MNC,
            theirs.score_MNC,
        )
        best = float(mine.loss_N(every).mean())
        worth = deep_ensemble_equivalent(-best, [-value for value in reference])
        entries.append(
            {
                "group": name,
                "networks": size,
                "gain": _known(asdict(found.gain)),
                "disagreement": _known(asdict(found.disagreement)),
                "by_size": mine.by_size(),
                "equivalent": worth if isfinite(worth) else None,
            }
        )
    document = {
        "split": split,
        "independent": {"group": independent, "by_size": reference},
        "groups": entries,
    }
    with bench.run.lock():
        bench.run.write_result("ergodicity", document)
    return document


def _trajectories(bench: Workbench, independent: str) -> dict[str, list[Member]]:
    """Groups with several members, all from one trajectory."""
    found: dict[str, list[Member]] = {}
    for member in bench.run.population:
        if not member.parents and member.group != independent:
            found.setdefault(member.group, []).append(member)
    return {
        name: members
        for name, members in found.items()
        if len(members) > 1
        and len({member.details.get("trajectory") for member in members}) == 1
    }


def _known(ratio: dict[str, float]) -> dict[str, float | None]:
    return {name: value if isfinite(value) else None for name, value in ratio.items()}


class _Judge:
    """Calibrated losses of pools of some members, by place."""

    def __init__(
        self, fit: Predictions, score: Predictions, members: Sequence[Member]
    ) -> None:
        labels = [member.label for member in members]
        self._fit, self._score = fit.pick(labels), score.pick(labels)
        self.score_MNC = self._score.logits_MNC

    def loss_N(self, places: Sequence[int]) -> Tensor:
        """NLL of the pool, with a temperature fitted on the other split."""
        rows = list(places)
        fit_NC = mean_probability(self._fit.logits_MNC[rows])
        score_NC = mean_probability(self._score.logits_MNC[rows])
        temperature = fit_temperature(fit_NC, self._fit.targets_N)
        return nll_N(temperature.apply(score_NC), self._score.targets_N)

    def by_size(self) -> list[float]:
        """Mean NLL of pools of 1, 2, … members."""
        found = scores_by_size(
            len(self.score_MNC), lambda places: float(self.loss_N(places).mean()), _MOST
        )
        return [sum(values) / len(values) for values in found]
