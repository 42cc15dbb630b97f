"""An adapter and its base are what PEFT merges, and never more than is understood."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from cases.weights import bits
from dale.errors import CorruptError, DaleError, WeightsError
from dale.weights import AdaptedWeights, adapted, open_weights, save
from dale.weights.lowrank import with_lora
from reference import lora as slow

GOLDEN = Path(__file__).parents[1] / "golden" / "lora"
CASES = sorted(
    path.name for path in GOLDEN.iterdir() if (path / "base.safetensors").is_file()
)


@pytest.mark.parametrize("case", CASES)
def test_golden(case: str) -> None:
    """PEFT rounds the product to bfloat16 before it adds it; dale rounds the sum."""
    folder = GOLDEN / case
    model = adapted(folder / "base.safetensors", folder)
    merged = load_file(folder / "merged.safetensors")
    base = load_file(folder / "base.safetensors")
    assert model.keys() == merged.keys()
    changed = 0
    for name, expected in merged.items():
        changed += not torch.equal(expected, base[name])
        close = {"rtol": 2**-7, "atol": 2**-7} if case == "bfloat16" else {}
        torch.testing.assert_close(model[name], expected, **close)
        assert model.layout[name].shape == tuple(expected.shape)
        assert model.layout[name].dtype == expected.dtype
    assert changed > 1


def test_bfloat16_is_rounded_once() -> None:
    folder = GOLDEN / "bfloat16"
    base = load_file(folder / "base.safetensors")
    wide = adapted({n: t.double() for n, t in base.items()}, folder)
    model = adapted(base, folder)
    peft = load_file(folder / "merged.safetensors")
    for name in base:
        exact = wide[name]
        assert torch.equal(model[name], exact.float().bfloat16())
    error = {n: (peft[n].double() - wide[n]).abs().sum() for n in base}
    ours = {n: (model[n].double() - wide[n]).abs().sum() for n in base}
    assert sum(ours.values()) < sum(error.values())


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("rank", [1, 3])
@pytest.mark.parametrize("magnitude", [False, True])
def test_linear_layers(rank: int, magnitude: bool) -> None:
    w, a, b = drawn(5, 4), drawn(rank, 4, seed=1), drawn(5, rank, seed=2)
    expected, m = slow.linear(w, a, b, 0.7), drawn(5, seed=3)
    if magnitude:
        expected = slow.dora(expected, m)
    given = {"magnitude": m} if magnitude else {}
    close = {"rtol": 1e-5, "atol": 1e-6}
    found = with_lora(w, a, b, 0.7, **given).double()
    torch.testing.assert_close(found, expected, **close)
    turned = with_lora(w.T, a, b, 0.7, **given).double()
    torch.testing.assert_close(turned, expected.T, **close)
    table = with_lora(w.T, a, b, 0.7, embedding=True, **given).double()
    torch.testing.assert_close(table, expected.T, **close)


@pytest.mark.parametrize("size", [1, 3])
def test_convolutions(size: int) -> None:
    w, a = drawn(5, 4, size, size), drawn(2, 4, size, size, seed=1)
    b = drawn(5, 2, 1, 1, seed=2)
    found = with_lora(w, a, b, 0.7).double()
    expected = slow.filters(w, a, b, 0.7)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_square_matrices_are_read_as_told() -> None:
    w, a, b = drawn(4, 4), drawn(2, 4, seed=1), drawn(4, 2, seed=2)
    straight, turned = with_lora(w, a, b, 1.0), with_lora(w, a, b, 1.0, transposed=True)
    torch.testing.assert_close(turned - w, (straight - w).T)


def folder(
    path: Path, content: dict[str, Tensor], config: dict[str, Any] | None = None
) -> Path:
    path.mkdir(exist_ok=True)
    plain = {"peft_type": "LORA", "r": 1, "lora_alpha": 1}
    (path / "adapter_config.json").write_text(json.dumps(plain | (config or {})))
    named = {f"base_model.model.{name}": tensor for name, tensor in content.items()}
    save_file(named, path / "adapter_model.safetensors")
    return path


def pair(module: str, out: int = 2, width: int = 3) -> dict[str, Tensor]:
    return {
        f"{module}.lora_A.weight": drawn(1, width),
        f"{module}.lora_B.weight": drawn(out, 1, seed=1),
    }


def test_nothing_is_written_and_the_rest_is_the_base(tmp_path: Path) -> None:
    base = {"fc.weight": drawn(2, 3), "fc.bias": drawn(2), "n": torch.tensor(3)}
    before = bits(base)
    model = adapted(base, folder(tmp_path, pair("fc")))
    assert list(model) == list(base)
    assert bits(base) == before
    assert model["fc.bias"] is base["fc.bias"]
    assert model["n"] is base["n"]
    assert not torch.equal(model["fc.weight"], base["fc.weight"])


def test_a_zero_adapter_is_the_base_bit_for_bit(tmp_path: Path) -> None:
    base = {"fc.weight": drawn(2, 3).bfloat16()}
    zero = {n: torch.zeros_like(t) for n, t in pair("fc").items()}
    assert bits(dict(adapted(base, folder(tmp_path, zero)))) == bits(base)


@pytest.mark.parametrize(
    ("target", "stored"),
    [("model.fc", "fc"), ("fc", "model.fc"), ("model.fc", "model.fc")],
)
def test_the_outermost_module_may_differ(
    target: str, stored: str, tmp_path: Path
) -> None:
    base = {f"{stored}.weight": drawn(2, 3)}
    model = adapted(base, folder(tmp_path, pair(target)))
    assert not torch.equal(model[f"{stored}.weight"], base[f"{stored}.weight"])


def test_an_adapter_of_a_tied_tensor_changes_it_under_all_its_names(
    tmp_path: Path,
) -> None:
    shared = drawn(2, 3)
    base = {"embed.weight": shared, "head.weight": shared}
    model = adapted(base, folder(tmp_path, pair("head")))
    assert model.ties == {"head.weight": "embed.weight"}
    assert torch.equal(model["embed.weight"], model["head.weight"])
    assert not torch.equal(model["embed.weight"], shared)


def test_a_replaced_tensor_is_tied_no_longer_and_may_be_longer(tmp_path: Path) -> None:
    shared = drawn(2, 3).bfloat16()
    base = {"embed.weight": shared, "head.weight": shared, "copy.weight": shared}
    content = pair("copy") | {"embed.weight": drawn(4, 3)}
    model = adapted(base, folder(tmp_path, content))
    assert model.ties == {"copy.weight": "head.weight"}
    assert model.layout["embed.weight"].shape == (4, 3)
    assert model["embed.weight"].dtype == torch.bfloat16
    assert model.layout.ties == model.ties


def test_a_saved_head_that_the_base_lacks_is_added(tmp_path: Path) -> None:
    base = {"embed.weight": drawn(2, 3)}
    content = {"head.weight": drawn(2, 3)}
    model = adapted(base, folder(tmp_path, content, {"modules_to_save": ["head"]}))
    assert list(model) == ["embed.weight", "head.weight"]
    assert torch.equal(model["head.weight"], content["head.weight"])


def test_an_adapter_finds_its_base(tmp_path: Path) -> None:
    save(tmp_path / "base.safetensors", {"fc.weight": drawn(2, 3)}, {})
    named = {"base_model_name_or_path": str(tmp_path / "base.safetensors")}
    model = open_weights(folder(tmp_path / "lora", pair("fc"), named))
    assert isinstance(model, AdaptedWeights)
    assert list(model) == ["fc.weight"]
    model.close()
    named = {"base_model_name_or_path": "someone/model"}
    with pytest.raises(WeightsError, match="'someone/model', which is not a local"):
        open_weights(folder(tmp_path / "lora", pair("fc"), named))


def test_adapters_in_pytorch_files(tmp_path: Path) -> None:
    shutil.copytree(GOLDEN / "plain", tmp_path / "bin")
    file = tmp_path / "bin" / "adapter_model.safetensors"
    torch.save(load_file(file), file.with_suffix(".bin"))
    file.unlink()
    base = GOLDEN / "plain" / "base.safetensors"
    one, two = adapted(base, tmp_path / "bin"), adapted(base, GOLDEN / "plain")
    assert bits(dict(one)) == bits(dict(two))


BASE = {"fc.weight": drawn(2, 3), "sq.weight": drawn(3, 3), "tr.weight": drawn(3, 2)}
REFUSED: dict[str, tuple[dict[str, Tensor], dict[str, Any], type[DaleError], str]] = {
    "another kind": (pair("fc"), {"peft_type": "IA3"}, WeightsError, "IA3 adapters"),
    "replicated": (
        pair("fc"),
        {"layer_replication": [[0, 2]]},
        WeightsError,
        "'layer_replication'",
    ),
    "a moved base": (
        pair("fc"),
        {"init_lora_weights": "pissa_niter_4"},
        WeightsError,
        "begun by pissa_niter_4, which changed the base",
    ),
    "an unknown layer": (pair("gone"), {}, WeightsError, "no 'gone.weight'"),
    "an unknown tensor": (
        pair("fc") | {"other.weight": drawn(2)},
        {},
        WeightsError,
        "no 'other.weight'",
    ),
    "an unknown part": (
        pair("fc") | {"fc.lora_C.weight": drawn(2)},
        {},
        WeightsError,
        "'base_model.model.fc.lora_C.weight' is a tensor of unknown use",
    ),
    "half a pair": (
        {"fc.lora_A.weight": drawn(1, 3)},
        {},
        CorruptError,
        "'fc' lacks one of its two matrices",
    ),
    "another rank": (pair("fc"), {"r": 8}, WeightsError, "has rank 1, its .* says 8"),
    "no rank": (
        {"fc.lora_A.weight": torch.ones(0, 3), "fc.lora_B.weight": torch.ones(2, 0)},
        {"r": 0},
        CorruptError,
        r"has shape \(0, 3\); parts of a sharded model",
    ),
    "one axis": (
        {"fc.lora_A.weight": drawn(3), "fc.lora_B.weight": drawn(2)},
        {},
        CorruptError,
        r"has shape \(3,\)",
    ),
    "nothing": ({}, {}, CorruptError, "an adapter without tensors"),
    "a pattern that is none": (
        pair("fc"),
        {"rank_pattern": {"(": 2}},
        CorruptError,
        "rank_pattern is no pattern",
    ),
    "a list of patterns": (
        pair("fc"),
        {"alpha_pattern": [2]},
        CorruptError,
        "alpha_pattern is no pattern",
    ),
    "another length": (
        pair("fc") | {"fc.lora_magnitude_vector": drawn(5)},
        {},
        WeightsError,
        "must have 2 elements, has 5",
    ),
    "no alpha": (pair("fc"), {"lora_alpha": None}, WeightsError, "lora_alpha must be"),
    "both directions": (
        pair("fc") | pair("tr") | pair("sq", 3),
        {},
        WeightsError,
        "which these square ones have: 'sq.weight'",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_understood_is_refused(case: str, tmp_path: Path) -> None:
    content, config, error, message = REFUSED[case]
    with pytest.raises(error, match=message) as caught:
        adapted(BASE, folder(tmp_path, content, config))
    assert "\n" not in str(caught.value)


def test_shapes_that_do_not_fit(tmp_path: Path) -> None:
    with pytest.raises(
        WeightsError, match=r"'fc.weight': an adapter of shape \(4, 3\)"
    ):
        adapted(BASE, folder(tmp_path, pair("fc", out=4)))
    grouped = pair("fc") | {"fc.lora_B.weight": drawn(2, 2)}
    with pytest.raises(WeightsError, match="grouped layers"):
        adapted(BASE, folder(tmp_path, grouped))
    with pytest.raises(WeightsError, match="does not fit a weight of shape"):
        with_lora(drawn(2, 3), drawn(1, 4), drawn(2, 1), 1.0)


def test_quantised_bases(tmp_path: Path) -> None:
    base = {"fc.weight": torch.zeros(2, 3, dtype=torch.int8)}
    with pytest.raises(WeightsError, match=r"torch.int8; an adapter needs the model"):
        adapted(base, folder(tmp_path, pair("fc")))


def test_folders_that_are_not_adapters(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="not an adapter"):
        adapted(BASE, tmp_path)
    (tmp_path / "adapter_config.json").write_text("{")
    with pytest.raises(CorruptError, match="not JSON"):
        adapted(BASE, tmp_path)
    (tmp_path / "adapter_config.json").write_text("[]")
    with pytest.raises(CorruptError, match="expected an object"):
        adapted(BASE, tmp_path)
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(WeightsError, match=r"expected adapter_model.safetensors or"):
        adapted(BASE, tmp_path)
