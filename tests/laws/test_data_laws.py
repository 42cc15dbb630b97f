import torch
from hypothesis import given
from hypothesis import strategies as st

import reference.data as slow
from dale.data import augmentation, from_arrays, make_splits
from dale.data.splits import quotas

counts = st.lists(st.integers(1, 40), min_size=1, max_size=8)


@given(counts, st.data())
def test_quotas_fill_the_split_and_stay_near_the_ideal(counts_C, data):
    total = data.draw(st.integers(0, sum(counts_C)))
    taken_C = quotas(counts_C, total)
    assert sum(taken_C) == total
    assert all(0 <= taken <= n for taken, n in zip(taken_C, counts_C, strict=True))
    ideal_C = [total * n / sum(counts_C) for n in counts_C]
    spare = [n - 1 for n in counts_C]
    if sum(min(1, s) for s in spare) <= total <= sum(spare):
        for taken, n in zip(taken_C, counts_C, strict=True):
            assert taken <= n - 1
            assert taken >= min(1, n - 1)
    low, high = min(ideal_C), max(i - n for i, n in zip(ideal_C, counts_C, strict=True))
    if low >= 1 and high <= -1:
        assert taken_C == slow.hamilton(counts_C, total)


@given(counts, st.integers(0, 3), st.data())
def test_splits_are_a_partition_that_the_order_of_classes_decides(counts_C, seed, data):
    targets_N = torch.cat([torch.full((n,), c) for c, n in enumerate(counts_C)])
    if len(targets_N) < 3:
        return
    val = data.draw(st.integers(1, len(targets_N) - 2))
    test = data.draw(st.integers(1, len(targets_N) - 1 - val))
    parts = make_splits(targets_N, {"test": test, "val": val}, seed)
    joined = torch.cat(list(parts.values()))
    assert torch.equal(joined.sort().values, torch.arange(len(targets_N)))
    assert (len(parts["test"]), len(parts["val"])) == (test, val)


@given(
    st.integers(1, 5),
    st.integers(1, 3),
    st.integers(1, 6),
    st.integers(1, 6),
    st.integers(0, 4),
    st.sampled_from([0.0, 0.3, 1.0]),
    st.integers(0, 99),
)
def test_augmentation_equals_its_slow_twin(n, c, h, w, crop, flip, seed):
    generator = torch.Generator().manual_seed(seed)
    raw = torch.randint(0, 256, (n, c, h, w), dtype=torch.uint8, generator=generator)
    made = augmentation(crop, flip)(raw, torch.Generator().manual_seed(seed))
    expected = slow.crop_and_flip(raw, crop, flip, torch.Generator().manual_seed(seed))
    assert torch.equal(made, expected)


@given(st.integers(6, 30), st.integers(1, 4), st.integers(0, 9), st.data())
def test_a_batch_of_a_subset_is_the_batch_of_its_rows(count, features, seed, data):
    x = torch.randn(count, features, generator=torch.Generator().manual_seed(seed))
    made = from_arrays(
        {"train": (x, torch.arange(count) % 2)}, val=2, test=2, seed=seed
    )
    split = made.splits["train"]
    positions = st.lists(st.integers(0, len(split) - 1), min_size=1, max_size=9)
    rows = torch.tensor(data.draw(positions))
    part = split.subset(rows)
    again = torch.tensor(data.draw(st.permutations(range(len(rows)))))
    assert torch.equal(part.batch(again), split.batch(rows[again]))
    assert torch.equal(part.targets_N[again], split.targets_N[rows[again]])
    assert part.subset(again).digest() == split.subset(rows[again]).digest()
