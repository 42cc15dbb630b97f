"""Fisher, RegMean and learned soups: twins, outside truths, laws and refusals."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cases.merge import shaken
from cases.weights import MODULES, bits, built
from dale.errors import InputError, ModelError, StoreError, WeightsError
from dale.merge import uniform_soup
from dale.merge.informed import (
    INFORMED,
    Statistics,
    fisher,
    fisher_merge,
    grams,
    learned_soup,
    load_statistics,
    regmean,
)
from dale.weights import digest, layout_of_weights, save, weights_of
from reference import merge_informed as twin

Weights = dict[str, Tensor]


def network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    net = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1, groups=2),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Flatten(),
        nn.Linear(4 * 25, 3),
    )
    net[1].running_mean.normal_()
    return net


def inputs(count: int = 11, seed: int = 0) -> Tensor:
    return torch.randn(count, 2, 5, 5, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("variant", ["expected", "empirical"])
@pytest.mark.parametrize("chunk", [1, 4, 64])
def test_fisher_equals_one_backward_pass_at_a_time(variant: str, chunk: int) -> None:
    net, x = network(), inputs()
    y = torch.arange(11) % 3
    found = fisher(
        net,
        net.state_dict(),
        [(x[:5], y[:5]), (x[5:], y[5:])],
        variant=variant,
        chunk=chunk,
    )
    labels = y.tolist() if variant == "empirical" else None
    for name, value in twin.fisher(net, list(x), labels).items():
        torch.testing.assert_close(found[name].double(), value, rtol=1e-4, atol=1e-9)
    assert found.examples == 11
    assert found.model == digest(net.state_dict())


def test_sampled_fisher_tends_to_the_expected_one() -> None:
    net, x = network(), inputs(1).expand(4000, -1, -1, -1)
    pairs = [(x, None)]
    expected = fisher(net, net.state_dict(), [(x[:1], None)])["5.bias"]
    sampled = fisher(net, net.state_dict(), pairs, variant="sampled", chunk=4000)
    torch.testing.assert_close(sampled["5.bias"], expected, rtol=0.1, atol=0.01)


def test_draws_do_not_depend_on_batches() -> None:
    net, x = network(), inputs()
    runs = [
        fisher(net, net.state_dict(), pairs, variant="sampled", seed=3, chunk=chunk)
        for pairs, chunk in [([(x, None)], 64), ([(x[:4], None), (x[4:], None)], 3)]
    ]
    for name, value in runs[0].items():
        torch.testing.assert_close(value, runs[1][name], rtol=1e-5, atol=1e-9)


def test_fisher_of_a_gaussian_head_is_known() -> None:
    """Of logits W x with W = 0 and C classes: F = x² (1/C)(1 − 1/C)."""
    net = nn.Linear(3, 4, bias=False)
    x = torch.randn(50, 3)
    found = fisher(net, {"weight": torch.zeros(4, 3)}, [(x, None)])["weight"]
    expected = x.square().mean(0) * 0.25 * 0.75
    torch.testing.assert_close(found, expected.expand(4, 3), rtol=1e-5, atol=1e-7)


def test_measuring_leaves_no_trace() -> None:
    net = network().train()
    net[3].eval()
    other = weights_of(network(1))
    before = bits(weights_of(net))
    fisher(net, other, [(inputs(), None)])
    grams(net, other, [inputs()])
    learned_soup(
        net, [other, other], lambda e: [(inputs(3), torch.zeros(3).long())], epochs=1
    )
    assert bits(weights_of(net)) == before
    assert [part.training for part in net] == [True, True, True, False, True, True]
    assert not any(part._forward_pre_hooks for part in net.modules())
    assert all(p.grad is None for p in net.parameters())


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(2, 4, 3, padding=1, groups=2),
        nn.Conv2d(2, 3, (3, 2), stride=2, dilation=(1, 2)),
        nn.Conv2d(2, 3, 3, padding="same"),
        nn.Conv2d(2, 3, 3, padding=1, padding_mode="reflect"),
    ],
)
def test_gram_of_a_convolution_is_that_of_its_patches(layer: nn.Conv2d) -> None:
    found = grams(layer, layer.state_dict(), [inputs(4), inputs(3, seed=1)])["weight"]
    rows = twin.sampled_convolution(layer, torch.cat([inputs(4), inputs(3, seed=1)]))
    expected = rows.mT @ rows / rows.shape[1]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_gram_of_a_one_dimensional_convolution() -> None:
    one, two = nn.Conv1d(2, 3, 3, padding=1), nn.Conv2d(2, 3, (1, 3), padding=(0, 1))
    x = torch.randn(5, 2, 7)
    found = grams(one, one.state_dict(), [x])["weight"]
    expected = grams(two, two.state_dict(), [x[:, :, None]])["weight"]
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("alpha", [0.0, 0.5, 0.9, 1.0])
def test_regmean_equals_its_formula(alpha: float) -> None:
    nets = [nn.Linear(6, 4) for _ in range(3)]
    x_K = [torch.randn(40, 6) * torch.rand(6) for _ in nets]
    models = [weights_of(net) for net in nets]
    known = [grams(net, w, [x]) for net, w, x in zip(nets, models, x_K, strict=True)]
    found = regmean(models, known, alpha=alpha)
    expected = twin.regmean([m["weight"] for m in models], x_K, alpha)
    torch.testing.assert_close(found["weight"].double(), expected, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(found["bias"], uniform_soup(models)["bias"])


def test_regmean_changes_outputs_less_than_any_step_aside() -> None:
    nets = [nn.Linear(5, 2, bias=False) for _ in range(2)]
    x_K = [torch.randn(30, 5) for _ in nets]
    models = [weights_of(net) for net in nets]
    known = [grams(n, w, [x]) for n, w, x in zip(nets, models, x_K, strict=True)]
    best = regmean(models, known, alpha=1.0)["weight"]

    def cost(matrix: Tensor) -> float:
        parts = zip(models, x_K, strict=True)
        return sum(
            float((x @ (matrix - m["weight"]).T).square().mean()) for m, x in parts
        )

    for _ in range(20):
        assert cost(best) <= cost(best + 0.01 * torch.randn_like(best))


def test_inputs_that_were_never_on_keep_the_mean() -> None:
    nets = [nn.Linear(4, 3, bias=False) for _ in range(2)]
    x = torch.randn(20, 4)
    x[:, 2] = 0
    models = [weights_of(net) for net in nets]
    known = [grams(net, w, [x]) for net, w in zip(nets, models, strict=True)]
    for alpha in (0.9, 1.0):
        merged = regmean(models, known, alpha=alpha)["weight"]
        mean = uniform_soup(models)["weight"]
        torch.testing.assert_close(merged[:, 2], mean[:, 2])


def statistics(kind: str, model: Weights, seed: int) -> dict[str, Tensor]:
    """Made-up statistics for every matrix of any network."""
    rng = torch.Generator().manual_seed(seed)
    found = {}
    for name, tensor in model.items():
        if (
            not tensor.is_floating_point()
            or tensor.ndim < 2
            or not tensor.isfinite().all()
        ):
            continue
        if kind == "fisher":
            found[name] = torch.rand(tensor.shape, generator=rng)
        else:
            rows = torch.randn(9, tensor[0].numel(), generator=rng)
            found[name] = (rows.mT @ rows / 9)[None]
    return found


MERGES: dict[str, Any] = {"fisher": fisher_merge, "gram": regmean}
PLAIN = [name for name in MODULES if name not in {"complex", "stateless"}]


@pytest.mark.parametrize("kind", MERGES)
@pytest.mark.parametrize("name", [*PLAIN, "complex", "stateless"])
def test_laws_of_merging_by_statistics(kind: str, name: str) -> None:
    base = weights_of(built(name))
    models = [shaken(base, 1 + k) for k in range(3)]
    known = [statistics(kind, model, k) for k, model in enumerate(models)]
    before = [bits(model) for model in models]
    merged = MERGES[kind](models, known)
    assert layout_of_weights(merged) == layout_of_weights(models[0])
    equal = MERGES[kind]([models[0]] * 3, known)
    assert bits(equal) == bits(models[0])
    order = [2, 0, 1]
    turned = MERGES[kind]([models[k] for k in order], [known[k] for k in order])
    alone = MERGES[kind](models, known, (0, 1, 0))
    for key, value in merged.items():
        if value.is_floating_point() or value.is_complex():
            torch.testing.assert_close(value, turned[key], rtol=1e-5, atol=1e-5)
            torch.testing.assert_close(alone[key], models[1][key], rtol=1e-5, atol=1e-5)
        else:
            assert torch.equal(value, models[0][key])
    for value in merged.values():
        value.zero_()
    assert [bits(model) for model in models] == before


def test_tied_names_share_statistics() -> None:
    net = built("tied")
    models = [weights_of(net), shaken(weights_of(net), 1)]
    x = torch.tensor([[0, 1], [2, 4]])
    known = [grams(net, model, [x]) for model in models]
    assert {*known[0]} == {"embed.weight"}
    merged = regmean(models, known)
    assert merged["head.weight"].data_ptr() == merged["embed.weight"].data_ptr()
    assert not torch.equal(merged["head.weight"], uniform_soup(models)["head.weight"])


def test_all_rows_are_in_the_table() -> None:
    functions = {row.function for row in INFORMED.values()}
    assert {fisher_merge, regmean, learned_soup} <= functions
    assert all(row.needs_data for row in INFORMED.values())


def test_learned_soup_finds_the_good_model_in_each_layer() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    good = weights_of(net)
    x = torch.randn(64, 4)
    pairs = [(x, net(x).argmax(1).detach())]
    models = [
        good | {k: torch.randn_like(good[k]) for k in good if k.startswith(p)}
        for p in ("0", "2")
    ]
    soup = learned_soup(net, models, lambda e: pairs, epochs=60, rate=0.1)
    assert soup.shares["0"][1] > 0.8
    assert soup.shares["2"][0] > 0.8
    whole = learned_soup(net, models, lambda e: pairs, epochs=60, rate=0.1, by="model")
    assert {*whole.shares} == {""}
    assert soup.losses[-1] < whole.losses[-1] < whole.losses[0]


@pytest.mark.parametrize("softmax", [True, False])
@pytest.mark.parametrize("by", ["model", "layer"])
def test_a_soup_that_learned_nothing_is_the_mean(by: str, softmax: bool) -> None:
    net = built("convolutional")
    base = weights_of(net)
    models = [shaken(base, 1 + k) for k in range(3)]
    soup = learned_soup(net, models, lambda e: [], epochs=0, by=by, softmax=softmax)
    mean = uniform_soup(models)
    for key, value in soup.weights.items():
        # the soup learns with mean variances, and a mean has those of the mixture
        if value.is_floating_point() and "running_var" not in key:
            torch.testing.assert_close(value, mean[key], rtol=1e-5, atol=1e-6)
    assert soup.losses == ()
    if softmax:
        same = learned_soup(net, [base] * 3, lambda e: [], epochs=0, by=by)
        assert bits(same.weights) == bits(base)


def test_statistics_survive_a_file_and_refuse_strangers(tmp_path: Path) -> None:
    net = nn.Linear(3, 2)
    model = weights_of(net)
    made = grams(net, model, [torch.randn(4, 3)])
    made.save(tmp_path / "a.safetensors")
    again = load_statistics(tmp_path / "a.safetensors", kind="gram", model=made.model)
    assert bits(dict(again)) == bits(dict(made))
    assert (again.data, again.examples) == (made.data, 4)
    with pytest.raises(StoreError, match="another kind"):
        load_statistics(tmp_path / "a.safetensors", kind="fisher")
    save(tmp_path / "b.safetensors", made.tensors, {"statistics": "1", "kind": "gram"})
    with pytest.raises(WeightsError, match="'' as its number of examples"):
        load_statistics(tmp_path / "b.safetensors", kind="gram")
    with pytest.raises(StoreError, match="another data"):
        load_statistics(tmp_path / "a.safetensors", data="0" * 64)
    other = {name: value + 1 for name, value in model.items()}
    with pytest.raises(WeightsError, match="other weights than model 1"):
        regmean([other, model], [made, made])
    with pytest.raises(WeightsError, match="kind 'gram', expected 'fisher'"):
        fisher_merge([model], [made])


def bad(call: str) -> None:
    net = nn.Linear(3, 2)
    model, x = weights_of(net), torch.randn(4, 3)
    pairs = [(x, torch.tensor([0, 1, 2, 0]))]
    known: Any = {"weight": torch.ones(2, 3)}
    calls: dict[str, Any] = {
        "variant": lambda: fisher(net, model, pairs, variant="exact"),
        "chunk": lambda: fisher(net, model, pairs, chunk=0),
        "targets": lambda: fisher(net, model, pairs, variant="empirical"),
        "no targets": lambda: fisher(net, model, [(x, None)], variant="empirical"),
        "no examples": lambda: fisher(net, model, []),
        "no rows": lambda: grams(net, model, []),
        "output": lambda: fisher(nn.Flatten(0), {}, [(x, None)]),
        "item": lambda: fisher(Item(), {"w": torch.ones(3)}, [(x, None)]),
        "floor": lambda: fisher_merge([model], [known], floor=0),
        "shape": lambda: fisher_merge([model], [{"weight": torch.ones(3, 2)}]),
        "gram": lambda: regmean([model], [{"weight": torch.ones(1, 4, 4)}]),
        "rank": lambda: regmean([model], [{"weight": torch.ones(3, 3)}]),
        "groups": lambda: regmean(
            [model] * 2, [{"weight": torch.ones(g, 3, 3)} for g in (1, 2)]
        ),
        "array": lambda: fisher_merge([model], [{"weight": np.ones((2, 3))}]),
        "no number": lambda: fisher_merge([model], [{"weight": known["weight"] / 0}]),
        "alpha": lambda: regmean([model], [{}], alpha=1.5),
        "names": lambda: fisher_merge([model], [{"v": torch.ones(1)}]),
        "count": lambda: fisher_merge([model, model], [known]),
        "negative": lambda: fisher_merge([model], [known], (-1,)),
        "by": lambda: learned_soup(net, [model], lambda e: pairs, by="tensor"),
        "rate": lambda: learned_soup(net, [model], lambda e: pairs, rate=0.0),
        "empty": lambda: learned_soup(net, [model], lambda e: []),
        "none": lambda: learned_soup(net, [], lambda e: pairs),
    }
    calls[call]()


class Item(nn.Module):
    """A network that looks at a value, which cannot be mapped over examples."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.ones(3))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.w if x.sum().item() > 0 else x + self.w


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        ("variant", InputError, "unknown variant 'exact'"),
        ("chunk", InputError, "1 or more examples, got 0"),
        ("targets", InputError, "classes from 0 to 1"),
        ("no targets", InputError, "one target for each"),
        ("no examples", InputError, "1 or more examples, got 0"),
        ("no rows", InputError, "1 or more examples, got 0"),
        ("output", ModelError, "expected logits"),
        ("item", ModelError, "single examples cannot be had from Item"),
        ("floor", InputError, "floor must be positive"),
        ("shape", WeightsError, r"'weight': fisher of model 1 has shape \(3, 2\), exp"),
        (
            "array",
            WeightsError,
            "'weight': fisher of model 1 is a ndarray, expected a t",
        ),
        ("no number", WeightsError, "'weight': fisher of model 1 has values that are"),
        (
            "gram",
            WeightsError,
            r"gram of model 1 has shape \(1, 4, 4\), expected \(groups",
        ),
        ("rank", WeightsError, r"has shape \(3, 3\), expected \(groups, 3, 3\)"),
        ("groups", WeightsError, r"'weight': Gram matrices in \[1, 2\] groups, expec"),
        ("alpha", InputError, r"alpha must be in \[0, 1\]"),
        ("names", WeightsError, "do not fit the models"),
        ("count", InputError, "2 models, 1 statistics"),
        ("negative", InputError, "0 or more and not all 0"),
        ("by", InputError, "unknown kind of shares"),
        ("rate", InputError, "rate must be positive"),
        ("empty", InputError, "epoch 0 of a learned soup has no examples"),
        ("none", InputError, "1 or more models"),
    ],
)
def test_impossible_calls_say_why(call: str, kind: type, words: str) -> None:
    with pytest.raises(kind, match=words) as caught:
        bad(call)
    assert "\n" not in str(caught.value)


def test_statistics_are_named_tensors() -> None:
    one = Statistics({"w": torch.ones(1)}, "fisher", "expected", 1, "m", "d")
    assert dict(one) == one.tensors
    assert len(one) == 1


def test_statistics_of_broken_data_are_refused() -> None:
    network = nn.Linear(2, 3)
    inputs = torch.tensor([[1.0, float("nan")]])
    with pytest.raises(InputError, match="'weight' has values that are not finite"):
        fisher(network, weights_of(network), [(inputs, None)])
