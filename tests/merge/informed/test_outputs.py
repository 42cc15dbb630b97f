"""Covariances of outputs, CPIS, imported layers and importances: twins and laws."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cases.merge import shaken
from cases.weights import MODULES, bits, built
from dale.errors import InputError, WeightsError
from dale.merge import importance, merge, uniform_soup
from dale.merge.informed import (
    INFORMED,
    adamerging,
    covariances,
    cpis,
    fisher,
    grams,
    import_layers,
    importance_merge,
    load_statistics,
    regmean,
    unit_importance,
)
from dale.weights import layout_of_weights, weights_of
from reference import merge_informed as twin

Weights = dict[str, Tensor]


def network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(4 * 25, 3),
    )


def inputs(count: int = 11, seed: int = 0) -> Tensor:
    return torch.randn(count, 2, 5, 5, generator=torch.Generator().manual_seed(seed))


def family(count: int = 3) -> tuple[nn.Module, list[Weights], list[Any]]:
    net = network()
    base = weights_of(net)
    models = [shaken(base, k, 0.2) for k in range(1, count + 1)]
    known = [covariances(net, m, [inputs(9, k)]) for k, m in enumerate(models)]
    return net, models, known


def test_covariances_are_those_of_the_outputs() -> None:
    net, x = network().eval(), inputs()
    found = covariances(net, net.state_dict(), [x[:4], x[4:5], x[5:]])
    assert {*found} == {"0.weight", "1.weight", "4.weight"}
    with torch.no_grad():
        maps = net[0](x).movedim(1, -1).reshape(-1, 4)
        logits = net(x)
    for name, rows in (("0.weight", maps), ("1.weight", maps), ("4.weight", logits)):
        expected = twin.covariance(rows)
        torch.testing.assert_close(found[name].double(), expected, rtol=1e-4, atol=1e-6)
    assert (found.kind, found.examples) == ("covariance", 11)


def test_covariances_far_from_zero_lose_nothing() -> None:
    net = nn.Linear(1, 1)
    weights = {"weight": torch.ones(1, 1), "bias": torch.tensor([4096.0])}
    x = torch.tensor([[0.0], [1.0], [2.0], [3.0]])
    found = covariances(net, weights, [x[:3], x[3:]])["weight"]
    torch.testing.assert_close(found, torch.tensor([[1.25]]))


def test_covariances_of_sequences_and_one_image() -> None:
    head, x = nn.Sequential(nn.LayerNorm(3), nn.Linear(3, 2)), torch.randn(2, 5, 3)
    found = covariances(head, head.state_dict(), [x])
    expected = twin.covariance(x.reshape(-1, 3))
    torch.testing.assert_close(found["0.weight"].double(), expected)
    one = nn.Conv2d(2, 3, 3)
    several = covariances(one, one.state_dict(), [inputs(1)])["weight"]
    alone = covariances(one, one.state_dict(), [inputs(1)[0]])["weight"]
    torch.testing.assert_close(alone, several)


def test_measuring_outputs_leaves_no_trace() -> None:
    net = network().train()
    before = bits(weights_of(net))
    covariances(net, weights_of(network(1)), [inputs()])
    adamerging(net, [weights_of(network(1))], weights_of(net), lambda e: [inputs()])
    assert bits(weights_of(net)) == before
    assert all(part.training for part in net)
    assert not any(x._forward_hooks or x._forward_pre_hooks for x in net.modules())
    assert all(p.grad is None for p in net.parameters())


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 1.0])
@pytest.mark.parametrize("into", [0, 2])
def test_cpis_takes_the_rows_that_its_twin_takes(share: float, into: int) -> None:
    _, models, known = family()
    found = cpis(models, known, into=into, share=share)
    donors = [model for k, model in enumerate(models) if k != into]
    mean = uniform_soup(donors)
    layers = {"0": ["0.weight", "0.bias"], "4": ["4.weight", "4.bias"]}
    layers["1"] = [n for n in mean if n in ("1.weight", "1.bias", "1.running_mean")]
    for layer, names in layers.items():
        size = len(known[0][f"{layer}.weight"])
        count = -int(-share * size // 1)
        wanted = twin.most_important([k[f"{layer}.weight"] for k in known], count)
        assert list(found.units[f"{layer}.weight"]) == wanted
        for name in names:
            for unit in range(size):
                source = mean if unit in wanted else models[into]
                actual, expected = found.weights[name][unit], source[name][unit]
                torch.testing.assert_close(actual, expected, rtol=1e-6, atol=1e-7)
    if not share:
        assert bits(found.weights) == bits(models[into])


def test_unit_importance_is_no_variance() -> None:
    """Two units that vary together count for more than one that varies alone."""
    together = torch.tensor([[1.0, 0.9, 0.0], [0.9, 1.0, 0.0], [0.0, 0.0, 1.1]])
    first, second, alone = unit_importance(together).tolist()
    assert first == pytest.approx(second)
    assert first > alone == pytest.approx(1.1)
    plain = torch.diag(torch.tensor([3.0, 1.0, 2.0]))
    assert unit_importance(plain).tolist() == pytest.approx([3, 1, 2])


@pytest.mark.parametrize("strength", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("donor", [0, -1])
def test_imported_layers_solve_their_least_squares(strength: float, donor: int) -> None:
    nets = [nn.Sequential(nn.Linear(5, 4), nn.Linear(4, 2)) for _ in range(3)]
    models = [weights_of(net) for net in nets]
    x_K = [torch.randn(30, 5) for _ in nets]
    known = [grams(n, w, [x]) for n, w, x in zip(nets, models, x_K, strict=True)]
    found = import_layers(
        models, known, layers=["1"], donor=donor, into=1, strength=strength, alpha=1.0
    )
    hidden = [net[0](x).detach() for net, x in zip(nets, x_K, strict=True)]
    matrices = [model["1.weight"] for model in models]
    expected = twin.imported(matrices, hidden, donor % 3, strength)
    torch.testing.assert_close(
        found["1.weight"].double(), expected, rtol=1e-3, atol=1e-4
    )
    assert bits({n: found[n] for n in ("0.weight", "0.bias")}) == bits(
        {n: models[1][n] for n in ("0.weight", "0.bias")}
    )


def test_imported_layers_without_correction_are_the_donors() -> None:
    net, models, _ = family()
    known = [grams(net, m, [inputs(9, k)]) for k, m in enumerate(models)]
    found = import_layers(models, known, layers=["4", "1"], donor=2, strength=0.0)
    for name, value in found.items():
        source = models[0] if name.startswith("0") or not value.ndim else models[2]
        assert torch.equal(value, source[name])
    whole = import_layers(models, known, layers=[""], donor=2, strength=2.0)
    closed = regmean(models, known)
    for name, value in whole.items():
        torch.testing.assert_close(value, closed[name], rtol=1e-4, atol=1e-5)


def test_importances_by_parameter_equal_their_twin() -> None:
    base = {"w": torch.randn(2, 3), "b": torch.randn(2)}
    models = [shaken(base, k) for k in range(1, 4)]
    known = [{"w": torch.rand(2, 3)} for _ in models]
    known[1]["w"][0, 0] = known[0]["w"][0, 0] = known[2]["w"][0, 0] = 0
    found = importance_merge(models, known, base, alpha=0.3, rounds=4)
    tensors, weights = [m["w"] for m in models], [k["w"] for k in known]
    expected = twin.moved(base["w"], tensors, weights, 0.3, 4)
    torch.testing.assert_close(found["w"].double(), expected, rtol=1e-5, atol=1e-6)
    plain = merge(models, "importance", base=base, alpha=0.3, rounds=4)
    torch.testing.assert_close(found["b"], plain["b"])
    assert bits(importance_merge(models, known, base, alpha=0.0)) == bits(base)


def test_one_importance_for_a_layer_is_the_kernel() -> None:
    base = {"w": torch.randn(2, 3)}
    models = [shaken(base, k) for k in range(1, 3)]
    known = [{"w": torch.tensor(3.0)}, {"w": torch.tensor(1.0)}]
    found = importance_merge(models, known, base)["w"]
    tensors = [model["w"] for model in models]
    expected = importance(tensors, base["w"], importance=(3, 1))
    torch.testing.assert_close(found, expected)


def test_one_step_of_adamerging_goes_where_differences_point() -> None:
    torch.manual_seed(3)
    net = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))
    base = weights_of(net)
    models = [shaken(base, k, 0.3) for k in range(1, 4)]
    x = torch.randn(20, 4)
    found = adamerging(net, models, base, lambda e: [x], by="model", rate=1e-2)
    expected = twin.entropy_step(net, models, base, x, 0.3, 1e-2)
    assert list(found.coefficients[""]) == pytest.approx(expected, abs=1e-5)


def test_adamerging_lowers_the_entropy_layer_by_layer() -> None:
    net, models, _ = family()
    base = weights_of(net)
    found = adamerging(net, models, base, lambda e: [inputs(64)], rate=0.05, epochs=8)
    assert {*found.coefficients} == {"0", "1", "4"}
    assert found.entropies[-1] < found.entropies[0]
    start = adamerging(net, models, base, lambda e: [], epochs=0)
    mixed = merge(models, "task_arithmetic", base=base, weight=0.3)
    for name, value in start.weights.items():
        if name.endswith("running_var"):
            continue  # in a merge it is the variance of a mixture
        if value.is_floating_point():
            torch.testing.assert_close(value, mixed[name], rtol=1e-5, atol=1e-6)
        else:
            assert torch.equal(value, models[0][name])
    task = adamerging(net, models, base, lambda e: [inputs()], by="model")
    assert {*task.coefficients} == {""}


CALLS: dict[str, Any] = {
    "cpis": lambda models, known: cpis(models, known).weights,
    "import": lambda models, known: import_layers(models, known, layers=[""]),
    "importance_fisher": lambda models, known: importance_merge(
        models, known, models[0]
    ),
}


def made_up(method: str, model: Weights, seed: int) -> dict[str, Tensor]:
    """Made-up statistics for every matrix of any network."""
    rng = torch.Generator().manual_seed(seed)
    found = {}
    for name, tensor in model.items():
        if not (tensor.is_floating_point() and tensor.ndim > 1):
            continue
        if not tensor.isfinite().all():
            continue
        if method == "importance_fisher":
            found[name] = torch.rand(tensor.shape, generator=rng)
            continue
        size = len(tensor) if method == "cpis" else tensor[0].numel()
        rows = torch.randn(9, size, generator=rng)
        found[name] = rows.mT @ rows / 9
        if method == "import":
            found[name] = found[name][None]
    return found


@pytest.mark.parametrize("method", CALLS)
@pytest.mark.parametrize("name", [n for n in MODULES if n != "stateless"])
def test_laws_of_taking_over(method: str, name: str) -> None:
    base = weights_of(built(name))
    models = [shaken(base, 1 + k) for k in range(3)]
    known = [made_up(method, model, k) for k, model in enumerate(models)]
    before = [bits(model) for model in models]
    merged = CALLS[method](models, known)
    assert layout_of_weights(merged) == layout_of_weights(models[0])
    if INFORMED[method].idempotent:
        assert bits(CALLS[method]([models[0]] * 3, known)) == bits(models[0])
    for key, value in merged.items():
        assert not value.isnan().any()
        if not (value.is_floating_point() or value.is_complex()):
            assert torch.equal(value, models[0][key])
        value.zero_()
    assert [bits(model) for model in models] == before


def test_output_statistics_do_their_work_from_files(tmp_path: Path) -> None:
    net, models, known = family()
    for place, one in enumerate(known):
        one.save(tmp_path / f"{place}.safetensors")
    again = [load_statistics(tmp_path / f"{k}.safetensors") for k in range(3)]
    assert [one.kind for one in again] == ["covariance"] * 3
    assert bits(cpis(models, again).weights) == bits(cpis(models, known).weights)
    with pytest.raises(WeightsError, match="other weights than model 1"):
        cpis(models[::-1], again)
    pairs = [(inputs(), None)]
    diagonals = [fisher(net, model, pairs) for model in models]
    importance_merge(models, diagonals, weights_of(net))
    with pytest.raises(WeightsError, match="other weights than model 1"):
        importance_merge(models[::-1], diagonals, weights_of(net))
    with pytest.raises(WeightsError, match="kind 'covariance', expected 'gram'"):
        import_layers(models, again, layers=["4"])


def bad(call: str) -> None:
    net = nn.Linear(3, 2)
    model, x = weights_of(net), torch.randn(4, 3)
    pair, one = [model, model], {"weight": torch.eye(2)}
    square = {"weight": torch.eye(3)[None]}
    calls: dict[str, Any] = {
        "no examples": lambda: covariances(net, model, []),
        "share": lambda: cpis(pair, [one, one], share=1.5),
        "into": lambda: cpis(pair, [one, one], into=2),
        "alone": lambda: cpis([model], [one]),
        "units": lambda: cpis(pair, [{"weight": torch.eye(3)}] * 2),
        "nan": lambda: cpis(pair, [{"weight": torch.full((2, 2), torch.nan)}] * 2),
        "vector": lambda: cpis(pair, [{"weight": torch.ones(2)}] * 2),
        "layer": lambda: import_layers(pair, [square] * 2, layers=["weigth"]),
        "word": lambda: import_layers(pair, [square] * 2, layers="weight"),
        "donor": lambda: import_layers(pair, [square] * 2, layers=[""], donor=5),
        "strength": lambda: import_layers(
            pair, [square] * 2, layers=[""], strength=-1.0
        ),
        "no number": lambda: import_layers(
            pair, [{"weight": torch.full((1, 3, 3), torch.nan)}] * 2, layers=[""]
        ),
        "few": lambda: import_layers([model], [square], layers=[""]),
        "missing": lambda: importance_merge(pair, [{}, one], model),
        "shape": lambda: importance_merge(pair, [{"weight": torch.ones(5)}] * 2, model),
        "stranger": lambda: importance_merge(pair, [{"wieght": 1.0}] * 2, model),
        "text": lambda: importance_merge(pair, [{"weight": "much"}] * 2, model),
        "negative": lambda: importance_merge(
            pair, [{"weight": -torch.ones(2, 3)}] * 2, model
        ),
        "count": lambda: importance_merge(pair, [one], model),
        "alpha": lambda: importance_merge(pair, [{}, {}], model, alpha=2.0),
        "rounds": lambda: importance_merge(pair, [{}, {}], model, rounds=-1),
        "floor": lambda: importance_merge(pair, [{}, {}], model, floor=0.0),
        "by": lambda: adamerging(net, pair, model, lambda e: [x], by="tensor"),
        "rate": lambda: adamerging(net, pair, model, lambda e: [x], rate=0.0),
        "start": lambda: adamerging(net, pair, model, lambda e: [x], start=torch.inf),
        "empty": lambda: adamerging(net, pair, model, lambda e: []),
        "none": lambda: adamerging(net, [], model, lambda e: [x]),
    }
    calls[call]()


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        ("no examples", InputError, "1 or more examples, got 0"),
        ("share", InputError, r"share must be in \[0, 1\], got 1.5"),
        ("into", InputError, "into must be from 0 to 1, got 2"),
        ("alone", InputError, "no model has a share beside"),
        ("units", WeightsError, r"model 1 has shape \(3, 3\), expected \(2, 2\)"),
        ("nan", WeightsError, "'weight': covariance of model 1 has values that"),
        ("vector", WeightsError, r"'weight': covariance of model 1 has shape \(2,\)"),
        ("layer", InputError, "no layer 'weigth'"),
        ("word", InputError, "layers must be a list of names, got 'weight'"),
        ("donor", InputError, "donor must be from 0 to 1, got 5"),
        ("strength", InputError, "strength must be 0 or more, got -1"),
        ("no number", WeightsError, "'weight': .* that are not finite"),
        ("few", InputError, "2 or more models, got 1"),
        ("missing", WeightsError, "'weight': some models have importances"),
        ("shape", WeightsError, r"'weight': importance of shape \(5,\)"),
        ("stranger", WeightsError, "importances 1 are of names that no model has: 'w"),
        ("text", WeightsError, "'weight': importances must be tensors or numbers, got"),
        ("negative", WeightsError, "'weight': importances must be finite"),
        ("count", InputError, "2 models, 1 importances"),
        ("alpha", InputError, r"alpha must be in \[0, 1\], got 2"),
        ("rounds", InputError, "rounds must be 0 or more, got -1"),
        ("floor", InputError, "floor must be positive"),
        ("by", InputError, "unknown kind of coefficients 'tensor'"),
        ("rate", InputError, "rate must be positive"),
        ("start", InputError, "start must be finite"),
        ("empty", InputError, "epoch 0 of adamerging has no examples"),
        ("none", InputError, "1 or more models, got 0"),
    ],
)
def test_impossible_calls_say_why(call: str, kind: type, words: str) -> None:
    with pytest.raises(kind, match=words) as caught:
        bad(call)
    assert "\n" not in str(caught.value)
