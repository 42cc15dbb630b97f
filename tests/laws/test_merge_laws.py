"""Laws of merging, for every row of the table."""

import inspect
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import settings as few
from hypothesis import strategies as st
from torch import Tensor

from cases.merge import IDS, SETTINGS, ancestor, count, shaken
from cases.merge import ROWS as PAIRS
from cases.weights import MODULES, bits, built
from dale.errors import WeightsError
from dale.merge import METHODS, contributions, merge, uniform_soup
from dale.merge.blocks import spans
from dale.merge.engine import settings_of
from dale.weights import distance, layout_of_weights, mean, weights_of

ROWS = [pytest.param(*pair, id=name) for pair, name in zip(PAIRS, IDS, strict=True)]
DEFAULT = [
    pytest.param(name, several[0], id=name) for name, several in SETTINGS.items()
]
BASED = [p for p in DEFAULT if METHODS[str(p.values[0])].base != "none"]
Weights = dict[str, Tensor]


def three(name: str) -> list[Weights]:
    return [weights_of(built(name, seed)) for seed in range(3)]


def family(name: str, method: str) -> tuple[list[Weights], dict[str, Any]]:
    """As many models as the method takes, and the base if it may have one."""
    base = weights_of(built(name))
    models = [shaken(base, 1 + k) for k in range(count(method))]
    return models, ancestor(method, base)


def kinds(method: str) -> list[str]:
    return [name for name in MODULES if name != "complex" or METHODS[method].complex]


@pytest.mark.parametrize(("method", "settings"), ROWS)
def test_equal_models_give_that_model(method: str, settings: dict[str, Any]) -> None:
    if not METHODS[method].idempotent or settings != SETTINGS[method][0]:
        return
    for name in kinds(method):
        (model, *_), base = family(name, method)
        result = merge([model] * count(method), method, **base, **settings)
        if METHODS[method].needs_base:
            for key, tensor in model.items():
                torch.testing.assert_close(result[key], tensor, rtol=1e-6, atol=1e-6)
        else:
            assert bits(result) == bits(model)


@pytest.mark.parametrize(("method", "settings"), ROWS)
@pytest.mark.parametrize("odd", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_spreads(
    method: str, settings: dict[str, Any], odd: float
) -> None:
    if not METHODS[method].spreads:
        return
    models, base = family("linear", method)
    plain = merge(models, method, **base, **settings)
    for victim in [*models, *base.values()]:
        name, tensor = next(iter(victim.items()))
        kept = tensor.view(-1)[1].item()
        results = []
        for value in (5.0, odd):
            tensor.view(-1)[1] = value
            results.append(merge(models, method, **base, **settings)[name])
        tensor.view(-1)[1] = kept
        has_part = not torch.equal(results[0], plain[name])
        assert results[1].isfinite().all() != has_part


@pytest.mark.parametrize(("method", "settings"), ROWS)
def test_inputs_types_ties_and_counters(method: str, settings: dict[str, Any]) -> None:
    for name in kinds(method):
        models, base = family(name, method)
        everyone = [*models, *base.values()]
        before = [bits(model) for model in everyone]
        result = merge(models, method, **base, **settings)
        assert layout_of_weights(result) == layout_of_weights(models[0])
        for key, tensor in result.items():
            assert not tensor.isnan().any()
            if not (tensor.is_floating_point() or tensor.is_complex()):
                assert any(torch.equal(tensor, model[key]) for model in models)
            tensor.zero_()
        assert [bits(model) for model in everyone] == before


# what is drawn is drawn block by block, so those rows have one size of piece
PIECES = [
    p
    for p in ROWS
    if METHODS[str(p.values[0])].chunks and METHODS[str(p.values[0])].deterministic
]
ELEMENTWISE = {"uniform", "weighted", "linear", "passthrough", "task_arithmetic"}
ELEMENTWISE |= {"ties_global", "nearswap", "ram"}


@pytest.mark.parametrize(("method", "settings"), PIECES)
def test_pieces_of_any_size_are_the_whole(
    method: str, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for dtype in (torch.float32, torch.bfloat16, torch.float64):
        shape = (37, 29)
        base = {"w": torch.randn(shape, dtype=dtype), "v": torch.randn(7).to(dtype)}
        models = [shaken(base, 1 + k) for k in range(count(method))]
        given = ancestor(method, base) | settings
        whole = merge(models, method, **given)
        with monkeypatch.context() as patch:
            patch.setattr(spans, "__defaults__", (64,))
            cut = merge(models, method, **given)
        if method in ELEMENTWISE:
            assert bits(cut) == bits(whole)
        for key, tensor in whole.items():
            torch.testing.assert_close(cut[key], tensor)


@pytest.mark.parametrize(("method", "settings"), DEFAULT)
def test_order_does_not_matter(method: str, settings: dict[str, Any]) -> None:
    if not METHODS[method].symmetric:
        return
    for name in kinds(method):
        models, base = family(name, method)
        one = merge(models, method, **base, **settings)
        two = merge([*models[1:], models[0]], method, **base, **settings)
        for key, value in one.items():
            if value.is_floating_point() or value.is_complex():
                torch.testing.assert_close(value, two[key], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("method", "settings"), ROWS)
def test_the_seed_decides(method: str, settings: dict[str, Any]) -> None:
    if METHODS[method].scope == "model":
        return
    models, base = family("linear", method)
    first, again, other = (
        merge(models, method, seed=seed, **base, **settings) for seed in (0, 0, 1)
    )
    assert bits(first) == bits(again)
    drawn = not METHODS[method].deterministic and "density" in settings
    assert (bits(first) != bits(other)) == drawn


@pytest.mark.parametrize(("method", "settings"), ROWS)
def test_models_that_never_left_the_base_give_it(
    method: str, settings: dict[str, Any]
) -> None:
    if METHODS[method].base == "none":
        return
    for name in kinds(method):
        base = weights_of(built(name))
        models = [base] * count(method)
        assert bits(merge(models, method, base=base, **settings)) == bits(base)


@pytest.mark.parametrize(("method", "settings"), ROWS)
def test_one_tensor_that_nobody_moved_is_no_trouble(
    method: str, settings: dict[str, Any]
) -> None:
    """The kernels themselves, without the short cut of the engine."""
    row = METHODS[method]
    if row.base == "none":
        return
    for base in (torch.zeros(3, 4), torch.randn(3, 4)):
        arguments: list[Any] = [base]
        if not row.deterministic:
            arguments.append([torch.Generator() for _ in range(count(method))])
        known = inspect.signature(row.function).parameters
        own = {name: value for name, value in settings.items() if name in known}
        if row.measure is not None:
            arguments.append([0.0] * count(method))
        result = row.function([base] * count(method), *arguments, **own)
        assert torch.equal(result, base)


LAMBDA = [p for p in ROWS if "lambda_" in settings_of(METHODS[str(p.values[0])])]


@pytest.mark.parametrize(("method", "settings"), LAMBDA)
def test_lambda_of_zero_gives_the_base(method: str, settings: dict[str, Any]) -> None:
    for name in ("linear", "double", "tied", "channels_last"):
        models, base = family(name, method)
        result = merge(models, method, **base, **settings | {"lambda_": 0.0})
        for key, tensor in result.items():
            assert torch.equal(tensor, base["base"][key])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("dare_linear", "task_arithmetic"),
        ("della_linear", "task_arithmetic"),
        ("breadcrumbs", "task_arithmetic"),
        ("della", "ties"),
        ("ties_global", "ties"),
    ],
)
def test_nothing_is_dropped_at_density_one(one: str, other: str) -> None:
    models, base = family("convolutional", one)
    first = merge(models, one, density=1.0, **base)
    assert bits(first) == bits(merge(models, other, **base))


@pytest.mark.parametrize("rescale", ["l1", "inverse"])
@pytest.mark.parametrize("density", [0.2, 0.7])
def test_what_is_dropped_is_made_up_for(rescale: str, density: float) -> None:
    base, model = {"w": torch.zeros(20_000)}, {"w": torch.ones(20_000)}
    settings = {"density": density, "rescale": rescale}
    merged = merge([model], "dare_linear", base=base, **settings)["w"]
    kept = float((merged != 0).float().mean())
    assert abs(kept - density) < 0.02
    factor = 1 / density if rescale == "inverse" else 1 / kept
    assert torch.allclose(merged[merged != 0], torch.tensor(factor))


FINITE = st.floats(-1e3, 1e3, width=32)
WEIGHTED = [p for p in DEFAULT if "weight" in settings_of(METHODS[str(p.values[0])])]


@pytest.mark.parametrize(("method", "settings"), WEIGHTED)
def test_models_of_weight_zero_do_not_count(
    method: str, settings: dict[str, Any]
) -> None:
    models, base = family("convolutional", method)
    weight = [1.0] + [0.0] * (len(models) - 1)
    if "density" in settings_of(METHODS[method]):
        settings = settings | {"density": 1.0}
    result = merge(models, method, **base, **settings, weight=weight)
    for key, tensor in result.items():
        torch.testing.assert_close(tensor, models[0][key], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("t", [0, 1])
@pytest.mark.parametrize("name", MODULES)
def test_spherical_paths_meet_their_ends(name: str, t: int) -> None:
    if name == "complex":
        return
    models = three(name)[:2]
    if name == "masked":
        models[1] = models[1] | {"mask": models[0]["mask"]}
    carried = {n: x for n, x in models[0].items() if not x.is_floating_point()}
    assert bits(merge(models, "slerp", t=t)) == bits(models[t] | carried)


@pytest.mark.parametrize("t", [0.3, 0.5])
def test_nearly_parallel_tensors_are_joined_by_a_line(t: float) -> None:
    first = {"w": torch.randn(100, dtype=torch.float64)}
    second = {"w": first["w"] * 3 + 1e-3}
    expected = (1 - t) * first["w"] + t * second["w"]
    torch.testing.assert_close(merge([first, second], "slerp", t=t)["w"], expected)


@pytest.mark.parametrize("method", [n for n, r in METHODS.items() if not r.complex])
def test_complex_tensors_are_refused_by_name(method: str) -> None:
    models, base = family("complex", method)
    with pytest.raises(WeightsError, match=f"'weight': {method} cannot merge complex"):
        merge(models, method, **base, **SETTINGS[method][0])


@few(max_examples=15)
@given(
    rows=st.lists(
        st.lists(st.floats(-1e3, 1e3, width=32), min_size=6, max_size=6),
        min_size=3,
        max_size=3,
    ),
    dtype=st.sampled_from([torch.float32, torch.bfloat16, torch.float64]),
)
@pytest.mark.parametrize(("method", "settings"), BASED)
def test_any_numbers_stay_numbers(
    method: str, settings: dict[str, Any], rows: list[list[float]], dtype: torch.dtype
) -> None:
    models = [{"w": torch.tensor(row).reshape(2, 3).to(dtype)} for row in rows]
    base = {"w": torch.linspace(-1, 1, 6).reshape(2, 3).to(dtype)}
    result = merge(models[: count(method)], method, base=base, **settings)["w"]
    assert result.dtype == dtype
    assert result.isfinite().all()


def test_a_mean_of_all_directions_is_the_mean() -> None:
    models, base = family("convolutional", "subspace")
    whole = merge(models, "subspace", rank=3, **base)
    for key, tensor in merge(models).items():
        torch.testing.assert_close(whole[key], tensor, rtol=1e-4, atol=1e-5)


def test_fewer_directions_are_nearer_to_the_origin() -> None:
    models, base = family("convolutional", "subspace")
    ways = [merge(models, "subspace", rank=rank, **base) for rank in (1, 2, 3)]
    lengths = [distance(way, base["base"]) for way in ways]
    assert lengths == sorted(lengths)
    assert lengths[0] < lengths[-1]


@pytest.mark.parametrize("alpha", [0.1, 0.01])
def test_a_moving_average_forgets_by_alpha(alpha: float) -> None:
    base, model = {"w": torch.ones(3)}, {"w": torch.zeros(3)}
    found = base
    for _ in range(5):
        found = merge([model], "importance", base=found, alpha=alpha)
    at_once = merge([model], "importance", base=base, alpha=alpha, rounds=5)
    torch.testing.assert_close(found["w"], at_once["w"])
    torch.testing.assert_close(at_once["w"], torch.full((3,), (1 - alpha) ** 5))


def test_unit_length_cancels_out_of_contributions() -> None:
    models, _ = family("linear", "contribution")
    given = contributions((0.1, 0.7, 0.4), temperature=0.2)
    assert sum(share**2 for share in given) == pytest.approx(1)
    one = merge(models, "contribution", scores=(0.1, 0.7, 0.4), temperature=0.2)
    two = merge(models, "weighted", coefficients=given)
    assert bits(one) == bits(two)


@given(rows=st.lists(st.lists(FINITE, min_size=4, max_size=4), min_size=1, max_size=5))
def test_literal_contributions_lie_between_mean_and_largest(
    rows: list[list[float]],
) -> None:
    members = torch.tensor(rows)
    found = merge([{"w": row} for row in members], "contribution_literal")["w"]
    slack = members.abs().amax(0) * 1e-5 + 1e-6
    assert (found >= members.mean(0) - slack).all()
    assert (found <= members.amax(0)).all()


@pytest.mark.parametrize("chosen", [0, 1, 2])
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("name", MODULES)
def test_all_weight_on_one_gives_that_one(
    name: str, normalize: bool, chosen: int
) -> None:
    models = three(name)
    coefficients = [float(k == chosen) for k in range(3)]
    result = merge(models, "weighted", coefficients=coefficients, normalize=normalize)
    carried = {
        n: t for n, t in models[0].items() if t.dtype in {torch.int64, torch.bool}
    }
    assert bits(result) == bits(models[chosen] | carried)


ROWS_OF = st.lists(st.lists(FINITE, min_size=4, max_size=4), min_size=1, max_size=6)


@given(rows=ROWS_OF, dtype=st.sampled_from([torch.float32, torch.bfloat16]))
def test_a_mean_lies_between_its_members(
    rows: list[list[float]], dtype: torch.dtype
) -> None:
    members = torch.tensor(rows).to(dtype)
    value = merge([{"w": row} for row in members])["w"]
    slack = members.float().abs().amax(0) * 1e-6
    assert (value >= (members.float().amin(0) - slack).to(dtype)).all()
    assert (value <= (members.float().amax(0) + slack).to(dtype)).all()


@given(rows=ROWS_OF)
def test_streams_and_lists_give_the_same_mean(rows: list[list[float]]) -> None:
    members = [{"w": torch.tensor(row)} for row in rows]
    one, two = uniform_soup(members)["w"], mean(members)["w"]
    scale = torch.tensor(rows).abs().max().item()
    torch.testing.assert_close(one, two, rtol=1e-6, atol=1e-6 * scale)


@given(
    value=st.floats(-(2.0**99), 2.0**99, width=32),
    count=st.integers(1, 50),
    coefficients=st.lists(st.floats(0.0625, 8, width=32), min_size=50, max_size=50),
)
def test_equal_numbers_give_that_number_for_any_coefficients(
    value: float, count: int, coefficients: list[float]
) -> None:
    models = [{"w": torch.tensor(value)}] * count
    merged = merge(models, "weighted", coefficients=coefficients[:count])
    assert merged["w"].item() == merge(models)["w"].item() == value
