import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dale.errors import CorruptError
from dale.train.checkpoint import load_state, pack, save_state, unpack

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False)
    | st.text(max_size=4)
    | st.lists(st.floats(width=32, allow_nan=False), max_size=3).map(torch.tensor)
)
STATES = st.dictionaries(
    st.text(max_size=3) | st.integers(0, 5),
    st.recursive(
        LEAVES,
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.text(max_size=3) | st.integers(0, 5), inner, max_size=3
            )
        ),
        max_leaves=5,
    ),
    max_size=4,
)


def same(left, right):
    if isinstance(left, torch.Tensor):
        return left.dtype == right.dtype and torch.equal(left, right)
    if isinstance(left, dict):
        return list(left) == list(right) and all(same(left[k], right[k]) for k in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    return type(left) is type(right) and left == right


@given(state=STATES)
def test_unpack_undoes_pack(state):
    assert same(unpack(*pack(state)), state)


@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_an_optimiser_comes_back_bit_for_bit(name, tmp_path):
    parameter = torch.nn.Parameter(torch.ones(3))
    make = {
        "sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
        "adam": lambda p: torch.optim.Adam(p, lr=0.1, betas=(0.8, 0.9)),
    }[name]
    optimizer = make([parameter])
    parameter.grad = torch.tensor([1.0, 2.0, 3.0])
    optimizer.step()
    save_state(tmp_path / "s.safetensors", {"optimizer": optimizer.state_dict()})
    loaded = load_state(tmp_path / "s.safetensors")["optimizer"]
    other = make([torch.nn.Parameter(parameter.detach().clone())])
    other.load_state_dict(loaded)
    for o in (optimizer, other):
        p = o.param_groups[0]["params"][0]
        p.grad = torch.tensor([0.5, -1.0, 0.1])
        o.step()
    assert torch.equal(parameter, other.param_groups[0]["params"][0])


def test_no_file_is_no_state(tmp_path):
    assert load_state(tmp_path / "none.safetensors") is None


@given(share=st.floats(0, 1, exclude_max=True), flip=st.booleans())
def test_a_damaged_state_is_refused(share, flip, tmp_path_factory):
    path = tmp_path_factory.mktemp("state") / "s.safetensors"
    save_state(path, {"step": 7, "model": {"w": torch.arange(9.0)}})
    content = bytearray(path.read_bytes())
    at = int(share * len(content))
    if flip:
        content[at] ^= 16
    else:
        content = content[:at]
    path.write_bytes(content)
    with pytest.raises(CorruptError, match=r"s\.safetensors"):
        load_state(path)
