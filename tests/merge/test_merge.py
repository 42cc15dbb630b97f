"""The table of methods, and the one function that reads it."""

import inspect
import re
from pathlib import Path

import pytest
import torch
from torch import nn

import dale.merge
from cases.merge import SETTINGS, ancestor, count, shaken
from cases.weights import bits, built
from dale.errors import InputError, WeightsError
from dale.merge import METHODS, average, merge
from dale.merge.engine import settings_of
from dale.weights import save, weights_of


def test_every_row_is_tried() -> None:
    assert SETTINGS.keys() == METHODS.keys()


@pytest.mark.parametrize("name", METHODS)
def test_rows_are_true_of_their_functions(name: str) -> None:
    row = METHODS[name]
    given = inspect.signature(row.function).parameters.values()
    first, *more = [p for p in given if p.kind != p.KEYWORD_ONLY]
    assert first.name == ("weights_K" if row.scope == "model" else "tensors_K")
    expected = {"base": row.base != "none", "generators_K": not row.deterministic}
    measured = "coefficients_K" if name == "subspace" else "thresholds_K"
    expected |= {measured: row.scope == "global"}
    assert [p.name for p in more] == [n for n, there in expected.items() if there]
    bases = [p for p in more if p.name == "base"]
    assert all((p.default is None) == (row.base == "optional") for p in bases)
    assert row.needs_base == (row.base == "required")
    assert (row.measure is not None) == (row.scope == "global")
    assert row.streams == (row.scope != "model")
    assert row.needs_score == ("score" in settings_of(row))
    assert not row.needs_data
    assert row.mergekit in {None, name}
    assert row.summary
    assert re.search(r"\(\d{4}\)|mergekit|unpublished", row.reference)


@pytest.mark.parametrize("name", METHODS)
def test_modules_are_named_in_the_room(name: str) -> None:
    function = METHODS[name].function
    assert getattr(dale.merge, function.__name__) is function


@pytest.mark.parametrize("form", ["module", "mapping", "str", "path", "folder", "pt"])
def test_forms_of_models(form: str, tmp_path: Path) -> None:
    nets = [built("convolutional", seed) for seed in range(2)]
    models: list[object] = []
    for i, net in enumerate(nets):
        path = tmp_path / str(i) / "model.safetensors"
        save(path, weights_of(net), {})
        torch.save(net.state_dict(), path.with_name("net.pt"))
        forms = {"module": net, "mapping": weights_of(net), "str": str(path)}
        forms |= {"path": path, "folder": path.parent, "pt": path.with_name("net.pt")}
        models.append(forms[form])
    expected = average([weights_of(net) for net in nets])
    assert bits(dict(sorted(merge(models).items()))) == bits(
        dict(sorted(expected.items()))
    )


def test_networks_are_left_alone() -> None:
    nets = [built("tied", seed) for seed in range(2)]
    before = [bits(weights_of(net)) for net in nets]
    for tensor in merge(nets, "weighted", coefficients=(1, 0)).values():
        tensor.zero_()
    assert [bits(weights_of(net)) for net in nets] == before


@pytest.mark.parametrize(
    ("method", "settings", "message"),
    [
        ("greedy", {}, "unknown method 'greedy': "),
        ("uniform", {"lost": 2}, "uniform has no setting 'lost': did you mean 'last'"),
        ("weighted", {}, "weighted needs the setting 'coefficients'"),
        ("greedy_soup", {}, "greedy_soup needs the setting 'score'"),
        ("weighted", {"coefficients": (1,)}, "2 models, 1 coefficients"),
        ("weighted", {"coefficients": (1, -1)}, "must not sum to 0"),
    ],
)
def test_impossible_settings(method: str, settings: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        merge([nn.Linear(1, 1), nn.Linear(1, 1)], method, **settings)


ONE = {"w": torch.ones(2)}


@pytest.mark.parametrize("method", METHODS)
def test_numbers_of_models(method: str) -> None:
    fewest, most = METHODS[method].models
    settings = ancestor(method, ONE) | SETTINGS[method][0]
    for wrong in {fewest - 1, fewest if most is None else most + 1} - {fewest}:
        expected = f"{method} needs {'exactly' if most else ''} ?{fewest}"
        with pytest.raises(InputError, match=f"{expected}.* got {wrong}"):
            merge([ONE] * wrong, method, **settings)


@pytest.mark.parametrize("method", METHODS)
def test_bases(method: str) -> None:
    models, settings = [ONE] * count(method), SETTINGS[method][0]
    row = METHODS[method]
    if row.needs_base:
        with pytest.raises(InputError, match=f"{method} needs a base"):
            merge(models, method, **settings)
    elif row.base == "none":
        with pytest.raises(InputError, match=f"{method} takes no base"):
            merge(models, method, base=ONE, **settings)
    else:
        assert torch.equal(merge(models, method, **settings)["w"], ONE["w"])


def test_lambda_by_its_own_name() -> None:
    models, base = [{"w": torch.tensor(3.0)}], {"w": torch.tensor(1.0)}
    merged = merge(models, "ties", base=base, **{"lambda": 0.5})
    assert merged["w"] == 2.0


def test_a_base_of_another_shape() -> None:
    with pytest.raises(WeightsError, match=r"'w' must have shape \(2,\), has \(3,\)"):
        merge([ONE], "ties", base={"w": torch.ones(3)})


def test_types_are_those_of_the_first_model() -> None:
    models = [{"w": torch.ones(2).to(t)} for t in (torch.bfloat16, torch.float16)]
    base = {"w": torch.zeros(2, dtype=torch.float64)}
    assert merge(models, "ties", base=base)["w"].dtype == torch.bfloat16


def test_impossible_settings_are_found_before_anything_is_read() -> None:
    class Unreadable(dict):
        def __getitem__(self, name: str) -> torch.Tensor:
            raise AssertionError(name)

    weights = Unreadable(w=torch.ones(2))
    with pytest.raises(InputError, match="density must be in"):
        merge([weights], "ties", base=weights, density=3.0)


@pytest.mark.parametrize("method", ["dare_ties", "ties_global", "ram"])
def test_masks_depend_on_names_and_not_on_files(method: str, tmp_path: Path) -> None:
    base = weights_of(built("tied"))
    models = [shaken(base, k) for k in range(2)]
    settings = SETTINGS[method][-1] | {"density": 0.5} if method != "ram" else {}
    settings.pop("weight", None)
    paths = [tmp_path / f"{k}.safetensors" for k in range(3)]
    for path, weights in zip(paths, [*models, base], strict=True):
        save(path, dict(reversed(weights.items())), {})
    one = merge(models, method, base=base, seed=3, **settings)
    two = merge(paths[:2], method, base=paths[2], seed=3, **settings)
    assert bits({name: two[name] for name in one}) == bits(one)


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(WeightsError, match=r"absent.pt: no such file"):
        merge(["absent.pt"])
