"""A head that is the table of embeddings is stored once, whatever the inputs do."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from cases.weights import bits
from dale.errors import WeightsError
from dale.merge import merge, stream
from dale.merge.heads import head_names, same_heads
from dale.weights import layout_of_weights

TABLE, HEAD = "model.embed_tokens.weight", "lm_head.weight"
TIED, UNTIED = {"tie_word_embeddings": True}, {"tie_word_embeddings": False}


def model(seed: int, head: str = "none") -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    table = torch.randn(5, 3, generator=draw)
    found = {TABLE: table, "model.norm.weight": torch.ones(3)}
    kinds = {"copy": table.clone(), "tied": table, "own": torch.randn(5, 3)}
    return found | ({HEAD: kinds[head]} if head != "none" else {})


CASES: dict[str, tuple[list[str], list[dict[str, Any]], bool]] = {
    "none stored": (["none", "none"], [TIED, TIED], True),
    "some stored": (["none", "copy"], [TIED, TIED], True),
    "stored as a tie": (["tied", "none"], [TIED, TIED], True),
    "all stored": (["copy", "copy"], [TIED, TIED], True),
    "nothing said": (["copy", "none"], [{}, {}], True),
    "nothing said of a head of its own": (["own", "none"], [{}, {}], False),
    "one of its own": (["own", "none"], [UNTIED, TIED], False),
    "own and a copy": (["own", "copy"], [UNTIED, TIED], False),
    "all of their own": (["own", "own"], [UNTIED, UNTIED], False),
    "within a larger model": (["copy", "none"], [{"text_config": TIED}] * 2, True),
}


@pytest.mark.parametrize("case", CASES)
def test_results_have_one_head(case: str, tmp_path: Path) -> None:
    heads, configs, expected = CASES[case]
    models = [model(k, head) for k, head in enumerate(heads)]
    before = [bits(each) for each in models]
    found, tied = same_heads(models, configs, ["a", "b"])
    assert tied is expected
    merged = merge(found)
    assert (HEAD in merged) is not expected
    table = (models[0][TABLE] + models[1][TABLE]) / 2
    torch.testing.assert_close(merged[TABLE], table)
    if not expected:
        own = [each.get(HEAD, each[TABLE]) for each in models]
        torch.testing.assert_close(merged[HEAD], (own[0] + own[1]) / 2)
    for each in found:
        plain = layout_of_weights({name: each[name] for name in each})
        assert each.keys() == merged.keys()
        layout = getattr(each, "layout", plain)
        assert {n: e.shape for n, e in layout.items()} == {
            n: e.shape for n, e in plain.items()
        }
        assert len(each) == len([*each])
    (path,) = stream(found, tmp_path / "out")
    stored = load_file(path)
    assert len(stored) == (2 if expected else 3)
    assert [bits(each) for each in models] == before


def test_a_result_whose_models_all_tie_stores_the_table_once(tmp_path: Path) -> None:
    found, _ = same_heads([model(0), model(1, "copy")], [TIED, TIED], "ab")
    (path,) = stream(found, tmp_path / "out")
    assert sum(t.numel() for t in load_file(path).values()) == 5 * 3 + 3


def test_a_head_that_should_be_the_table_and_is_not() -> None:
    models = [model(0, "own"), model(1)]
    with pytest.raises(
        WeightsError, match=r"b: tie_word_embeddings is true .* differs"
    ):
        same_heads(models[::-1], [TIED, TIED], ["a", "b"])


def test_headers_alone() -> None:
    models = [model(0, "copy"), model(1)]
    assert same_heads(models, [TIED, TIED], "ab", read=False)[1] is True
    assert same_heads(models, [{}, {}], "ab", read=False)[1] is False


def test_networks_that_are_no_language_models() -> None:
    models = [{"fc.weight": torch.ones(2, 2)}] * 2
    assert same_heads(models, [{}, {}], "ab") == (models, None)
    assert head_names(models[0]) == (None, None)


def test_names_of_heads() -> None:
    rows = torch.ones(4, 2)
    names = ("gpt_neox.embed_in.weight", "embed_out.weight")
    assert head_names(dict.fromkeys(names, rows)) == names
    assert json.dumps(head_names({"shared.weight": rows})) == '["shared.weight", null]'
