"""Is a merge sound? Figures against a slow twin, verdicts on planted defects."""

from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dale.errors import InputError
from dale.merge import Barrier, barriers, check, judged, merge
from dale.weights import save


def network(seed, scale=1.0):
    generator = torch.Generator().manual_seed(seed)
    shapes = {"a.weight": (40, 30), "a.bias": (40,), "b.weight": (7, 40)}
    made = {n: torch.randn(s, generator=generator) * scale for n, s in shapes.items()}
    return made | {"count": torch.tensor(3)}


def tuned(base, seed, scale=0.1):
    change = network(seed, scale)
    return {n: t + change[n] if n != "count" else t for n, t in base.items()}


@pytest.fixture
def family():
    base = network(0)
    return base, [tuned(base, seed) for seed in (1, 2, 3)]


def twin(merged, models, base):
    """The same figures by loops over elements."""
    flat = [
        np.concatenate([m[n].double().numpy().ravel() for n in merged if n != "count"])
        for m in (merged, *models, base)
    ]
    result, *inputs, origin = flat
    deltas = [x - origin for x in inputs]
    clashing = changed = 0
    for values in zip(*deltas, strict=True):
        signs = {np.sign(value) for value in values if value}
        changed += sum(value != 0 for value in values) > 1
        clashing += len(signs) > 1
    cosine = {
        (i, j): deltas[i]
        @ deltas[j]
        / np.sqrt(deltas[i] @ deltas[i])
        / np.sqrt(deltas[j] @ deltas[j])
        for i, j in combinations(range(len(deltas)), 2)
    }
    lengths = [np.linalg.norm(result - x) / np.linalg.norm(x) for x in inputs]
    return clashing / changed, cosine, lengths


def test_the_figures_are_those_of_the_slow_twin(family):
    base, models = family
    merged = merge(models, "task_arithmetic", base=base, weight=0.5)
    found = check(merged, models, base)
    conflict, cosine, distances = twin(merged, models, base)
    assert found.conflict == pytest.approx(conflict)
    assert found.distances_K == pytest.approx(distances)
    for (i, j), value in cosine.items():
        assert found.cosines_KK[i][j] == pytest.approx(value)
    assert found.share == 1.0
    row = found.rows[0]
    mean = np.mean([m["a.weight"].norm() for m in models])
    assert row.ratio == pytest.approx(float(merged["a.weight"].norm()) / mean)
    moved = np.mean([(m["a.weight"] - base["a.weight"]).norm() for m in models])
    step = float((merged["a.weight"] - base["a.weight"]).norm())
    assert row.kept == pytest.approx(step / moved, rel=1e-5)
    assert found.judgement.verdict == "sound"


def test_a_sample_comes_near_the_whole(family):
    base, models = family
    merged = merge(models, "uniform")
    part = check(merged, models, base, sample=320)
    whole = check(merged, models, base)
    assert part.share < 0.6 < whole.share
    assert part.conflict == pytest.approx(whole.conflict, abs=0.05)
    assert part.distances_K == pytest.approx(whole.distances_K, rel=0.1)


@given(seed=st.integers(0, 99), count=st.integers(1, 4))
def test_equal_models_are_as_sound_as_one(seed, count):
    model = network(seed)
    found = check(model, [model] * count, network(seed + 1))
    assert found.judgement.verdict == "sound"
    assert found.conflict == 0.0
    assert all(row.ratio == pytest.approx(1) for row in found.rows)
    assert torch.tensor(found.cosines_KK).min() == pytest.approx(1)


@given(constant=st.floats(-5, 5), points=st.integers(2, 6))
def test_a_constant_loss_has_no_barrier(constant, points):
    ends = network(0), network(1)
    for path in barriers(lambda weights: constant, ends, network(2), points):
        assert path.height == 0.0
        assert len(path.loss_T) == points


def test_paths_end_exactly_at_the_networks(family):
    base, models = family
    seen = []
    barriers(lambda weights: seen.append(weights) or 0.0, models[:1], base, 3)
    assert torch.equal(seen[0]["a.weight"], base["a.weight"])
    assert torch.equal(seen[1]["a.weight"], models[0]["a.weight"])


def test_statistics_between_the_ends_are_refreshed(family):
    base, models = family
    asked = []

    def refresh(between):
        asked.append(len(between))
        return between

    barriers(lambda weights: 0.0, models, base, 4, refresh)
    assert asked == [2, 2, 2]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_value_that_is_not_finite_breaks_a_merge(family, value):
    base, models = family
    merged = merge(models, "uniform")
    merged["b.weight"][3, 5] = value
    found = check(merged, models, base)
    assert found.judgement.verdict == "broken"
    assert "1 element is NaN or infinite, in 'b.weight'" in found.judgement.reasons[0]


def test_a_mask_of_infinities_in_every_input_is_no_defect(family):
    base, models = family
    for weights in (base, *models):
        weights["a.bias"][0] = -float("inf")
    merged = merge(models, "uniform")
    assert check(merged, models, base).judgement.verdict == "sound"


def test_an_infinity_above_zero_is_no_mask(family):
    base, models = family
    models[1]["a.bias"][0] = float("inf")
    judgement = check(merge(models, "uniform"), models, base).judgement
    assert judgement.verdict == "doubtful"
    assert judgement.reasons == ("1 element is +∞, as in an input, in 'a.bias'",)


def test_a_tensor_of_nan_is_not_called_small_too(family):
    base, models = family
    merged = merge(models, "uniform")
    merged["b.weight"].fill_(float("nan"))
    reasons = check(merged, models, base).judgement.reasons
    assert reasons == ("280 elements are NaN or infinite, in 'b.weight'",)


def test_a_tensor_far_too_large_breaks_a_merge(family):
    base, models = family
    merged = merge(models, "uniform")
    merged["a.weight"] *= 50
    found = check(merged, models, base).judgement
    assert found.verdict == "broken"
    assert "'a.weight'" in found.reasons[0]


def test_the_mean_of_strangers_is_doubtful():
    models = [network(seed) for seed in range(4)]
    found = check(merge(models, "uniform"), models)
    assert found.judgement.verdict == "doubtful"
    assert "0.50; the mean of unrelated networks" in found.judgement.reasons[0]
    assert "strangers" in found.judgement.reasons[1]


def test_models_that_pull_against_each_other_are_named(family):
    base, _ = family
    one = tuned(base, 1)
    other = {n: 2 * base[n] - t if n != "count" else t for n, t in one.items()}
    found = check(base, [one, other], base)
    assert found.conflict == pytest.approx(1.0, abs=0.01)
    assert found.judgement.reasons[0].endswith("their cosine is -1.00")


def test_a_barrier_on_the_way_is_named(family):
    base, models = family

    def loss(weights):
        far = float((weights["b.weight"] - models[0]["b.weight"]).norm())
        return 1.0 + 5 * (0.1 < far < 0.6)

    merged = merge(models, "uniform")
    found = check(merged, models, base, loss=loss, points=9)
    assert found.judgement.verdict == "doubtful"
    assert "on the way from input 1" in " ".join(found.judgement.reasons)


def test_a_loss_twice_that_of_the_worst_input_breaks_a_merge():
    path = Barrier((0.0, 1.0), (0.4, 0.9))
    assert judged([], ((1.0,),), True, [path]).verdict == "broken"
    path = Barrier((0.0, 1.0), (0.4, 0.5))
    assert judged([], ((1.0,),), True, [path]).verdict == "doubtful"
    path = Barrier((0.0, 1.0), (0.4, float("nan")))
    assert judged([], ((1.0,),), True, [path]).verdict == "broken"


def test_tensors_without_a_counterpart_are_looked_at_alone(family):
    base, models = family
    merged = merge(models, "uniform") | {"extra": torch.full((2,), float("nan"))}
    found = check(merged, models, base)
    assert found.apart == ("extra",)
    assert found.judgement.verdict == "broken"


def test_files_are_read_tensor_by_tensor(family, tmp_path):
    base, models = family
    merged = merge(models, "uniform")
    paths = []
    for place, weights in enumerate((merged, *models, base)):
        paths.append(tmp_path / f"{place}.safetensors")
        save(paths[-1], weights, {})
    found, expected = (
        check(paths[0], paths[1:-1], paths[-1]),
        check(merged, models, base),
    )
    assert {*found.rows} == {*expected.rows}
    assert found.distances_K == pytest.approx(expected.distances_K)


def test_bad_input_is_named(family):
    base, models = family
    with pytest.raises(InputError, match="got none"):
        check(base, [])
    with pytest.raises(InputError, match="sample"):
        check(base, models, sample=3)
    with pytest.raises(InputError, match="points"):
        check(base, models, loss=lambda weights: 0.0, points=1)
