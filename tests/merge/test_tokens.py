"""Vocabularies of merged models: which tokens, in which rows, with whose embeddings."""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from cases.weights import bits
from dale.errors import CorruptError, DaleError, InputError, WeightsError
from dale.merge import merge, stream
from dale.merge.tokens import (
    Rule,
    Taken,
    Vocabulary,
    aligned,
    check_vocabularies,
    read_tokenizer,
    rules_of,
    truncated,
    union,
    vocabulary_names,
)
from dale.weights import load, save
from golden.tokens.inputs import CASES, PADDING, Case, tables
from reference import tokens as slow

GOLDEN = Path(__file__).parents[1] / "golden" / "tokens"


@cache
def golden() -> Mapping[str, Any]:
    with np.load(GOLDEN / "merged.npz") as stored:
        return dict(stored)


def made(name: str) -> dict[str, Tensor]:
    rows = len(read_tokenizer(GOLDEN / name).ids) + PADDING[name]
    return {n: torch.from_numpy(t) for n, t in tables(name, rows).items()}


def vocabulary_of(case: Case) -> Vocabulary:
    names = list(case.models)
    source = names.index(case.source) if case.source in names else case.source
    return aligned(
        [GOLDEN / name for name in names],
        [made(name) for name in names],
        source=source,  # type: ignore[arg-type]
        base=names.index(case.base),
        tokens=rules_of(case.tokens, names.index),
        pad_to_multiple_of=case.multiple,
    )


@pytest.mark.parametrize("name", CASES)
def test_golden(name: str) -> None:
    """Mergekit's rows of new tokens follow a hash table, so they are found by text."""
    case, found = CASES[name], vocabulary_of(CASES[name])
    weight = tuple(1.0 + k for k in range(len(case.models)))
    merged = merge(found.weights_K, "linear", weight=weight)
    theirs = golden()[f"{name}/tokens"].tolist()
    assert found.tokenizer is not None
    ids = found.tokenizer.ids
    assert ids.keys() == {*theirs}
    assert found.size == golden()[f"{name}/size"]
    base = read_tokenizer(GOLDEN / case.base).ids
    if case.source in {"base", "union"}:
        assert {t: ids[t] for t in base} == {t: theirs.index(t) for t in base} == base
    order = torch.tensor([ids[token] for token in theirs])
    for tensor in tables("one", 1):
        expected = torch.from_numpy(golden()[f"{name}/{tensor}"])
        assert merged[tensor].shape == expected.shape
        tokens = len(theirs)
        torch.testing.assert_close(merged[tensor][order], expected[:tokens])
        torch.testing.assert_close(merged[tensor][tokens:], expected[tokens:])


def test_golden_order_is_that_of_mergekit_but_for_trained_tokens() -> None:
    found = vocabulary_of(CASES["union"])
    theirs = golden()["union/tokens"].tolist()
    assert found.tokenizer is not None
    ours = list(found.tokenizer.ids)
    special = [token for token in ours if token.startswith("<")]
    assert special == [token for token in theirs if token.startswith("<")]
    assert ours.index("<tool>") == theirs.index("<tool>") == len(ours) - 1


WORDS = st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=8, unique=True)


def written(folder: Path, tokens: list[str], **more: Any) -> Path:
    folder.mkdir(exist_ok=True, parents=True)
    ids = {token: i for i, token in enumerate(tokens)}
    document = {"model": {"type": "WordLevel", "vocab": ids}, **more}
    (folder / "tokenizer.json").write_text(json.dumps(document))
    return folder


@given(
    vocabularies=st.lists(WORDS, min_size=1, max_size=4),
    source=st.sampled_from(["base", "union", 0]),
    with_base=st.booleans(),
    padding=st.integers(0, 2),
    multiple=st.sampled_from([None, 1, 4]),
)
def test_rows_are_those_of_the_slow_twin(
    vocabularies: list[list[str]],
    source: Any,
    with_base: bool,
    padding: int,
    multiple: int | None,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    root = tmp_path_factory.mktemp("tokens")
    folders = [written(root / str(k), v) for k, v in enumerate(vocabularies)]
    models = [
        {"wte.weight": torch.randn(len(v) + padding, 3), "fc.weight": torch.ones(1)}
        for v in vocabularies
    ]
    base = len(models) - 1 if with_base else None
    found = aligned(
        folders, models, source=source, base=base, pad_to_multiple_of=multiple
    )
    assert found.tokenizer is not None
    ids = found.tokenizer.ids
    first = vocabularies[base or 0]
    wanted = vocabularies[source] if isinstance(source, int) else first
    if source == "union":
        rest = [v for k, v in enumerate(vocabularies) if k != (base or 0)]
        wanted = list(dict.fromkeys([*first, *(t for v in rest for t in v)]))
    assert list(ids.items()) == [(token, i) for i, token in enumerate(wanted)]
    owned = [
        {t: model["wte.weight"][i] for i, t in enumerate(v)}
        for model, v in zip(models, vocabularies, strict=True)
    ]
    for k, model in enumerate(found.weights_K):
        expected = slow.table(k, wanted, owned, base, found.size)
        torch.testing.assert_close(model["wte.weight"], expected)
        assert model["fc.weight"] is models[k]["fc.weight"]
        layout = getattr(model, "layout", None)
        assert layout is None or layout["wte.weight"].shape == expected.shape


def test_equal_vocabularies_are_left_alone(tmp_path: Path) -> None:
    folders = [written(tmp_path / name, ["a", "b"]) for name in ("one", "two")]
    models = [{"wte.weight": torch.randn(2, 3)} for _ in folders]
    for source in ("base", "union", 1):
        found = aligned(folders, models, source=source)  # type: ignore[arg-type]
        pairs = zip(found.weights_K, models, strict=True)
        assert all(one is two for one, two in pairs)


def test_files_are_read_when_a_tensor_is_asked_for_and_inputs_are_kept(
    tmp_path: Path,
) -> None:
    models = [made(name) for name in ("one", "two")]
    before = [bits(model) for model in models]
    paths = []
    for name, model in zip(("one", "two"), models, strict=True):
        folder = tmp_path / name
        folder.mkdir()
        text = (GOLDEN / name / "tokenizer.json").read_text()
        (folder / "tokenizer.json").write_text(text)
        save(folder / "model.safetensors", model, {})
        paths.append(folder)
    from dale.weights import open_weights

    opened = [open_weights(path) for path in paths]
    found = aligned(paths, opened)
    stream(found.weights_K, tmp_path / "out", "linear", weight=(1.0, 2.0))
    in_memory = merge(aligned(paths, models).weights_K, "linear", weight=(1.0, 2.0))
    assert bits(load(tmp_path / "out")[0]) == bits(dict(sorted(in_memory.items())))
    assert [bits(model) for model in models] == before


def test_tied_tables_stay_tied(tmp_path: Path) -> None:
    folders = [written(tmp_path / "a", ["x"]), written(tmp_path / "b", ["x", "y"])]
    models = []
    for rows in (1, 2):
        table = torch.randn(rows, 3)
        models.append({"wte.weight": table, "lm_head.weight": table})
    merged = merge(aligned(folders, models).weights_K)
    assert merged["lm_head.weight"] is merged["wte.weight"]
    assert merged["wte.weight"].shape == (2, 3)


def test_types_of_the_models_are_kept(tmp_path: Path) -> None:
    folders = [written(tmp_path / "a", ["x"]), written(tmp_path / "b", ["x", "y"])]
    models = [
        {"wte.weight": torch.ones(1, 2).bfloat16()},
        {"wte.weight": torch.ones(2, 2)},
    ]
    found = aligned(folders, models).weights_K
    assert found[0]["wte.weight"].dtype == torch.bfloat16
    assert found[1] is models[1]


def test_names_with_a_row_for_every_token() -> None:
    rows = torch.ones(7, 4)
    model = {
        "transformer.wte.weight": rows,
        "transformer.wpe.weight": rows,
        "transformer.h.0.output.weight": rows,
        "transformer.ln_f.weight": torch.ones(7),
        "lm_head.weight": rows,
        "lm_head.bias": torch.ones(7),
    }
    expected = ["transformer.wte.weight", "lm_head.weight", "lm_head.bias"]
    assert vocabulary_names(model) == expected
    assert vocabulary_names({"fc.weight": rows}) == []


def test_differing_sizes_are_an_error_unless_cut() -> None:
    short, long = ({"wte.weight": torch.randn(n, 2)} for n in (5, 7))
    check_vocabularies([short, short], ["a", "b"])
    check_vocabularies([{"fc.weight": torch.ones(2)}] * 2, ["a", "b"])
    with pytest.raises(WeightsError, match="has 5 rows in a, 7 in b; say by tokenizer"):
        check_vocabularies([short, long], ["a", "b"])
    cut = truncated([long, short])
    assert torch.equal(cut[0]["wte.weight"], long["wte.weight"][:5])
    assert merge(cut)["wte.weight"].shape == (5, 2)


def test_union_of_pairs_to_join() -> None:
    tokenizers = [read_tokenizer(GOLDEN / name) for name in ("one", "two", "three")]
    whole = union(tokenizers)
    merges = [tuple(pair) for pair in whole.document["model"]["merges"]]
    own = [[tuple(p) for p in t.document["model"]["merges"]] for t in tokenizers]
    assert merges[: len(own[0])] == own[0]
    assert {*merges} == {pair for each in own for pair in each}
    assert len({*merges}) == len(merges)
    # texts that only the second had whole tokens for are cut into them by the union
    model = whole.document["model"]
    assert slow.cut("things", own[1]) == slow.cut("things", merges)
    assert all(token in model["vocab"] for token in slow.cut("things", merges))


def test_tokens_without_a_row_are_left_out(tmp_path: Path) -> None:
    model = {
        "type": "BPE",
        "vocab": {"a": 0, "b": 1, "ab": 2},
        "merges": ["a b"],
    }
    added = [{"id": 3, "content": "<x>", "special": True}]
    document = {"model": model, "added_tokens": added}
    tmp_path.joinpath("tokenizer.json").write_text(json.dumps(document))
    found = aligned([tmp_path], [{"wte.weight": torch.randn(2, 2)}], source="base")
    assert found.tokenizer is not None
    kept = found.tokenizer.document
    assert kept["model"]["vocab"] == {"a": 0, "b": 1}
    assert kept["model"]["merges"] == kept["added_tokens"] == []


@pytest.mark.parametrize("kind", ["WordPiece", "WordLevel"])
def test_unions_of_other_kinds(kind: str, tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "two")]
    for folder, ids in zip(folders, ({"a": 0, "b": 1}, {"c": 0, "a": 1}), strict=True):
        folder.mkdir()
        document = {"model": {"type": kind, "vocab": ids, "unk_token": "a"}}
        (folder / "tokenizer.json").write_text(json.dumps(document))
    whole = union([read_tokenizer(folder) for folder in folders])
    assert whole.document["model"]["vocab"] == {"a": 0, "b": 1, "c": 2}


def test_union_of_lists_adds_tokens_after_what_is_taken(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "two")]
    lists = ([["a", -1.0], ["b", -2.0]], [["c", -1.0], ["a", -3.0]])
    for folder, rows in zip(folders, lists, strict=True):
        folder.mkdir()
        added = [{"id": 2, "content": f"<{folder.name}>", "special": True}]
        document = {"model": {"type": "Unigram", "vocab": rows}, "added_tokens": added}
        (folder / "tokenizer.json").write_text(json.dumps(document))
    whole = union([read_tokenizer(folder) for folder in folders])
    assert whole.ids == {"a": 0, "b": 1, "<one>": 2, "c": 3, "<two>": 4}
    assert whole.document["model"]["vocab"] == [*lists[0]]
    added = {row["content"]: row["id"] for row in whole.document["added_tokens"]}
    assert added == {"<one>": 2, "c": 3, "<two>": 4}


def test_the_two_files_of_gpt2(tmp_path: Path) -> None:
    ids = {"a": 0, "b": 1, "ab": 2, "<|endoftext|>": 3}
    (tmp_path / "vocab.json").write_text(json.dumps(ids))
    (tmp_path / "merges.txt").write_text("#version: 0.2\na b\n")
    (tmp_path / "added_tokens.json").write_text('{"<pad>": 4}')
    words = {"eos_token": "<|endoftext|>"}
    (tmp_path / "special_tokens_map.json").write_text(json.dumps(words))
    found = read_tokenizer(tmp_path)
    assert found.ids == ids | {"<pad>": 4}
    assert found.document["model"]["merges"] == [["a", "b"]]
    special = {row["content"]: row["special"] for row in found.added.values()}
    assert special == {"<|endoftext|>": True, "<pad>": False}
    assert found.spelling == "byte-level"


def test_pieces_that_are_the_same_everywhere(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
        (folder / "tokenizer.model").write_bytes(b"pieces")
    models = [{"wte.weight": torch.randn(3, 2)} for _ in folders]
    found = aligned(folders, models)
    assert found.tokenizer is None
    assert found.weights_K == models
    (folders[1] / "tokenizer.model").write_bytes(b"other pieces")
    with pytest.raises(InputError, match="SentencePiece alone cannot be compared"):
        aligned(folders, models)


def test_a_model_without_a_tokenizer_has_that_of_the_base(tmp_path: Path) -> None:
    folders = [written(tmp_path / "one", ["a", "b"]), tmp_path / "two"]
    folders[1].mkdir()
    models = [{"wte.weight": torch.randn(2, 2)} for _ in folders]
    found = aligned(folders, models)
    assert found.notes == (
        f"{folders[1]}: no tokenizer; taken to be that of {folders[0]}",
    )
    models[1] = {"wte.weight": torch.randn(3, 2)}
    with pytest.raises(InputError, match=r"two: no tokenizer; expected tokenizer.json"):
        aligned(folders, models)


def test_spellings_that_differ_are_noted(tmp_path: Path) -> None:
    one = written(tmp_path / "one", ["a"], pre_tokenizer={"type": "ByteLevel"})
    two = written(tmp_path / "two", ["a"], decoder={"type": "x", "replacement": "▁"})
    found = aligned([one, two], [{"wte.weight": torch.randn(1, 2)} for _ in "ab"])
    (note,) = found.notes
    assert "spelled in different ways" in note
    assert "byte-level" in note
    assert "metaspace" in note


MODEL = {"wte.weight": torch.zeros(2, 2)}
BAD: dict[str, tuple[Any, type[DaleError], str]] = {
    "kinds": (
        lambda a, b: aligned(
            [a, other_kind(b)], [MODEL, MODEL], source="union"
        ),
        InputError,
        "different kinds have no union",
    ),
    "source": (
        lambda a, b: aligned([a, b], [MODEL, MODEL], source="unoin"),  # type: ignore[arg-type]
        InputError,
        "did you mean 'union'",
    ),
    "no embeddings": (
        lambda a, b: aligned([a, b], [MODEL, {"fc.weight": torch.ones(1)}]),
        InputError,
        "no table of embeddings",
    ),
    "multiple": (
        lambda a, b: aligned([a, b], [MODEL, MODEL], pad_to_multiple_of=0),
        InputError,
        "must be 1 or more",
    ),
    "a token that its source lacks": (
        lambda a, b: aligned([a, b], [MODEL, MODEL], tokens={"a": Rule(Taken(1))}),
        InputError,
        "has no token 'a'",
    ),
    "a row that is not there": (
        lambda a, b: aligned(
            [a, b], [MODEL, MODEL], tokens={"a": Rule(Taken(1, token_id=9))}
        ),
        InputError,
        "has rows 0 to 1, not 9",
    ),
    "an unknown key": (
        lambda a, b: rules_of({"a": {"sorce": "m"}}, [].index),
        InputError,
        "unknown key 'sorce': did you mean 'source'",
    ),
    "an unknown kind": (
        lambda a, b: rules_of({"a": {"source": {"kind": "zeros"}}}, [].index),
        InputError,
        "did you mean 'zero'",
    ),
    "half a source": (
        lambda a, b: rules_of(
            {"a": {"source": {"kind": "model_token", "model": 0}}}, [0].index
        ),
        InputError,
        "needs a model and token or token_id",
    ),
    "no rule": (lambda a, b: rules_of({"a": 3}, [].index), InputError, "has 3"),
    "a base that is not there": (
        lambda a, b: aligned([a, b], [MODEL, MODEL], base=5),
        InputError,
        "base must be from 0 to 1, got 5",
    ),
    "a source that is not there": (
        lambda a, b: aligned([a, b], [MODEL, MODEL], source=2),
        InputError,
        "source must be from 0 to 1, got 2",
    ),
    "a model that is not there": (
        lambda a, b: aligned([a, b], [MODEL, MODEL], tokens={"a": Rule(Taken(2))}),
        InputError,
        "model of token 'a' must be from 0 to 1, got 2",
    ),
    "no models": (lambda a, b: aligned([], []), InputError, "1 or more models"),
    "folders for some": (
        lambda a, b: aligned([a], [MODEL, MODEL]),
        InputError,
        "2 models, 1 folders",
    ),
    "widths": (
        lambda a, b: aligned([a, b], [MODEL, {"wte.weight": torch.ones(2, 5)}]),
        WeightsError,
        "rows of 'wte.weight' differ in shape",
    ),
    "no tokens": (
        lambda a, b: read_tokenizer(spoilt(a, words({}))),
        CorruptError,
        "with no tokens",
    ),
    "rows below 0": (
        lambda a, b: read_tokenizer(spoilt(a, words({"a": -1}))),
        CorruptError,
        "with rows below 0",
    ),
    "no pair": (
        lambda a, b: aligned(
            [spoilt(a, words({"a": 0}, merges=["a a a"])), b], [MODEL, MODEL], source=0
        ),
        CorruptError,
        "joins what is no pair: 'a a a'",
    ),
    "pair of numbers": (
        lambda a, b: aligned(
            [spoilt(a, words({"a": 0}, merges=[[1, 2]])), b], [MODEL, MODEL], source=0
        ),
        CorruptError,
        r"joins what is no pair: \[1, 2\]",
    ),
    "no list of pairs": (
        lambda a, b: aligned(
            [spoilt(a, words({"a": 0}, merges=5)), b], [MODEL, MODEL], source=0
        ),
        CorruptError,
        "not a tokenizer: .*merges are no list",
    ),
    "not JSON": (
        lambda a, b: read_tokenizer(spoilt(a, "{")),
        CorruptError,
        "not JSON",
    ),
    "not a tokenizer": (
        lambda a, b: read_tokenizer(spoilt(a, '{"model": []}')),
        CorruptError,
        "not a tokenizer",
    ),
}  # fmt: skip


def other_kind(folder: Path) -> Path:
    text = (folder / "tokenizer.json").read_text().replace("WordLevel", "WordPiece")
    (folder / "tokenizer.json").write_text(text)
    return folder


def words(ids: dict[str, int], **more: Any) -> str:
    return json.dumps({"model": {"type": "WordLevel", "vocab": ids, **more}})


def spoilt(folder: Path, text: str) -> Path:
    (folder / "tokenizer.json").write_text(text)
    return folder


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line(case: str, tmp_path: Path) -> None:
    run, error, message = BAD[case]
    one, two = written(tmp_path / "1", ["a", "b"]), written(tmp_path / "2", ["b", "c"])
    with pytest.raises(error, match=message) as caught:
        run(one, two)
    assert "\n" not in str(caught.value)
