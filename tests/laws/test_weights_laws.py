"""Laws of weights: files, digests, arithmetic and statistics."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor, nn

from cases.weights import DTYPES, bits
from dale.errors import StoreError
from dale.weights import (
    LazyWeights,
    RunningMean,
    add,
    digest,
    distance,
    dot,
    lerp,
    load,
    map_tensors,
    mean,
    norm,
    reestimate,
    save,
    scale,
    sub,
    weighted_sum,
    weights_of,
)
from reference.weights import mean as slow_mean
from reference.weights import pooled

FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
NAMES = st.text(min_size=1, max_size=8).filter(
    lambda name: name.isprintable() and name != "__metadata__"
)
SHAPES = st.lists(st.integers(0, 3), max_size=3)
SEEDS = st.integers(0, 2**31)


def tensor(shape: list[int], dtype: torch.dtype, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    if dtype.is_floating_point or dtype.is_complex:
        return torch.randn(shape, generator=generator).to(dtype)
    return torch.randint(0, 2, shape, generator=generator).to(dtype)


@st.composite
def tensors(draw: st.DrawFn, dtypes: tuple[torch.dtype, ...] = DTYPES) -> Tensor:
    dtype = draw(st.sampled_from(dtypes))
    return tensor(draw(SHAPES), dtype, draw(SEEDS))


def weights(dtypes: tuple[torch.dtype, ...] = DTYPES) -> st.SearchStrategy:
    return st.dictionaries(NAMES, tensors(dtypes), max_size=5)


def another(like: dict[str, Tensor], seed: int) -> dict[str, Tensor]:
    """Weights with the same names, shapes and types, and other values."""
    return {
        n: tensor(list(t.shape), t.dtype, seed + i)
        for i, (n, t) in enumerate(like.items())
    }


@given(
    weights=weights(), header=st.dictionaries(NAMES, st.text(max_size=5), max_size=3)
)
def test_load_undoes_save_and_lazy_equals_eager(
    weights: dict[str, Tensor], header: dict[str, str]
) -> None:
    assume(not any(name.startswith("dale.") for name in header))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.safetensors"
        save(path, weights, header)
        again, found = load(path)
        assert (bits(again), found) == (bits(weights), header)
        with LazyWeights(path) as lazy:
            assert bits(dict(lazy)) == bits(again)
            assert list(lazy) == list(again)
            assert digest(lazy) == digest(weights)


DAMAGED = {
    "w": torch.tensor([[1.0, -2.0], [0.0, 4.0]]),
    "n": torch.tensor([3]),
    "b": torch.tensor([True, False, True]),
}
DAMAGED["tied"] = DAMAGED["w"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("laws") / "net.safetensors"
    save(path, DAMAGED, {"step": "12"})
    return path


@given(position=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
def test_no_flipped_byte_is_read_as_something_else(
    whole: Path, position: float, flip: int
) -> None:
    content = bytearray(whole.read_bytes())
    content[int(position * len(content))] ^= flip
    assert_refused_or_unharmed(whole.with_name("flipped.safetensors"), bytes(content))


@given(position=st.floats(0, 1, exclude_max=True))
def test_no_truncated_file_is_read(whole: Path, position: float) -> None:
    content = whole.read_bytes()
    path = whole.with_name("short.safetensors")
    path.write_bytes(content[: int(position * len(content))])
    with pytest.raises(StoreError, match="short"):
        load(path)


def assert_refused_or_unharmed(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    try:
        found, header = load(path)
    except StoreError:
        return
    # only the blanks that pad the header can change without being noticed
    assert (bits(found), header) == (bits(DAMAGED), {"step": "12"})


@given(weights=weights())
def test_digests_ignore_order_and_see_everything_else(
    weights: dict[str, Tensor],
) -> None:
    assert digest(dict(reversed(weights.items()))) == digest(weights)
    for name, value in weights.items():
        renamed = {(n if n != name else n + "x"): t for n, t in weights.items()}
        if len(renamed) == len(weights):
            assert digest(renamed) != digest(weights)
        if value.numel():
            changed = (value == 0).to(value.dtype)
            if bits({"": changed}) != bits({"": value}):
                assert digest(weights | {name: changed}) != digest(weights)


@given(weights=weights(), seed=SEEDS, t=st.floats(-2, 2))
def test_arithmetic_never_writes_to_its_inputs(
    weights: dict[str, Tensor], seed: int, t: float
) -> None:
    other = another(weights, seed)
    before = bits(weights), bits(other)
    for result in (
        add(weights, other),
        sub(weights, other),
        scale(weights, t),
        lerp(weights, other, t),
        mean([weights, other]),
        weighted_sum([weights, other], [t, 1.0]),
    ):
        assert list(result) == list(weights)
        for name, value in result.items():
            assert (value.dtype, value.shape) == (
                weights[name].dtype,
                weights[name].shape,
            )
            if not (value.is_floating_point() or value.is_complex()):
                assert torch.equal(value, weights[name])
            value.zero_()
    assert (bits(weights), bits(other)) == before


@given(weights=weights(FLOATS), seed=SEEDS, t=st.floats(0, 1))
def test_identities_of_a_vector_space(
    weights: dict[str, Tensor], seed: int, t: float
) -> None:
    weights = {name: value.double() for name, value in weights.items()}
    other = another(weights, seed)

    def close(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
        map_tensors(lambda x, y: torch.testing.assert_close(x, y) or x, first, second)

    close(add(sub(weights, other), other), weights)
    close(scale(add(weights, other), 0.5), mean([weights, other]))
    close(lerp(weights, other, t), weighted_sum([weights, other], [1 - t, t]))
    assert distance(weights, other) == pytest.approx(norm(sub(weights, other)))
    assert abs(dot(weights, other)) <= norm(weights) * norm(other) + 1e-9


@given(weights=weights(FLOATS), seeds=st.lists(SEEDS, min_size=1, max_size=6))
def test_running_mean_is_the_mean(weights: dict[str, Tensor], seeds: list[int]) -> None:
    members = [another(weights, seed) for seed in seeds]
    running = RunningMean()
    for member in members:
        running.update(member)
    for name, value in running.value().items():
        exact = slow_mean([member[name] for member in members], [1.0] * len(members))
        torch.testing.assert_close(value, exact.to(value.dtype), check_stride=False)


@given(lengths=st.lists(st.integers(2, 9), min_size=1, max_size=5), seed=SEEDS)
def test_statistics_are_pooled_whatever_the_batches(
    lengths: list[int], seed: int
) -> None:
    net = nn.BatchNorm1d(3)
    generator = torch.Generator().manual_seed(seed)
    batches = [5 + 2 * torch.randn(n, 3, generator=generator) for n in lengths]
    (new,) = reestimate(net, [weights_of(net)], batches)
    average, variance = pooled(batches)
    np.testing.assert_allclose(new["running_mean"].numpy(), average, rtol=1e-5)
    np.testing.assert_allclose(new["running_var"].numpy(), variance, rtol=1e-5)
