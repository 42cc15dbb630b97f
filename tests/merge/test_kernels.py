"""Every kernel of the table agrees with its slow twin in float64."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from cases.merge import IDS, ROWS, count
from dale.errors import InputError
from dale.keys import key
from dale.merge import METHODS, merge, stream
from dale.merge.manifest import verify
from reference import merge_kernels as twins

SHAPES = {"matrix": (6, 5), "kernel": (3, 2, 2, 2), "vector": (7,), "scalar": ()}
KERNELS = [
    pytest.param(method, settings, id=name)
    for name, (method, settings) in zip(IDS, ROWS, strict=True)
    if METHODS[method].scope != "model"
]


def normal(seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {n: torch.randn(s, generator=generator) for n, s in SHAPES.items()}


def family(method: str, dtype: torch.dtype) -> tuple[list[dict[str, Tensor]], dict]:
    start = normal(0)
    base = {name: tensor.to(dtype) for name, tensor in start.items()}
    changes = [normal(1 + k) for k in range(count(method))]
    models = [
        {n: (start[n] + 0.5 * change[n]).to(dtype) for n in SHAPES}
        for change in changes
    ]
    return models, base


def arrays(weights: dict[str, Tensor]) -> dict[str, np.ndarray]:
    return {name: tensor.double().numpy() for name, tensor in weights.items()}


def uniform(
    method: str, shape: tuple[int, ...], generator: torch.Generator, chance: float
) -> Any:
    """Numbers in [0, 1): an element is kept where its number is below its chance."""
    if not method.startswith("dare"):
        return torch.rand(shape, generator=generator).numpy()
    count, digits = int(np.prod(shape)), int(256 * chance)
    if chance in {0, 1}:
        return np.zeros(shape)
    exact = digits == 256 * chance
    places = [place for place in range(8) if not exact or digits % 2 ** (place + 1)]
    draws = np.zeros(count)
    for place in places:
        words = [
            torch.empty(1, dtype=torch.int64).random_(
                -(2**63), None, generator=generator
            )
            for _ in range(-(-count // 64))
        ]
        for i in range(count):
            byte = int(words[i // 64]) >> 8 * (i % 64 // 8) & 0xFF
            draws[i] += 2**place * (1 - (byte >> 7 - i % 8 & 1))
    if not exact:
        for i in range(count):
            if draws[i] == digits:
                rest = torch.rand(1, generator=generator, dtype=torch.float64)
                draws[i] += float(rest)
    return draws.reshape(shape) / 256


def expected(
    method: str, settings: dict[str, Any], models: list, base: dict
) -> dict[str, np.ndarray]:
    row, twin = METHODS[method], getattr(twins, method)
    models, base = [arrays(model) for model in models], arrays(base)
    if row.scope == "global":
        return twin(models, base, **settings)
    found = {}
    for name, shape in SHAPES.items():
        arguments: list[Any] = [] if row.base == "none" else [base[name]]
        if not row.deterministic:
            seeds = [key(0, method, name, k) for k in range(len(models))]
            generators = [torch.Generator().manual_seed(seed) for seed in seeds]
            given = settings.get("density", 1.0)
            chances = np.broadcast_to(given, len(models))
            pairs = zip(generators, chances, strict=True)
            arguments.append([uniform(method, shape, *pair) for pair in pairs])
        found[name] = twin([model[name] for model in models], *arguments, **settings)
    return found


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize(("method", "settings"), KERNELS)
def test_float64_is_the_measure(
    method: str, settings: dict[str, Any], dtype: torch.dtype
) -> None:
    models, base = family(method, dtype)
    given = {} if METHODS[method].base == "none" else {"base": base}
    actual = merge(models, method, **given, **settings)
    tolerance = {torch.float32: 2e-5, torch.float64: 1e-7, torch.bfloat16: 4.1e-3}
    for name, value in expected(method, settings, models, base).items():
        assert actual[name].dtype == dtype
        torch.testing.assert_close(
            actual[name].double(),
            torch.from_numpy(np.asarray(value)),
            rtol=tolerance[dtype],
            atol=1e-6 if dtype != torch.float64 else 1e-7,
        )


@pytest.mark.parametrize("method", ["nuslerp", "multislerp"])
def test_without_a_base(method: str) -> None:
    models, _ = family(method, torch.float64)
    actual = merge(models, method, weight=(0.2, 0.5, 0.3)[: len(models)])
    for name, value in actual.items():
        tensors = [model[name].numpy() for model in models]
        twin = getattr(twins, method)(tensors, weight=(0.2, 0.5, 0.3)[: len(models)])
        torch.testing.assert_close(value, torch.from_numpy(np.asarray(twin)))


ONE = {"w": torch.ones(3)}


@pytest.mark.parametrize(
    ("method", "settings", "message"),
    [
        ("ties", {"density": 1.5}, r"density must be in \[0, 1\], got \[1.5, 1.5, 1"),
        ("ties", {"density": (0.5, 0.5)}, "density has 2 numbers for 3 models"),
        ("ties_global", {"density": -0.1}, r"density must be in \[0, 1\]"),
        ("linear", {"weight": (1, float("nan"), 1)}, "weight must be finite"),
        ("linear", {"weight": (1, -2, 1)}, "must not sum to 0"),
        ("task_arithmetic", {"weight": 0, "normalize": True}, "must not sum to 0"),
        ("dare_linear", {"density": float("nan")}, "density must be finite"),
        ("task_arithmetic", {"lambda": float("nan")}, "^lambda must be finite"),
        ("breadcrumbs", {"gamma": 2}, r"gamma must be in \[0, 1\]"),
        ("della", {"density": 0.9}, r"density ± epsilon must be in \[0, 1\], got 0.9"),
        ("ties", {"rescale": "l2"}, "rescale must be one of none, l1, got 'l2'"),
        ("breadcrumbs", {"rescale": "inverse"}, "rescale must be one of none, l1"),
        ("dare_ties", {"rescale": "l2"}, "one of none, l1, inverse, got 'l2'"),
        ("sce", {"select_topk": 1.1}, r"select_topk must be in \[0, 1\], got 1.1"),
        ("ram", {"epsilon": -1.0}, "epsilon must be 0 or more, got -1.0"),
        ("ramplus_tl", {"alpha": -1.0}, "alpha must be 0 or more, got -1.0"),
        ("nearswap", {"t": -0.1}, "t must be 0 or more, got -0.1"),
        ("slerp", {"t": float("inf")}, "t must be finite"),
        ("slerp", {"t": "half"}, "t must be a number, or one for each model, got"),
        ("linear", {"weight": ("1", None, 1)}, "weight must be a number, or one"),
        ("nuslerp", {"weight": (1, -1)}, "must not sum to 0"),
        ("task_arithmetic", {"lambda": 1e39}, "lambda must lie within ±3.4e38, got"),
        ("task_arithmetic", {"weight": 3e38}, "makes inf of numbers about 1 with thes"),
        ("multislerp", {"eps": 0.0}, "eps must be positive, got 0.0"),
        ("multislerp", {"weight": 0.0}, "must not sum to 0"),
        ("karcher", {"max_iter": -1}, "max_iter must be 0 or more and tol positive"),
        ("karcher", {"tol": 0.0}, "max_iter must be 0 or more and tol positive"),
        ("passthrough", {"scale": float("nan")}, "scale must be finite"),
    ],
)
def test_impossible_settings(
    method: str, settings: dict[str, Any], message: str
) -> None:
    given = {} if METHODS[method].base == "none" else {"base": ONE}
    with pytest.raises(InputError, match=message):
        merge([ONE] * count(method), method, **given, **settings)


def test_frozen_tensors_of_any_number_of_models() -> None:
    models = [ONE] * 4
    for method in ("multislerp", "model_stock", "sce", "ramplus_tl"):
        assert torch.equal(merge(models, method, base=ONE)["w"], ONE["w"])


def test_directions_that_cancel_out_give_the_mean() -> None:
    opposite = [{"w": torch.tensor([2.0, 0.0])}, {"w": torch.tensor([-1.0, 0.0])}]
    for method in ("multislerp", "karcher"):
        assert merge(opposite, method)["w"].tolist() == [0.5, 0.0]


def test_numbers_of_other_libraries_are_numbers() -> None:
    pair = [{"w": torch.tensor([1.0, 0.0])}, {"w": torch.tensor([0.0, 1.0])}]
    plain = merge(pair, "slerp", t=0.25)["w"]
    for t in (np.float32(0.25), np.array(0.25), torch.tensor(0.25)):
        assert torch.equal(merge(pair, "slerp", t=t)["w"], plain)
    stream(pair, "arc", "slerp", t=np.float32(0.25))
    assert verify("arc") == []
    weights = torch.tensor([1.0, 3.0])
    assert merge(pair, "linear", weight=weights)["w"].tolist() == [0.25, 0.75]


@pytest.mark.parametrize("method", ["multislerp", "karcher", "slerp", "nuslerp"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_directions_of_what_is_not_finite_are_not_numbers(
    method: str, value: float
) -> None:
    pair = [{"w": torch.tensor([1.0, value])}, {"w": torch.tensor([2.0, 3.0])}]
    settings = {"t": 0.5} if method == "slerp" else {}
    assert not merge(pair, method, **settings)["w"].isfinite().all()


def test_tiny_steps_have_directions_too() -> None:
    base = {"w": torch.zeros(2)}
    pair = [{"w": torch.tensor([1e-5, 0.0])}, {"w": torch.tensor([1e-5, 1e-5])}]
    big = [{"w": model["w"] * 1e5} for model in pair]
    for method in ("model_stock", "sce"):
        small, large = (merge(p, method, base=base)["w"] for p in (pair, big))
        torch.testing.assert_close(small * 1e5, large)


def test_rows_of_a_single_element_are_dropped_with_the_density() -> None:
    base, model = {"w": torch.zeros(9000, 1)}, {"w": torch.ones(9000, 1)}
    settings = {"density": 0.3, "rescale": "none"}
    merged = merge([model], "della", base=base, **settings)["w"]
    assert abs(float(merged.mean()) - 0.3) < 0.02


@pytest.mark.parametrize("method", ["ties", "breadcrumbs", "dare_linear", "della"])
def test_truth_values_of_rescale_are_mergekit_s(method: str) -> None:
    models, base = family(method, torch.float32)
    for value, name in ((True, "l1"), (False, "none")):
        one, two = (
            merge(models, method, base=base, density=0.5, rescale=rescale)["matrix"]
            for rescale in (value, name)
        )
        assert torch.equal(one, two)
