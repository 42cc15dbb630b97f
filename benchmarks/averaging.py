"""What it costs to keep averages of the weights after every update.

    python benchmarks/averaging.py

A residual network of 25 million parameters is trained for a few updates. After each,
every way of averaging is shown the same weights and timed, in an order that turns from
update to update: dale's collectors, PyTorch's ``AveragedModel``, and a plain loop over
the tensors. At the end their averages are compared.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import torch
from fashion.machine import processor
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import swa_utils

import dale
from dale.models import build, count_parameters
from dale.train import COLLECTORS, Collector, Span

RESULTS = Path(__file__).resolve().parent / "results" / "averaging.md"
DECAY = 0.999
Update = Callable[[nn.Module], None]


class Dale:
    """Collectors, shown the weights as the loop shows them.

    Args:
        names: Of the collectors.
        steps: Updates.
    """

    def __init__(self, names: list[str], steps: int) -> None:
        given = {
            "ema": {"decay": DECAY, "early": "first"},
            "swa": {"start": 0, "every": 1},
            "swag": {"start": 0, "every": 1, "rank": 20},
        }
        span = Span(steps=steps, per_epoch=steps, seed=0)
        self.collectors: list[Collector] = [
            COLLECTORS[name].function(span, **given[name]) for name in names
        ]
        self.step = 0

    def __call__(self, model: nn.Module) -> None:
        """Let the weights in."""
        self.step += 1
        weights = model.state_dict()
        for collector in self.collectors:
            collector.update(self.step, weights)

    def result(self) -> dict[str, Tensor]:
        """The first collector's average."""
        return dict(self.collectors[0].member(1, {}))


class Torch:
    """PyTorch's averages, one module each.

    Buffers enter the EMA; the rule of the SWA fails on integer counters.

    Args:
        model: The network.
        names: ``ema``, ``swa``.
    """

    def __init__(self, model: nn.Module, names: list[str]) -> None:
        rules = {
            "ema": swa_utils.get_ema_multi_avg_fn(DECAY),
            "swa": swa_utils.get_swa_multi_avg_fn(),
        }
        self.averages = [
            swa_utils.AveragedModel(
                model, multi_avg_fn=rules[name], use_buffers=name == "ema"
            )
            for name in names
        ]

    def __call__(self, model: nn.Module) -> None:
        """Let the weights in."""
        for average in self.averages:
            average.update_parameters(model)

    def result(self) -> dict[str, Tensor]:
        """The first average."""
        return dict(self.averages[0].module.state_dict())


class Plain:
    """A loop over the tensors, as one writes it.

    Args:
        names: ``ema``, ``swa``, ``swag``.
    """

    def __init__(self, names: list[str]) -> None:
        self.names, self.count = names, 0
        self.kept: dict[str, dict[str, Tensor]] = {name: {} for name in names}
        self.squares: dict[str, Tensor] = {}
        self.deviations: list[dict[str, Tensor]] = []

    @torch.no_grad()
    def __call__(self, model: nn.Module) -> None:
        """Let the weights in."""
        self.count += 1
        weights = {n: t for n, t in model.state_dict().items() if t.is_floating_point()}
        for name in self.names:
            kept = self.kept[name]
            if not kept:
                kept.update({n: t.clone() for n, t in weights.items()})
                if name == "swag":
                    self.squares = {n: t * t for n, t in weights.items()}
                continue
            share = 1 - DECAY if name == "ema" else 1 / self.count
            for key, tensor in weights.items():
                kept[key].mul_(1 - share).add_(tensor, alpha=share)
            if name == "swag":
                self._square(weights, share)

    def _square(self, weights: dict[str, Tensor], share: float) -> None:
        for key, tensor in weights.items():
            self.squares[key].mul_(1 - share).add_(tensor * tensor, alpha=share)
        kept = self.kept["swag"]
        self.deviations.append({n: t - kept[n] for n, t in weights.items()})
        del self.deviations[:-20]

    def result(self) -> dict[str, Tensor]:
        """The first average."""
        return self.kept[self.names[0]]


def measure(given: argparse.Namespace) -> tuple[dict[str, list[float]], list[float]]:
    """Seconds of each way after each update, and of the updates.

    Raises:
        SystemExit: Two averages of the same kind differ.
    """
    torch.manual_seed(0)
    model = build("bottleneck", (3, 32, 32), 1000, depth=given.depth, width=given.width)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    steps, everything = given.updates + 1, ["ema", "swa", "swag"]
    ways: dict[str, Dale | Torch | Plain] = {}
    for names in (["ema"], ["swa"], ["ema", "swa"], everything):
        title = " + ".join(name.upper() for name in names)
        ways[f"{title}, dale"] = Dale(names, steps)
        ways[f"{title}, plain loop"] = Plain(names)
        if "swag" not in names:
            ways[f"{title}, AveragedModel"] = Torch(model, names)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    updates = []
    for step in range(steps):
        images = torch.randn(given.batch, 3, 32, 32)
        targets_N = torch.randint(0, 1000, (given.batch,))
        begun = time.perf_counter()
        loss = cross_entropy(model(images), targets_N)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        updates.append(time.perf_counter() - begun)
        names = list(ways)
        for name in names[step % len(names) :] + names[: step % len(names)]:
            begun = time.perf_counter()
            ways[name](model)
            seconds[name].append(time.perf_counter() - begun)
        print(f"update {step + 1} of {steps}", file=sys.stderr, flush=True)
    _check(ways, model)
    # the first update only allocates
    return {name: found[1:] for name, found in seconds.items()}, updates[1:]


def _check(ways: dict[str, Dale | Torch | Plain], model: nn.Module) -> None:
    """The averages of one kind must be the same but for rounding."""
    known = [name for name, _ in model.named_parameters()]
    for name, way in ways.items():
        kind = name.split(",")[0]
        twin, found = ways[f"{kind}, plain loop"].result(), way.result()
        for key in known:
            if not torch.allclose(twin[key], found[key], rtol=1e-4, atol=1e-6):
                sys.exit(f"{name} differs from the plain loop in {key}")


def page(given: argparse.Namespace, parameters: int, measured: object) -> str:
    """The results as Markdown."""
    seconds, updates = measured  # type: ignore[misc]
    rows = []
    for name, found in seconds.items():
        twin = seconds[f"{name.split(',')[0]}, plain loop"]
        ratios = [mine / theirs for mine, theirs in zip(found, twin, strict=True)]
        shares = [mine / all_ for mine, all_ in zip(found, updates, strict=True)]
        cells = [
            name,
            f"{1000 * median(found):.0f}",
            f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})",
            f"{100 * median(shares):.1f} ({100 * min(shares):.1f} to "
            f"{100 * max(shares):.1f})",
        ]
        rows.append("| " + " | ".join(cells) + " |")
    today = datetime.now(UTC).date().isoformat()
    return "\n".join(
        [
            "# Averages kept after every update",
            "",
            f"Written by `python benchmarks/averaging.py` on {today}; do not edit.",
            f"{processor()}, {torch.get_num_threads()} threads; dale "
            f"{dale.__version__}, PyTorch {torch.__version__}.",
            "",
            f"A ResNet-{given.depth} of {parameters:,} parameters; an update on "
            f"{given.batch} images of 32×32 pixels takes {median(updates):.2f} "
            f"seconds. n = {len(updates)} updates; medians, with ranges. SWAG keeps 20 "
            "deviations; AveragedModel's SWA leaves buffers out. The ratio to the "
            "plain loop is taken within each update; averages of one kind agree at the "
            "end.",
            "",
            "| Kept | Milliseconds | Times the plain loop | Percent of the update |",
            "| --- | --- | --- | --- |",
            *rows,
            "",
        ]
    )


def main() -> int:
    """Measure, print the table and store it."""
    parser = argparse.ArgumentParser(description="What averages cost.")
    parser.add_argument("--updates", type=int, default=20, help="updates measured")
    parser.add_argument("--batch", type=int, default=64, help="images in an update")
    parser.add_argument("--depth", type=int, default=50)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--quick", action="store_true", help="small; writes nothing")
    given = parser.parse_args()
    if given.quick:
        given.updates, given.batch, given.depth, given.width = 3, 8, 14, 8
    torch.set_num_threads(given.threads)
    model = build("bottleneck", (3, 32, 32), 1000, depth=given.depth, width=given.width)
    text = page(given, count_parameters(model), measure(given))
    print(text)
    if not given.quick:
        RESULTS.write_text(text, encoding="utf-8")
        print(f"wrote {RESULTS}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
