"""Every way to fuse the members of a run: what comes out, and what is refused."""

import inspect
import math
from pathlib import Path
from typing import Any

import pytest
import torch

import dale.recipes.fusion.pot as pot
from cases.weights import bits
from dale.errors import InputError
from dale.merge import (
    INFORMED,
    METHODS,
    fisher_merge,
    load_statistics,
    merge,
    subspace_coefficients,
)
from dale.recipes import Workbench, fuse, start, verify
from dale.recipes.fusion import FUSIONS, numbers, read
from dale.weights import reestimate

RECIPE = """
data: {source: digits, val: 200, test: 1200}
model: {name: convnet, width: 4, depth: 2}
epochs: 4
strategies: [{name: snapshot, cycles: 4}]
"""
NEEDED: dict[str, dict[str, Any]] = {
    "weighted": {"weights": (1, 2, 3, 4)},
    "slerp": {"settings": {"t": 0.3}},
    "nearswap": {"settings": {"t": 0.1}},
    "import": {"settings": {"layers": [""]}},
    "fisher": {"settings": {"examples": 40}},
    "cpis": {"settings": {"examples": 40, "share": 0.5}},
}


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    made = start(RECIPE, tmp_path_factory.mktemp("fusion") / "run")
    made.train()
    return made


@pytest.fixture
def labels(bench: Workbench) -> list[str]:
    return [member.label for member in bench.members("snapshot")]


def arguments(method: str, labels: list[str]) -> dict[str, Any]:
    """The least that a method asks for."""
    row = FUSIONS[method].row
    given = dict(NEEDED.get(method, {}))
    most = row.models[1]
    if most is not None:
        given["labels"] = labels[-most:]
    if row.needs_base:
        given["base"] = labels[0]
    return given


@pytest.mark.parametrize("method", FUSIONS)
def test_every_method_makes_a_member(
    method: str, bench: Workbench, labels: list[str]
) -> None:
    made = fuse(bench, method, **arguments(method, labels), name=f"by-{method}")
    weights = bench.run.population.weights(made)
    assert made.how == method
    assert {*made.parents} <= {*labels}
    assert math.isfinite(made.scores["val_error"])
    (fresh,) = reestimate(bench.model, [weights], _walk(bench))
    for name, tensor in weights.items():
        assert tensor.isfinite().all()
        if "running" in name:
            torch.testing.assert_close(tensor, fresh[name], rtol=1e-4, atol=1e-5)


def _walk(bench: Workbench) -> Any:
    from dale.train import statistics_batches

    return statistics_batches(bench.data, bench.recipe, bench.recipe.seed, bench.model)


def test_the_run_stays_whole_and_is_judged(bench: Workbench, labels: list[str]) -> None:
    made = fuse(bench, "regmean", name="kept", settings={"examples": 40})
    found = verify(bench.run)
    assert not found.problems
    assert made.details["settings"] == {"examples": 40}
    kept = sorted((bench.run.folder / "statistics").glob("*-gram-40.safetensors"))
    assert len(kept) == len(labels)


def test_a_plain_method_is_that_of_the_table(
    bench: Workbench, labels: list[str]
) -> None:
    settings = {"density": 0.5, "lambda": 0.7}
    made = fuse(bench, "ties", base=labels[0], settings=settings, name="plain")
    members = [bench.run.population.find(label) for label in labels]
    base, *models = [bench.run.population.weights(member) for member in members]
    merged = merge(models, "ties", base=base, **settings)
    (expected,) = reestimate(bench.model, [merged], _walk(bench))
    assert bits(bench.run.population.weights(made)) == bits(expected)
    assert made.details["settings"] == settings
    assert (made.details["base"], made.parents[0]) == (labels[0], labels[0])


def test_a_scan_takes_the_best(bench: Workbench, labels: list[str]) -> None:
    made = fuse(
        bench,
        "wise_ft",
        labels=labels[-1:],
        base=labels[0],
        scan=("alpha", [0.0, 0.5, 1.0]),
        name="scanned",
    )
    tried = dict(map(tuple, made.details["tried"]))
    assert [*tried] == [0.0, 0.5, 1.0]
    assert made.details["value"] == max(tried, key=lambda alpha: tried[alpha])
    assert 1 - made.scores["val_error"] == pytest.approx(max(tried.values()))


def test_coefficients_of_a_subspace_are_kept(
    bench: Workbench, labels: list[str]
) -> None:
    made = fuse(bench, "subspace", base=labels[0], scan=("rank", [1, 3]), name="sub")
    population = bench.run.population
    base, *models = [population.weights(population.find(label)) for label in labels]
    rank = made.details["value"]
    shares = subspace_coefficients(models, base, rank=rank)
    kept = made.details["coefficients"]
    assert kept == dict(zip(labels[1:], shares[:-1], strict=True))


def test_statistics_are_measured_once_and_need_no_data(
    bench: Workbench, labels: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"examples": 30}
    first = fuse(bench, "fisher", settings=settings, name="measured")
    members = bench.members("snapshot")
    folder = bench.run.folder / "statistics"
    paths = [folder / f"{m.id}-fisher-30.safetensors" for m in members]
    known = [load_statistics(path, kind="fisher") for path in paths]
    merged = fisher_merge([bench.run.population.weights(m) for m in members], known)
    assert bits({n: x for n, x in merged.items() if "running" not in n}) == bits(
        {
            n: x
            for n, x in bench.run.population.weights(first).items()
            if "running" not in n
        }
    )
    before = [path.read_bytes() for path in paths]
    measured = pot.fisher
    calls: list[int] = []

    def counted(*given: Any, **more: Any) -> Any:
        calls.append(1)
        return measured(*given, **more)

    monkeypatch.setattr(pot, "fisher", counted)
    again = fuse(Workbench(bench.run), "fisher", settings=settings, name="again")
    assert not calls
    assert again.digest == first.digest
    paths[0].write_bytes(before[0][:-9])
    damaged = fuse(bench, "fisher", settings=settings, name="mended")
    assert calls == [1]
    assert damaged.digest == first.digest
    assert paths[0].read_bytes() == before[0]


def test_members_give_and_receive_by_name(bench: Workbench, labels: list[str]) -> None:
    head = max((n.rpartition(".")[0] for n in bench.model.state_dict()), key=int)
    settings = {"layers": [head], "donor": labels[1], "into": labels[2], "strength": 0}
    made = fuse(bench, "import", settings=settings, name="named")
    weights = bench.run.population.weights(made)
    population = bench.run.population
    giver = population.weights(population.find(labels[1]))
    receiver = population.weights(population.find(labels[2]))
    for name, tensor in weights.items():
        if "running" not in name:
            source = giver if name.startswith(f"{head}.") else receiver
            assert torch.equal(tensor, source[name])


def test_defaults_are_those_of_the_functions() -> None:
    own = METHODS | INFORMED
    for method, fusion in FUSIONS.items():
        if method not in own:
            continue
        theirs = inspect.signature(own[method].function).parameters
        for name, (_, default) in fusion.settings.items():
            if name not in theirs or name in {"coefficients", "importance"}:
                continue
            # labels stand for places; accuracies lie close to one another
            if name in {"into", "donor"} or (method, name) == (
                "contribution",
                "temperature",
            ):
                continue
            assert theirs[name].default == default, (method, name)


def test_every_method_can_work_on_a_run_but_for_two() -> None:
    missing = {*(METHODS | INFORMED)} - {*FUSIONS}
    assert missing == {"linear", "passthrough", "importance_fisher"}
    assert {*FUSIONS} - {*(METHODS | INFORMED)} == {"suffix"}


BAD: list[tuple[str, dict[str, Any], str]] = [
    ("tise", {}, "did you mean 'ties'"),
    ("ties", {}, "ties needs a base: --base MEMBER"),
    ("ties", {"base": "?", "settings": {"densty": 1}}, "did you mean 'density'"),
    ("ties", {"base": "?", "settings": {"density": "much"}}, "density: input should"),
    ("ties", {"base": "?", "settings": {"density": 3}}, r"density must be in \[0, 1\]"),
    ("ties", {"base": "?", "settings": {"density": [1, 1]}}, "2 numbers for 3 models"),
    ("uniform", {"base": "?"}, "uniform takes no base"),
    ("uniform", {"settings": {"last": 9}}, "last must be from 1 to 4"),
    ("uniform", {"scan": ("last", [1])}, "uniform cannot choose 'last' by a score"),
    ("wise_ft", {"base": "?", "scan": ("beta", [1])}, "cannot choose 'beta'.*alpha"),
    ("wise_ft", {"base": "?", "scan": ("alpha", [])}, "no values to choose from"),
    (
        "wise_ft",
        {"base": "?", "scan": ("alpha", [1]), "settings": {"alpha": 1}},
        "both set and to be chosen",
    ),
    ("slerp", {"settings": {"t": 0.5}}, "at most two members; got 4"),
    ("import", {}, "import needs --set layers="),
    ("import", {"settings": {"layers": ["nope"]}}, "no layer 'nope'"),
    ("cpis", {"settings": {"into": "nobody"}}, "no member 'nobody' among those"),
    ("fisher", {"settings": {"examples": 0}}, "examples must be 1 or more"),
    ("fisher", {"settings": {"coefficients": [1, 2]}}, "2 weights for 4 members"),
    ("importance", {"base": "?", "score": "nll"}, "importances must be 0 or more"),
    ("weighted", {}, "one weight for each member"),
    ("weighted", {"weights": (1,)}, "1 weights for 4 members"),
    ("uniform", {"weights": (1,)}, "no other method takes any"),
    ("uniform", {"score": "f1"}, "unknown score 'f1'"),
    ("greedy_soup", {"settings": {"score": 1}}, "no setting 'score'"),
    ("random_subsets", {"settings": {"size": 9}}, "size must be from 1 to 4"),
]


@pytest.mark.parametrize(("method", "given", "words"), BAD)
def test_impossible_fusions_are_refused_in_one_line(
    method: str, given: dict[str, Any], words: str, bench: Workbench, labels: list[str]
) -> None:
    if given.get("base") == "?":
        given = given | {"base": labels[0]}
    before = len(bench.run.population)
    with pytest.raises(InputError, match=words) as caught:
        fuse(bench, method, **given)
    assert "\n" not in str(caught.value)
    assert len(bench.run.population) == before


def test_a_member_that_is_no_number_is_refused_or_left_out(
    bench: Workbench, labels: list[str]
) -> None:
    run = bench.run
    broken = dict(run.population.weights(run.population.find(labels[0])))
    name = next(n for n, tensor in broken.items() if tensor.ndim > 1)
    broken[name] = torch.full_like(broken[name], torch.nan)
    with run.lock():
        run.population.append(broken, label="broken", how="hand", group="hand")
    mixed = ["broken", *labels[1:]]
    for method in ("uniform", "regmean", "subspace", "cpis"):
        base = {"base": labels[0]} if FUSIONS[method].row.needs_base else {}
        with pytest.raises(InputError, match="'broken' has weights that are not"):
            fuse(bench, method, labels=mixed, **base)
    made = fuse(bench, "greedy_soup", labels=mixed, name="without")
    assert "broken" not in made.parents


@pytest.mark.parametrize(
    ("pairs", "words"),
    [
        (["density"], "KEY=VALUE, got 'density'"),
        (["=1"], "KEY=VALUE, got '=1'"),
        (["density="], "KEY=VALUE"),
        (["a=1", "a=2"], "a is set twice"),
        (["a=[1"], "no number, word or list"),
    ],
)
def test_words_that_are_no_settings(pairs: list[str], words: str) -> None:
    with pytest.raises(InputError, match=words):
        read(pairs)


def test_numbers_to_try(tmp_path: Path) -> None:
    assert numbers("alpha=1e-3,2") == ("alpha", [0.001, 2.0])
    assert numbers("alpha=0.5") == ("alpha", [0.5])
    with pytest.raises(InputError, match="expected numbers to try"):
        numbers("alpha=a,b")
