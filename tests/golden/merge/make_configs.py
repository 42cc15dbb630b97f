"""Make the golden numbers of configurations, with mergekit 0.1.5 on its own.

    python -m venv /tmp/mk
    /tmp/mk/bin/pip install torch==2.13.0
    /tmp/mk/bin/pip install mergekit==0.1.5
    PYTHONPATH=tests /tmp/mk/bin/python tests/golden/merge/make_configs.py

Every configuration is merged as ``mergekit-yaml`` does it, from models in bfloat16:
cast to float32 first, and as mergekit computes by itself.
"""

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from safetensors.torch import load_file, save_file

from golden.merge.configs import CASES, DRAWS, HALVED, TYPES, Case, write

HERE = Path(__file__).parent
_BITS = {torch.bfloat16: torch.int16}


def merged(text: str, out: str, seed: int = 0) -> torch.Tensor:
    """All elements in the order of the names."""
    # here, as this file is collected with the tests where there is no mergekit
    from mergekit.config import MergeConfiguration
    from mergekit.merge import run_merge
    from mergekit.options import MergeOptions

    config = MergeConfiguration.model_validate(yaml.safe_load(text))
    options = MergeOptions(
        copy_tokenizer=False, quiet=True, write_model_card=False, random_seed=seed
    )
    run_merge(config, out, options)
    tensors = load_file(f"{out}/model.safetensors")
    return torch.cat([tensors[name].reshape(-1) for name in sorted(tensors)])


def ways(case: Case) -> dict[str, str]:
    """Types in which a case is merged."""
    if case.draws:
        return {}
    return {w: t for w, t in TYPES.items() if w != "half" or case.name in HALVED}


def main() -> None:
    """Write the numbers, bfloat16 as the integers of its bits."""
    found: dict[str, Any] = {}
    for case in CASES:
        for way, types in ways(case).items():
            flat = merged(types + case.text, "out")
            bits = flat.view(_BITS.get(flat.dtype, flat.dtype))
            found[f"{case.name}/{way}"] = bits.numpy()
        if case.draws:
            wide = "dtype: float32\n" + case.text
            values = torch.stack([merged(wide, "out", seed) for seed in range(DRAWS)])
            found[f"{case.name}/mean"] = values.mean(0).numpy()
            found[f"{case.name}/std"] = values.std(0).numpy()
    np.savez_compressed(HERE / "configs.npz", **found)


def _save(model: dict[str, Any], path: Path) -> None:
    tensors = {n: torch.from_numpy(a).bfloat16() for n, a in model.items()}
    save_file(tensors, str(path), metadata={"format": "pt"})


if __name__ == "__main__":
    torch.set_num_threads(1)
    os.chdir(tempfile.mkdtemp())
    write(Path(), _save)
    main()
