"""From run folders to figures: every predictor of every seed, judged by dale.

Spread is the standard deviation over seeds (n − 1 in the denominator).
"""

from collections.abc import Iterable, Mapping, Sequence
from statistics import mean, stdev
from typing import Any

from dale.metrics import disagreement_MM, mean_disagreement
from dale.recipes import Workbench, judge, predictors
from dale.recipes.evaluation import verdict
from dale.store import Run
from fashion.regimes import Regime, Setting, short_cycles, swa
from fashion.work import Job, Site, choose, job_of, validation

MEASURES = ("error", "nll", "ece", "nll_calibrated", "ece_calibrated", "temperature")
NAMES = {
    "uniform soup of nocycle": "uniform soup of NoCycle snapshots",
    "greedy soup of nocycle": "greedy soup of NoCycle snapshots",
    "uniform soup of snapshot": "uniform soup of the snapshots",
    "greedy soup of snapshot": "greedy soup of the snapshots",
}
CONTROL = "single run (control)"


def measure(site: Site, regime: Regime) -> dict[str, Any] | None:
    """Everything that is known of a regime.

    Args:
        site: Where the runs are.
        regime: The regime.

    Returns:
        JSON values, or None while a setting still has to be tried.
    """
    tried = (*regime.controls, *regime.snapshots)
    if not all(job_of(site, regime, s, site.seeds[0]).done for s in tried):
        return None
    control = choose(site, regime, regime.controls)
    best = choose(site, regime, regime.snapshots)
    judged: dict[int, dict[str, Any]] = {seed: {} for seed in site.seeds}
    for seed in site.seeds:
        for setting in (control, swa(control), short_cycles(best), best):
            job = job_of(site, regime, setting, seed)
            if job.done:
                _judge(job, judged[seed])
    return {
        "name": regime.name,
        "title": regime.title,
        "settings": {
            "control": control.title,
            "snapshots": best.title,
            "short cycles": short_cycles(best).title,
            "SWA": swa(control).title,
        },
        "selection": [
            *_selection(site, regime, "single run", regime.controls, control),
            *_selection(site, regime, "snapshot ensemble", regime.snapshots, best),
        ],
        "methods": _methods(judged),
        "disagreement": _disagreements(judged),
        "verdicts": [
            {"seed": seed, **found["verdict"]}
            for seed, found in judged.items()
            if "verdict" in found
        ],
        "reliability": judged[site.seeds[0]].get("reliability", {}),
    }


def _judge(job: Job, found: dict[str, Any]) -> None:
    """Add what one run holds to what is known of its seed."""
    bench = Workbench(Run(job.folder))
    averaged = Job(job.folder, job.recipe, soups=True).done
    members = [m for m in bench.members() if averaged or not m.parents]
    fit, score = bench.predict("val", members), bench.predict("test", members)
    rows, curves = found.setdefault("rows", {}), found.setdefault("reliability", {})
    for predictor in predictors(members):
        result = judge(predictor, fit, score)
        rows[NAMES.get(predictor.name, predictor.name)] = result.row
        curves[predictor.name] = {
            "before": {**result.before.to_dict(), "ece": result.row["ece"]},
            "after": {**result.after.to_dict(), "ece": result.row["ece_calibrated"]},
        }
    trained = [m.label for m in members if not m.parents]
    group = members[0].group
    if len(trained) > 1:
        logits_MNC = score.pick(trained).logits_MNC
        found.setdefault("disagreement", {})[group] = {
            "mean": mean_disagreement(logits_MNC),
            "matrix": disagreement_MM(logits_MNC).tolist(),
        }
    if group == "nocycle":
        seen = verdict(bench, members)
        found["verdict"] = {"regime": seen.regime, **seen.figures}


def _selection(
    site: Site,
    regime: Regime,
    what: str,
    settings: Sequence[Setting],
    chosen: Setting,
) -> list[dict[str, Any]]:
    first = site.seeds[0]
    return [
        {
            "predictor": what,
            "setting": setting.title,
            "val_nll_calibrated": validation(site.folder(regime, setting, first)),
            "chosen": setting == chosen,
        }
        for setting in settings
    ]


def _methods(judged: Mapping[int, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One entry for each predictor, over the seeds that have it."""
    names = dict.fromkeys(
        name for found in judged.values() for name in found.get("rows", {})
    )
    return [_method(name, judged) for name in names]


def _method(name: str, judged: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    rows = {
        seed: found["rows"][name]
        for seed, found in judged.items()
        if name in found.get("rows", {})
    }
    controls = {
        seed: judged[seed]["rows"][CONTROL]
        for seed in rows
        if CONTROL in judged[seed]["rows"]
    }
    return {
        "name": name,
        "kind": next(iter(rows.values()))["kind"],
        "networks": max(row["networks"] for row in rows.values()),
        "seeds": list(rows),
        **{m: summary(row[m] for row in rows.values()) for m in MEASURES},
        "against_control": {
            m: summary(rows[seed][m] - controls[seed][m] for seed in controls)
            for m in ("error", "nll", "nll_calibrated")
        },
    }


def _disagreements(
    judged: Mapping[int, Mapping[str, Any]],
) -> dict[str, dict[str, Any]]:
    """Mean pairwise disagreement by group, and the first seed's matrix."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for seed in judged.values():
        for group, entry in seed.get("disagreement", {}).items():
            found.setdefault(group, []).append(entry)
    return {
        group: {
            **summary(entry["mean"] for entry in entries),
            "matrix": entries[0]["matrix"],
        }
        for group, entries in found.items()
    }


def summary(values: Iterable[float]) -> dict[str, Any]:
    """Mean, standard deviation (None for one value) and the values themselves."""
    found = list(values)
    if not found:
        return {"mean": None, "std": None, "values": []}
    spread = stdev(found) if len(found) > 1 else None
    return {"mean": mean(found), "std": spread, "values": found}
