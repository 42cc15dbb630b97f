"""Make the golden numbers, with mergekit 0.1.5 in an environment of its own.

    python -m venv /tmp/mk
    /tmp/mk/bin/pip install torch==2.13.0
    /tmp/mk/bin/pip install mergekit==0.1.5
    PYTHONPATH=tests /tmp/mk/bin/python tests/golden/merge/make.py

Every case is computed three times: from float32 to float32; from bfloat16 by float32 to
bfloat16, which is how dale computes; and from bfloat16 as mergekit does by itself.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from golden.merge.inputs import (
    CASES,
    DRAWS,
    RANDOM,
    RANDOM_SHAPE,
    SHAPES,
    Case,
    made,
)

HERE = Path(__file__).parent
PER_MODEL = {"weight", "density", "gamma", "epsilon", "scale"}
SHARED = {"ram", "ramplus_tl"}


def tensors(case: Case, dtype: torch.dtype, **options: Any) -> list[dict[str, Any]]:
    return [
        {name: torch.from_numpy(array).to(dtype) for name, array in model.items()}
        for model in made(case, **options)
    ]


def parameters(case: Case) -> dict[str, Any]:
    """Mergekit takes a number for every input; what the base gets plays no part."""
    found: dict[str, Any] = {}
    for name, value in case.settings.items():
        if name == "rescale":
            found[name] = value != "none"
        elif name in PER_MODEL and case.method not in SHARED:
            numbers = value if isinstance(value, tuple) else (value,) * case.models
            ids = range(int(case.base), int(case.base) + case.models)
            found[name] = dict(zip(ids, numbers, strict=True))
        else:
            found[name] = value
    return found


def run(case: Case, models: list[dict[str, Any]], **options: Any) -> dict[str, Any]:
    # here, as this file is collected with the tests where there is no mergekit
    from mergekit.merge_methods.api import merge_state_dicts

    base = 0 if case.base or case.method == "slerp" else None
    with torch.no_grad():
        return merge_state_dicts(
            models, case.method, parameters=parameters(case), base=base, **options
        )


def flat(model: dict[str, Any], way: str) -> torch.Tensor:
    """All elements in the order of the names, bfloat16 as the integers of its bits."""
    joined = torch.cat([model[name].reshape(-1) for name in SHAPES])
    # ramplus_tl returns float32 for bfloat16
    return joined if way == "float32" else joined.bfloat16().view(torch.int16)


def deterministic() -> dict[str, Any]:
    by_float32 = {"dtype": torch.float32, "out_dtype": torch.bfloat16}
    ways = {
        "float32": (torch.float32, {}),
        "bfloat16": (torch.bfloat16, by_float32),
        "native": (torch.bfloat16, {}),
    }
    found = {}
    for case in CASES:
        for way, (dtype, options) in ways.items():
            merged = run(case, tensors(case, dtype), **options)
            found[f"{case.name}/{way}"] = flat(merged, way).numpy()
    return found


def drawn() -> dict[str, Any]:
    found = {}
    for case in RANDOM:
        models = tensors(case, torch.float32, shapes={"matrix": RANDOM_SHAPE})
        torch.manual_seed(0)
        values = torch.stack([run(case, models)["matrix"] for _ in range(DRAWS)])
        found[f"{case.name}/mean"] = values.mean(0).numpy()
        found[f"{case.name}/std"] = values.std(0).numpy()
    return found


if __name__ == "__main__":
    torch.set_num_threads(1)
    np.savez_compressed(HERE / "deterministic.npz", **deterministic())
    np.savez_compressed(HERE / "drawn.npz", **drawn())
