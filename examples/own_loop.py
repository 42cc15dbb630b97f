"""A snapshot ensemble in a plain PyTorch loop, on scikit-learn's digits.

    python examples/own_loop.py [--epochs 100] [--cycles 5] [--seed 0]

Three parts of dale are added to a loop that could be anyone's: a scheduler, a
collector, an ensemble. The last lines compare the ensemble with its last member, each
with a temperature fitted on the validation split and scored on the test split.
"""

from argparse import ArgumentParser

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import dale
from dale.data import Split, load
from dale.models import build

BATCH = 32


def main(epochs: int, cycles: int, seed: int) -> dict[str, dict[str, float]]:
    """Train, pool, calibrate and print; the scores by predictor."""
    torch.manual_seed(seed)
    data = load("digits", val=400, test=900)
    train, val, test = (data.splits[name] for name in ("train", "val", "test"))
    model = build("convnet", data.shape, data.classes, width=16)
    optimizer = torch.optim.SGD(
        model.parameters(), momentum=0.9, nesterov=True, weight_decay=5e-4
    )
    steps = epochs * (len(train) // BATCH)

    scheduler = dale.CosineRestarts(optimizer, peak=0.2, steps=steps, cycles=cycles)
    snapshots = dale.Snapshots(scheduler.ends)
    for chosen in batches(len(train), steps):
        loss = cross_entropy(model(train.batch(chosen)), train.targets_N[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        if snapshots.update(model):
            print(f"step {snapshots.step}: snapshot {len(snapshots.weights)}")

    ensemble = dale.Ensemble.from_weights(model, snapshots.weights)
    return {
        name: score(name, network, val, test)
        for name, network in (("last snapshot", model), ("ensemble", ensemble))
    }


def batches(examples: int, steps: int) -> list[Tensor]:
    """Positions for each step: whole batches of epochs in random order."""
    found: list[Tensor] = []
    while len(found) < steps:
        order = torch.randperm(examples)
        found += order[: examples - examples % BATCH].split(BATCH)
    return found[:steps]


def score(name: str, network: nn.Module, val: Split, test: Split) -> dict[str, float]:
    """Error, likelihood and calibration error, before and after a temperature."""
    temperature = dale.fit_temperature(dale.infer(network, val), val.targets_N)
    raw, targets = dale.infer(network, test), test.targets_N
    after = temperature.apply(raw)
    found = {
        "error": dale.metrics.error(raw, targets),
        "nll": dale.metrics.nll(raw, targets),
        "ece": dale.metrics.ece(raw, targets),
        "temperature": temperature.value,
        "nll_calibrated": dale.metrics.nll(after, targets),
        "ece_calibrated": dale.metrics.ece(after, targets),
    }
    print(f"{name}:", ", ".join(f"{key} {value:.4f}" for key, value in found.items()))
    return found


if __name__ == "__main__":
    parser = ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--cycles", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    main(**vars(parser.parse_args()))
