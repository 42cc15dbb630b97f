"""A small document with every section, and a page taken apart."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

import pytest

from dale.report import render
from dale.report.style import scripts

NAN = float("nan")
MEMBERS = ("c01-s0040", "c02-s0080")

DRIFTED = {
    "error": 0.1,
    "nll": 0.4,
    "ece": 0.05,
    "nll_calibrated": 0.3,
    "ece_calibrated": 0.02,
    "error_interval": [0.08, 0.12],
}

MEASURES = ("disagreement", "error", "pooled_error", "gain", "pooled_nll")


def bins(shift=0.0):
    """Four bins, the second of them empty."""
    return {
        "edges": [0.0, 0.25, 0.5, 0.75, 1.0],
        "counts": [10, 0, 30, 60],
        "confidence": [0.2, NAN, 0.6, 0.9],
        "accuracy": [0.2 - shift, None, 0.6 - shift, 0.9 - shift],
        "ece": shift,
        "nll": 0.3,
    }


def row(name, group, error, nll, **more):
    """A row of the table of results."""
    return {
        "name": name,
        "group": group,
        "kind": "single",
        "networks": 1,
        "n": 1000,
        "error": error,
        "error_interval": [error - 0.01, error + 0.01],
        "nll": nll,
        "ece": 0.02,
        "temperature": 1.25,
        "nll_calibrated": nll - 0.01,
        "ece_calibrated": 0.01,
        "brier": 0.1,
        "note": None,
    } | more


def training(trajectory):
    """Two epochs of a trajectory."""
    return [
        {
            "trajectory": trajectory,
            "epoch": epoch,
            "step": 40 * epoch,
            "train_loss": 1.0 / epoch,
            "train_error": 0.2 / epoch,
            "val_loss": 1.2 / epoch,
            "val_error": 0.3 / epoch,
            "val_ece": 0.1 / epoch,
            "val_logit_norm": 5.0 * epoch,
            "train_agreement": 0.4 * epoch,
            "train_consistency_weight": 15.0 * epoch,
            "rate": 0.1,
            "rates": {"stem": 0.0, "head": 0.1 / epoch},
            "ratios": {"stem": 0.01 * epoch, "head": None},
            "frozen": {"stem": 20},
        }
        for epoch in (1, 2)
    ]


def member(label, step):
    """A member of the trajectory ``snapshot``."""
    return {
        "label": label,
        "digest": "0123456789abcdef" * 4,
        "trajectory": "snapshot",
        "step": step,
        "cycle": step // 40,
        "how": "trained",
        "parents": [],
        "scores": {"val_error": 0.15, "val_nll": NAN},
    }


def judged():
    """The parts of the document about scores."""
    return {
        "table": {
            "rows": [
                row("last", "snapshot", 0.10, 0.40),
                row("ensemble", "snapshot", 0.08, 0.30, kind="ensemble", networks=2),
                row("other", "single", 0.09, NAN, note="from scratch"),
            ],
            "split": "test",
            "fitted_on": "val",
        },
        "disagreement": [
            {
                "group": "snapshot",
                "labels": list(MEMBERS),
                "matrix": [[0.0, 0.05], [0.07, 0.0]],
                "split": "test",
            }
        ],
        "reliability": [{"name": "ensemble", "before": bins(0.1), "after": bins()}],
        "cross_validation": {
            "folds": 2,
            "fitted_on": "val",
            "rows": [
                {
                    "name": name,
                    "group": "snapshot",
                    "kind": "single",
                    "networks": 1,
                    **{f"{key}{sd}": 0.1 for key in DRIFTED for sd in ("", "_sd")},
                    "error": error,
                    "error_sd": 0.01,
                    "by_fold": [
                        {"fold": 1, "error": error - 0.01, "n": 50},
                        {"fold": 2, "error": error + 0.01, "n": 50},
                    ],
                }
                for name, error in (("last", 0.1), ("ensemble", 0.08))
            ],
        },
        "ergodicity": {
            "split": "test",
            "independent": {"group": "independent", "by_size": [0.5, 0.4, 0.35]},
            "groups": [
                {
                    "group": "snapshot",
                    "networks": 2,
                    "gain": {"value": 0.6, "low": 0.4, "high": None},
                    "disagreement": {"value": 0.7, "low": 0.6, "high": 0.8},
                    "by_size": [0.52, 0.45],
                    "equivalent": 1.5,
                }
            ],
        },
        "soundness": {
            "rows": [
                {
                    "name": name,
                    "shape": shape,
                    "ratio": ratio,
                    "conflict": 0.25,
                    "kept": None,
                    "not_finite": 0,
                    "not_finite_before": 0,
                }
                for name, shape, ratio in (("w", [2, 2], 1.1), ("b", [2], None))
            ],
            "cosines_KK": [[1.0, 0.3], [0.3, 1.0]],
            "distances_K": [0.1, 0.2],
            "conflict": 0.25,
            "share": 0.5,
            "apart": ["b"],
            "barriers": [
                {"t_T": [0.0, 0.5, 1.0], "loss_T": [0.4, None, 0.3], "height": NAN},
                {"t_T": [0.0, 0.5, 1.0], "loss_T": [0.4, 0.5, 0.3], "height": 0.15},
            ],
            "models": MEMBERS,
            "base": None,
            "measure": "NLL",
        },
        "diagnosis": {
            "member": "single-c01-s9",
            "noise": {
                "examples": 100,
                "batches": [1, 4, 16],
                "variances": [2.0, 0.5, 0.1],
                "squared_norm": 0.2,
                "exponent": -1.02,
                "noise_scale": 10.0,
            },
            "curvature": {"values": [3.0, 0.1], "residuals": [0.0, 0.1]},
        },
        "diversity": {
            "split": "test",
            "epochs": 8,
            "peaks": [0.1, 0.2],
            "cycles": [2, 4],
            "seeds": [0, 1],
            "cells": [
                {
                    "peak": peak,
                    "cycles": cycles,
                    "length": 8 / cycles,
                    **{name: {"mean": peak * cycles, "sd": 0.01} for name in MEASURES},
                }
                for cycles in (2, 4)
                for peak in (0.1, 0.2)
            ],
        },
        "range_test": {
            "rates": [0.001, 0.01, 0.1, 1.0],
            "losses": [2.3, 2.0, 1.1, None],
            "smoothed": [2.3, 2.1, 1.5, 1.9],
            "suggested": 0.01,
        },
        "prices": [
            ["snapshot *", "640", "5", "3 s", "0.1 MB"],
            ["pi", "", "", "both predictions are the same", ""],
        ],
        "risk_coverage": [
            {
                "name": "ensemble",
                "coverage": [0.5, 1.0],
                "risk": [0.0, 0.1],
                "aurc": 0.05,
                "auroc": 0.9,
            }
        ],
        "drift": {
            "split": "test",
            "fitted_on": "val",
            "n": 900,
            "corruptions": ["blur"],
            "severities": [0, 1],
            "rows": [
                {
                    "name": "ensemble",
                    "by_severity": [
                        {"severity": severity, **DRIFTED} for severity in (0, 1)
                    ],
                    "by_corruption": {"blur": [{"severity": 1, **DRIFTED}]},
                }
            ],
        },
        "decisions": [
            {
                "soup": "greedy soup",
                "rows": [
                    {
                        "label": label,
                        "score_alone": 0.9,
                        "score_with": 0.91,
                        "kept": label == MEMBERS[0],
                    }
                    for label in MEMBERS
                ],
            }
        ],
    }


@pytest.fixture
def document():
    """A document with every section."""
    return judged() | {
        "schema": 1,
        "title": "digits · mlp",
        "subtitle": "2 snapshots",
        "created": "2026-01-02T03:04:05Z",
        "verdict": {
            "regime": "overfits",
            "headline": "It overfits.",
            "reasons": ["The gap grew."],
            "advice": "Average.",
            "figures": {
                "train_error": 0.01,
                "val_error": 0.09,
                "train_nll": 0.05,
                "val_nll": None,
            },
        },
        "schedules": [
            {
                "trajectory": "snapshot",
                "steps": 80,
                "rate": [[0, 0.1], [39, 0.01], [40, 0.1], [79, 0.02]],
                "ends": [40, 80],
            }
        ],
        "log": training("snapshot") + training("single"),
        "members": [member(MEMBERS[0], 40), member(MEMBERS[1], 80)],
        "recipe": "data:\n  source: digits\n",
        "versions": {"dale": "0.1.0", "torch": "2.13.0", "device": None},
        "command": "dale demo digits",
    }


@dataclass
class Node:
    """An element: its name, attributes, children and text among them."""

    name: str
    attributes: dict = field(default_factory=dict)
    children: list = field(default_factory=list)

    @property
    def text(self):
        """All text under it."""
        parts = (c if isinstance(c, str) else c.text for c in self.children)
        return "".join(parts)

    def all(self, name=None, **attributes):
        """Elements under it with this name and these attributes, in order."""
        wanted = {key.rstrip("_").replace("_", "-"): v for key, v in attributes.items()}
        for child in self.children:
            if isinstance(child, str):
                continue
            same = wanted.items() <= child.attributes.items()
            if same and name in (None, child.name):
                yield child
            yield from child.all(name, **attributes)

    def one(self, name=None, **attributes):
        """The only such element."""
        (found,) = self.all(name, **attributes)
        return found


class Tree(HTMLParser):
    """Parses a page, and fails on any tag that is not closed where it should be."""

    VOID = frozenset({"meta", "link", "!doctype"})

    def __init__(self):
        super().__init__()
        self.open = [Node("")]

    def handle_starttag(self, tag, attrs):
        """Open an element."""
        node = Node(tag, dict(attrs))
        self.open[-1].children.append(node)
        if tag not in self.VOID:
            self.open.append(node)

    def handle_endtag(self, tag):
        """Close the element that was opened last."""
        assert self.open.pop().name == tag

    def handle_data(self, data):
        """Text."""
        self.open[-1].children.append(data)


@pytest.fixture(scope="session")
def parse():
    """A document's page as a tree, with plotly's script cut out."""

    def of(document):
        page = render(document).replace(scripts()[0], "")
        tree = Tree()
        tree.feed(page)
        tree.close()
        (root,) = tree.open
        return root

    return of
