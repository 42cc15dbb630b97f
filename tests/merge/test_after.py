"""The result of a configuration held against what it was made from."""

import json
import math
from pathlib import Path

import pytest
import torch

from dale.merge import check, merge, run_config
from dale.merge.after import check_jobs
from dale.merge.config.prepare import prepare
from dale.merge.config.schema import MergeConfig
from dale.merge.engine import planned
from dale.weights import load, save

WORDS = {"base": "ab", "one": "abc", "two": "bad"}
LINEAR = "merge_method: linear\nparameters: {weight: 1}\n"
PAIR = "models: [{model: one}, {model: two}]\n"


def network(name, seed, words, layers=3):
    """Weights near those of a common parent."""
    size = len(words)
    parent, own = (torch.Generator().manual_seed(s) for s in (0, seed))

    def drawn(*shape):
        start = torch.randn(shape, generator=parent)
        return start + 0.1 * torch.randn(shape, generator=own)

    weights = {f"model.layers.{i}.w.weight": drawn(40, 30) for i in range(layers)}
    weights |= {"model.norm.weight": torch.ones(30), "count": torch.tensor(3)}
    weights["model.embed_tokens.weight"] = drawn(4, 30)[:size]
    save(f"{name}/model.safetensors", weights, {})
    config = {"num_hidden_layers": layers, "vocab_size": size}
    Path(name, "config.json").write_text(json.dumps(config))
    vocabulary = {word: i for i, word in enumerate(words)}
    model = {"type": "WordLevel", "vocab": vocabulary}
    Path(name, "tokenizer.json").write_text(json.dumps({"model": model}))
    return weights


@pytest.fixture(autouse=True)
def models():
    for seed, (name, words) in enumerate(WORDS.items(), start=1):
        network(name, seed, words)
    low = {"lora_A": torch.ones(1, 30) / 30, "lora_B": torch.ones(40, 1)}
    start = "base_model.model.model.layers.1.w"
    tensors = {f"{start}.{name}.weight": tensor for name, tensor in low.items()}
    save("lora/adapter_model.safetensors", tensors, {})
    settings = {"peft_type": "LORA", "r": 1, "lora_alpha": 1, "target_modules": ["w"]}
    Path("lora/adapter_config.json").write_text(json.dumps(settings))


def checked(text):
    Path("c.yml").write_text(text)
    found = []
    run_config("c.yml", "out", check=found.append)
    return found[0]


def row(found, name):
    return next(row for row in found.found.rows if row.name == name)


def test_it_is_the_check_of_whole_models_where_nothing_was_changed():
    text = "merge_method: task_arithmetic\nparameters: {weight: 0.5}\n"
    text += "base_model: base\ntokenizer_source: base\n" + PAIR
    for seed, name in enumerate(("one", "two"), start=7):
        network(name, seed, "ab")
    found = checked(text)
    expected = check("out", ["one", "two"], "base")
    assert found.models == ("one", "two")
    assert found.base == "base"
    assert found.carried == ("count",)
    assert found.found.conflict == expected.conflict
    assert found.found.distances_K == pytest.approx(expected.distances_K)
    assert found.found.cosines_KK[0] == pytest.approx(expected.cosines_KK[0])
    assert found.found.judgement == expected.judgement


def test_rows_of_a_new_vocabulary_are_compared_with_those_they_were_made_of():
    found = checked(LINEAR + PAIR + "tokenizer_source: union\n")
    assert found.found.apart == ()
    assert row(found, "model.embed_tokens.weight").shape == (4, 30)
    assert found.found.judgement.verdict == "sound"
    assert found.found.cosines_KK[0][1] > 0.9


def test_layers_of_slices_are_compared_with_those_they_are():
    text = """
merge_method: passthrough
slices:
  - sources: [{model: one, layer_range: [0, 2]}]
  - sources: [{model: two, layer_range: [1, 3]}]
"""
    network("two", 9, WORDS["one"])
    found = checked(text)
    assert found.models == ("one", "two")
    assert found.found.distances_K == (0.0, 0.0)
    assert all(one.ratio == pytest.approx(1) for one in found.found.rows)
    # no tensor was made of both, so nothing is known of their angle
    assert math.isnan(found.found.cosines_KK[0][1])
    assert found.found.judgement.verdict == "sound"


def test_an_adapter_is_compared_with_its_model():
    found = checked("merge_method: passthrough\nmodels: [{model: one+lora}]")
    assert found.models == ("one+lora",)
    assert found.found.distances_K == (0.0,)


@pytest.mark.parametrize("who", ["one", "base"])
def test_a_nan_in_an_input_is_named_even_if_the_result_has_none(who):
    for seed, name in enumerate(("one", "two"), start=7):
        network(name, seed, "ab")
    weights = load(who)[0]
    weights["model.layers.1.w.weight"][3, 4] = math.nan
    save(f"{who}/model.safetensors", weights, {})
    text = "merge_method: task_arithmetic\nparameters: {weight: 0.5}\n"
    found = checked(f"{text}base_model: base\n{PAIR}").found.judgement
    assert found.verdict == "broken"
    wanted = f"{who} has values that are NaN, in 'model.layers.1.w.weight'"
    assert wanted in found.reasons
    result, models = load("two")[0], [load("one")[0], load("two")[0]]
    beside = check(result, models, load("base")[0], labels=("one", "two", "base"))
    assert beside.judgement.verdict == "doubtful"
    assert wanted in beside.judgement.reasons


def test_running_variances_are_compared_with_variances():
    torch.manual_seed(0)
    nets = [torch.nn.BatchNorm1d(50) for _ in range(3)]
    for k, net in enumerate(nets):
        net(torch.randn(64, 50) + 30 * k)
    jobs = planned(nets[1:], "task_arithmetic", nets[0], {"weight": 0.5}).jobs
    result = merge(nets[1:], "task_arithmetic", base=nets[0], weight=0.5)
    done = check_jobs(jobs, result)
    assert len(done.models) == 2
    # the means lie far apart, and so the mixture's variance is above its parts'
    assert row(done, "running_var").ratio > 3
    assert done.carried == ("num_batches_tracked",)


def test_a_result_of_a_schema_in_memory_is_checked_too():
    text = {"merge_method": "linear", "parameters": {"weight": 1}}
    config = MergeConfig.model_validate(
        text | {"models": [{"model": "one"}, {"model": "one"}]}
    )
    ready = prepare(config, Path())
    found = check_jobs(ready.jobs, load("one")[0], ready.labels)
    assert found.models == ("one",)
    assert found.found.judgement.verdict == "sound"


def test_each_tensor_is_told():
    seen = []
    config = MergeConfig.model_validate(
        {"merge_method": "passthrough", "models": [{"model": "one"}]}
    )
    jobs = prepare(config, Path()).jobs
    check_jobs(jobs, load("one")[0], watch=lambda *pair: seen.append(pair))
    assert len(seen) == sum(job.dtype.is_floating_point for job in jobs)
    assert seen[-1][0] == seen[-1][1] == sum(job.nbytes for job in jobs)


def normalised(mean, variance):
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.BatchNorm1d(8))
    net[1].running_mean.fill_(mean)
    net[1].running_var.fill_(variance)
    return net


@pytest.mark.parametrize("method", ["uniform", "task_arithmetic"])
def test_statistics_of_a_mixture_are_no_defect(method):
    nets, origin = [normalised(mean, 1.0) for mean in (-6, 6)], normalised(30, 1.0)
    base = None if method == "uniform" else origin
    settings = {} if base is None else {"weight": 0.3}
    result = merge(nets, method, base=base, **settings)
    # the means cancel out, and the variance is mostly what lies between them
    assert result["1.running_var"].min() > 30
    checked = check_jobs(planned(nets, method, base, settings).jobs, result).found
    for found in (checked, check(result, nets, base)):
        assert found.judgement.verdict == "doubtful"
        (why,) = found.judgement.reasons[: found.judgement.against]
        assert "'1.running_var': up to" in why
        assert why.endswith(
            "right for a mixture of them, but measure statistics on data"
        )


@pytest.mark.parametrize(
    ("leaf", "value"), [("running_var", 60.0), ("running_mean", -70.0)]
)
def test_statistics_of_no_mixture_are_a_defect(leaf, value):
    nets = [normalised(mean, 1.0) for mean in (-6, 6)]
    result = merge(nets) | {f"1.{leaf}": torch.full((8,), value)}
    judgement = check(result, nets).judgement
    assert judgement.verdict == "broken"
    assert f"'1.{leaf}': far from the inputs in size" in judgement.reasons[0]
