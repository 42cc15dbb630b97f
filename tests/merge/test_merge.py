"""The table of methods, and the one function that reads it."""

import inspect
from pathlib import Path

import pytest
import torch
from torch import nn

from cases.merge import SETTINGS
from cases.weights import bits, built
from dale.errors import InputError, WeightsError
from dale.merge import METHODS, average, merge
from dale.weights import save, weights_of


def test_every_row_is_tried() -> None:
    assert SETTINGS.keys() == METHODS.keys()


@pytest.mark.parametrize("name", METHODS)
def test_rows_are_true_of_their_functions(name: str) -> None:
    row = METHODS[name]
    first, *settings = inspect.signature(row.function).parameters.values()
    assert first.name == {"tensor": "tensors_K", "model": "weights_K"}[row.scope]
    assert all(setting.kind == setting.KEYWORD_ONLY for setting in settings)
    assert row.needs_score == any(setting.name == "score" for setting in settings)
    assert row.streams == (row.scope == "tensor")
    assert row.summary
    assert "arXiv" in row.reference


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


def test_no_models() -> None:
    for method, settings in SETTINGS.items():
        with pytest.raises(InputError, match="1 or more"):
            merge([], method, **settings[0])


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(WeightsError, match=r"absent.pt: no such file"):
        merge(["absent.pt"])
