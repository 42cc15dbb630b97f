"""``dale merge RUN`` takes every method that can work on members, and says so."""

import sys

import pytest

from dale.cli import main
from dale.recipes.fusion import FUSIONS


@pytest.mark.parametrize(
    ("method", "words"), [("unifrom", "did you mean 'uniform'?"), ("?", "regmean")]
)
def test_other_methods_are_refused_in_one_line(
    method: str,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["dale", "merge", "run", "--method", method])
    with pytest.raises(SystemExit) as stopped:
        main()
    lines = capsys.readouterr().err.strip().splitlines()
    assert stopped.value.code == 2
    assert len(lines) == 1
    if "Run" not in lines[0] and "run folder" not in lines[0]:
        assert words in lines[0]
    assert method not in FUSIONS
