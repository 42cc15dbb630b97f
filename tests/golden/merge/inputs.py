"""Models made from a seed, and the merges that mergekit computed of them.

Read by `make.py`, which runs beside mergekit and without dale, and by the tests.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

SHAPES = {
    "matrix": (12, 10),
    "square": (8, 8),
    "vector": (9,),
    "kernel": (4, 3, 3, 3),
    "single": (1,),
    "frozen": (5, 2),
}
"""``frozen`` is equal in all models."""


@dataclass(frozen=True)
class Case:
    """One merge.

    Attributes:
        method: The same name in mergekit and in dale.
        models: How many beside the base.
        base: Whether there is a base.
        settings: As dale takes them; numbers in tuples are one for each model.
    """

    method: str
    models: int = 3
    base: bool = True
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """For files and test ids."""
        parts = [f"{key}={value}" for key, value in self.settings.items()]
        origin = "base" if self.base else "none"
        return ",".join([self.method, origin, *parts]).replace(" ", "")


W3 = (0.5, 0.3, 0.4)
W2 = (0.3, 0.9)
CASES = [
    Case("linear", base=False, settings={"weight": W3}),
    Case("linear", base=False, settings={"weight": W3, "normalize": False}),
    Case("passthrough", 1, base=False, settings={"scale": 0.75}),
    Case("task_arithmetic", settings={"weight": W3}),
    Case("task_arithmetic", settings={"weight": W3, "lambda": 0.7, "normalize": True}),
    Case("ties", settings={"weight": W3}),
    Case("ties", settings={"weight": W3, "density": 0.4}),
    Case("ties", settings={"weight": W3, "density": (0.3, 0.5, 0.9), "lambda": 1.5}),
    Case("ties", settings={"weight": W3, "density": 0.5, "normalize": False}),
    Case("ties", settings={"weight": W3, "density": 0.5, "rescale": "l1"}),
    Case("dare_linear", settings={"weight": W3}),
    Case("dare_ties", settings={"weight": W3}),
    Case("breadcrumbs", settings={"weight": W3, "density": 0.6, "gamma": 0.1}),
    Case("breadcrumbs", settings={"weight": W3, "density": 0.95, "gamma": 0.2}),
    Case("breadcrumbs_ties", settings={"weight": W3, "density": 0.6, "gamma": 0.1}),
    Case("breadcrumbs", settings={"weight": W3, "density": 0.5, "rescale": "l1"}),
    Case("della", settings={"weight": W3}),
    Case("della_linear", settings={"weight": W3}),
    Case("sce"),
    Case("sce", settings={"select_topk": 0.3}),
    Case("ram", settings={"epsilon": 0.3}),
    Case("ramplus_tl", settings={"epsilon": 0.3, "r": 0.5, "alpha": 0.4}),
    Case("model_stock"),
    Case("model_stock", settings={"filter_wise": True}),
    Case("nearswap", 1, settings={"t": 0.25}),
    Case("arcee_fusion", 1),
    Case("slerp", 2, base=False, settings={"t": 0.3}),
    Case("nuslerp", 2, base=False, settings={"weight": W2}),
    Case("nuslerp", 2, settings={"weight": W2}),
    Case("nuslerp", 2, False, {"weight": W2, "nuslerp_flatten": False}),
    Case(
        "nuslerp",
        2,
        False,
        {"weight": W2, "nuslerp_flatten": False, "nuslerp_row_wise": True},
    ),
    Case("multislerp", base=False, settings={"weight": W3}),
    Case("multislerp", 2, settings={"weight": W2}),
    Case("karcher", base=False),
    Case("karcher", base=False, settings={"max_iter": 1}),
]
"""What both have and neither draws at random."""

RANDOM = [
    Case("dare_linear", settings={"weight": W3, "density": 0.4}),
    Case("dare_linear", settings={"weight": W3, "density": 0.4, "rescale": "none"}),
    Case("dare_ties", settings={"weight": W3, "density": 0.6}),
    Case("della", settings={"weight": W3, "density": 0.5, "epsilon": 0.3}),
    Case("della_linear", settings={"weight": W3, "density": 0.6, "epsilon": 0.2}),
]
"""What both draw at random; compared by means and spreads of many draws."""

DRAWS = 4000
RANDOM_SHAPE = (4, 6)


def made(case: Case, shapes: dict[str, tuple[int, ...]] = SHAPES) -> list[Any]:
    """Arrays in float32 of the base, which comes first if there is one, and models.

    Models are a common start plus changes of half its size.
    """
    start = _normal(0, shapes)
    models = []
    for k in range(case.models):
        change = _normal(1 + k, shapes)
        model = {n: start[n] + np.float32(0.5) * change[n] for n in shapes}
        models.append(model | {n: start[n] for n in shapes if n == "frozen"})
    return [*([start] if case.base else []), *models]


def _normal(seed: int, shapes: dict[str, tuple[int, ...]]) -> dict[str, Any]:
    generator = np.random.default_rng(seed)
    drawn = {n: generator.standard_normal(shape) for n, shape in shapes.items()}
    return {n: array.astype(np.float32) for n, array in drawn.items()}
