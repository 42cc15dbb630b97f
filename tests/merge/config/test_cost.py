"""What a merge is said to cost."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from dale.errors import DiskError
from dale.merge import METHODS, Job, Source
from dale.merge.config.cost import cost, memory
from dale.weights import LazyWeights, save

KEYS = {"ties_global": {"density": 0.2}, "nearswap": {"t": 0.1}, "slerp": {"t": 0.5}}


def jobs(method, shape=(64, 32), tensors=3, dtype=torch.bfloat16):
    """Jobs of three models in files, with a base where there may be one."""
    models = []
    for k in range(4):
        path = Path(f"{k}.safetensors")
        named = {f"w{i}": torch.zeros(shape, dtype=dtype) for i in range(tensors)}
        models.append(LazyWeights(save(path, named, {}) and path))
    *models, origin = models
    models = models[: METHODS[method].models[1]]
    base = METHODS[method].base == "required"
    return [
        Job(
            name,
            tuple(Source(model, name) for model in models),
            Source(origin, name) if base else None,
            method,
            KEYS.get(method, {}),
            shape,
            dtype,
        )
        for name in origin
    ]


def grown(found, times):
    """Jobs on tensors that are said to be so many times as long."""
    return [replace(job, shape=(job.shape[0] * times, *job.shape[1:])) for job in found]


@pytest.mark.parametrize("method", ["linear", "ties", "slerp", "ties_global"])
def test_memory_of_pieces_depends_on_threads_alone(method):
    made = jobs(method)
    assert memory(made, 1) == memory(grown(made, 10**5), 1) == memory(made * 9, 1)
    assert memory(made, 2) == 2 * memory(made, 1)


@pytest.mark.parametrize("method", ["breadcrumbs", "della", "sce"])
def test_memory_of_whole_tensors_grows_with_the_largest(method):
    made = grown(jobs(method), 10**4)
    assert memory(grown(made, 10), 1) == 10 * memory(made, 1)
    assert memory(made * 9, 1) == memory(made, 1)
    assert memory(made, 1) > 4 * 4 * 64 * 32 * 10**4


def test_inputs_that_are_no_plain_files_are_held():
    plain = grown(jobs("linear"), 1000)
    cast = [replace(job, cast=torch.float32) for job in plain]
    assert memory(cast, 1) - memory(plain, 1) == 3 * 4 * 64 * 32 * 1000
    inside = [
        replace(job, sources_K=tuple(Source(dict(s.weights), s.name) for s in sources))
        for job in jobs("linear")
        for sources in [job.sources_K]
    ]
    assert memory(inside, 1) - memory(jobs("linear"), 1) == 3 * 2 * 64 * 32


def test_a_pass_that_measures_is_counted():
    once = cost(jobs("ties"), {}, Path("out"))
    twice = cost(jobs("ties_global"), {"config.json": b"12"}, Path("out"))
    each = 3 * 64 * 32 * 2
    assert once.read_bytes == 4 * each
    # twice every model and, for each, the base
    assert twice.read_bytes == once.read_bytes + 2 * 6 * each
    assert twice.write_bytes == once.write_bytes + 2 == each + 2
    assert once.check_bytes == 5 * each


@pytest.mark.parametrize("method", ["linear", "ties_global", "della"])
def test_time_is_measured_and_leaves_nothing(method):
    before = {path.name for path in Path().iterdir()}
    made = jobs(method)
    found = cost(made, {}, Path("out"))
    assert 0 < found.seconds < 60
    assert found.tried >= 64 * 32
    assert cost(grown(made, 10**6), {}, Path("out")).seconds > 10 * found.seconds
    added = {f"{k}.safetensors" for k in range(4)}
    assert {path.name for path in Path().iterdir()} == before | added


def test_without_room_for_a_trial_the_time_is_unknown(monkeypatch):
    def refuse(*_):
        raise DiskError("could not write: No space left on device")

    made = jobs("linear")
    monkeypatch.setattr("dale.merge.config.cost.save", refuse)
    found = cost(made, {}, Path("out"))
    assert (found.tried, found.seconds == found.seconds) == (0, False)
    assert found.memory_bytes > 0
