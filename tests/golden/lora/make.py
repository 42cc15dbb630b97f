"""Make the golden adapters, with peft 0.21.2 in an environment of its own.

    python -m venv /tmp/peft
    /tmp/peft/bin/pip install torch==2.13.0 peft==0.21.2 transformers==5.24.0
    PYTHONPATH=tests /tmp/peft/bin/python tests/golden/lora/make.py

Each case is a folder with the adapter as PEFT saves it, the base, and what
``merge_and_unload`` makes of both.
"""

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

HERE = Path(__file__).parent
LAYERS = ["table", "wide", "square", "filter", "point"]
TURNED = ["turned", "turned_square"]
CASES: dict[str, dict[str, Any]] = {
    "plain": {"r": 2, "lora_alpha": 3, "target_modules": LAYERS},
    "turned": {"r": 2, "lora_alpha": 3, "target_modules": TURNED},
    "stabilised": {
        "r": 2,
        "lora_alpha": 3,
        "use_rslora": True,
        "target_modules": [*LAYERS, "turned"],
        "exclude_modules": ["block.0.square", "block.1.square"],
        "rank_pattern": {"wide": 3, "^block.0.turned": 1},
        "alpha_pattern": {"block.1.turned": 7, "filter": 5},
    },
    "dora": {"r": 2, "lora_alpha": 4, "use_dora": True, "target_modules": LAYERS},
    "dora_turned": {
        "r": 2,
        "lora_alpha": 4,
        "use_dora": True,
        "target_modules": TURNED,
    },
    "whole": {
        "r": 2,
        "lora_alpha": 4,
        "target_modules": ["wide", "square"],
        "modules_to_save": ["norm", "head"],
        "bias": "all",
    },
    "biased": {
        "r": 2,
        "lora_alpha": 4,
        "target_modules": ["wide"],
        "lora_bias": True,
    },
    "bfloat16": {"r": 2, "lora_alpha": 3, "target_modules": LAYERS},
}


class Block(nn.Module):
    def __init__(self) -> None:
        from transformers.pytorch_utils import Conv1D

        super().__init__()
        self.wide = nn.Linear(4, 6)
        self.square = nn.Linear(6, 6, bias=False)
        self.turned = Conv1D(5, 6)
        self.turned_square = Conv1D(5, 5)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(7, 4)
        self.block = nn.ModuleList([Block(), Block()])
        self.filter = nn.Conv2d(3, 4, 3)
        self.point = nn.Conv2d(3, 4, 1)
        self.norm = nn.LayerNorm(5)
        self.head = nn.Linear(5, 7)

    def forward(self, x: Any) -> Any:
        raise NotImplementedError("weights alone are merged")


def shaken(net: nn.Module) -> None:
    for parameter in net.parameters():
        parameter.data.add_(torch.randn_like(parameter))


def make(name: str, settings: dict[str, Any]) -> None:
    from peft import LoraConfig, get_peft_model
    from safetensors.torch import save_file

    torch.manual_seed(0)
    net = Net()
    shaken(net)
    if name == "bfloat16":
        net = net.bfloat16()
    base = {n: t.detach().clone() for n, t in net.state_dict().items()}
    # layers that keep their matrices the other way round settle it one by one
    wrapped = get_peft_model(net, LoraConfig(**settings))
    for n, parameter in wrapped.named_parameters():
        trained = "lora_" in n or "modules_to_save" in n
        if trained or (settings.get("bias") == "all" and n.endswith("bias")):
            parameter.data.add_(0.3 * torch.randn_like(parameter))
    folder = HERE / name
    wrapped.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    config = json.loads((folder / "adapter_config.json").read_text())
    text = json.dumps(config, indent=2, sort_keys=True)
    (folder / "adapter_config.json").write_text(text + "\n")
    merged = wrapped.merge_and_unload().state_dict()
    save_file(base, folder / "base.safetensors")
    save_file(
        {n: t.contiguous() for n, t in merged.items()}, folder / "merged.safetensors"
    )


if __name__ == "__main__":
    for name, settings in CASES.items():
        make(name, settings)
