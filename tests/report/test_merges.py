"""The page on a merge."""

import json

import pytest
import torch

from dale.errors import InputError
from dale.merge import check
from dale.report import write_check


@pytest.fixture
def found():
    base = {"w": torch.zeros(4, 4), "b": torch.zeros(4)}
    models = [{n: t + k for n, t in base.items()} for k in (1, 2, 3)]
    merged = {n: t + 2 for n, t in base.items()}
    return check(merged, models, base, loss=lambda w: float(w["b"].sum()), points=3)


def test_the_page_shows_the_verdict_and_the_figures(found, tmp_path):
    page = write_check(
        tmp_path / "c.html", found, ["one", "two", "a<bold>"], base="root"
    )
    text = page.read_text()
    assert "Nothing speaks against this merge." in text
    assert "a&lt;bold&gt;" in text
    assert "a<bold>" not in text
    numbers = json.loads(page.with_suffix(".json").read_text())
    assert numbers["soundness"]["barriers"][0]["loss_T"] == [4.0, 6.0, 8.0]
    assert len(numbers["soundness"]["rows"]) == 2


def test_a_merge_of_which_little_is_known_has_a_page(tmp_path):
    one = {"w": torch.full((2,), float("nan")), "n": torch.tensor(1)}
    page = write_check(tmp_path / "c.html", check(one, [{"v": torch.ones(1)}]), ["v"])
    assert "This merge is broken." in page.read_text()


def test_bad_input_is_named(found, tmp_path):
    with pytest.raises(InputError, match="one for each"):
        write_check(tmp_path / "c.html", found, ["one"])
    with pytest.raises(InputError, match="html"):
        write_check(tmp_path / "c.txt", found, ["one", "two", "three"])
