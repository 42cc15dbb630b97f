"""How much a network's loss rises when its weights are shaken."""

from typing import Any

from dale.diagnose import perturbation
from dale.metrics import nll
from dale.predict import infer
from dale.recipes import Workbench, predictors
from dale.weights import load_into

SCALES = (0.02, 0.05, 0.1)


def flatness(bench: Workbench, draws: int) -> dict[str, Any]:
    """Rise of the validation loss under random changes of the weights.

    Args:
        bench: The run.
        draws: Random directions for each scale.

    Returns:
        Predictor to the mean rise at each of `SCALES`, for those of one network.
    """
    members = bench.members()
    split = bench.split("val")

    def loss(weights: Any) -> float:
        load_into(bench.model, weights)
        return nll(infer(bench.model, split), split.targets_N)

    rows = {}
    for predictor in predictors(members):
        if len(predictor.labels) > 1:
            continue
        weights = bench.run.population.weights(
            bench.members(labels=predictor.labels)[0]
        )
        found = [perturbation(weights, loss, scale, draws=draws) for scale in SCALES]
        rows[predictor.name] = [entry.rise for entry in found]
    return {"scales": list(SCALES), "draws": draws, "rows": rows}
