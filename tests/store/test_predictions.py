import pytest
import torch

from dale.errors import CorruptError, InputError, StoreError
from dale.store import Member, PredictionCache, Predictions

LOGITS = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
TARGETS = torch.tensor([0, 1, 2, 0])


def member(label="a", digest="0" * 64):
    return Member(label, digest, "snapshot", "snapshot")


def test_logits_come_back_for_exactly_this_member_and_split(tmp_path):
    cache = PredictionCache(tmp_path, "convnet")
    cache.put(member(), "test", "split-1", LOGITS, TARGETS)
    found = cache.get([member()], "test", "split-1")
    assert torch.equal(found.logits_MNC[0], LOGITS)
    assert torch.equal(found.targets_N, TARGETS)
    assert found.labels == ("a",)


@pytest.mark.parametrize("change", ["member", "split", "model"])
def test_a_stale_file_counts_as_absent(tmp_path, change):
    PredictionCache(tmp_path, "convnet").put(member(), "test", "s", LOGITS, TARGETS)
    cache = PredictionCache(tmp_path, "mlp" if change == "model" else "convnet")
    # the same file name, another content
    digest = "0" * 16 + "1" * 48 if change == "member" else "0" * 64
    split = "other" if change == "split" else "s"
    assert not cache.has(member(digest=digest), "test", split)
    with pytest.raises(StoreError, match="has no predictions on 'test' yet"):
        cache.get([member(digest=digest)], "test", split)


def test_an_altered_file_is_named_and_made_again(tmp_path):
    cache = PredictionCache(tmp_path, "convnet")
    cache.put(member(), "test", "s", LOGITS, TARGETS)
    path = cache.path(member(), "test")
    content = bytearray(path.read_bytes())
    content[-3] ^= 4
    path.write_bytes(content)
    with pytest.raises(CorruptError, match="the content was altered"):
        cache.get([member()], "test", "s")
    assert not cache.has(member(), "test", "s")


def test_pick_keeps_the_order_asked_for():
    logits_MNC = torch.stack([LOGITS, LOGITS + 1, LOGITS + 2])
    found = Predictions(logits_MNC, TARGETS, ("a", "b", "c"), "test", "s")
    assert torch.equal(found.pick(["c", "a"]).logits_MNC, logits_MNC[[2, 0]])
    with pytest.raises(InputError, match="no predictions of d on test"):
        found.pick(["d"])
    with pytest.raises(InputError, match="3 members on 4 examples came with 2 labels"):
        Predictions(logits_MNC, TARGETS, ("a", "b"), "test", "s")
