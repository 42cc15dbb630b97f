"""``dale merge RUN`` takes the methods that average members, and says so."""

import sys
from typing import get_args

import pytest

from dale.cli import main
from dale.merge import METHODS
from dale.recipes.fusion import Method

AVERAGES = get_args(Method)


def test_what_a_run_can_do_is_in_the_table() -> None:
    assert {*AVERAGES} <= METHODS.keys()
    assert not any(METHODS[name].needs_base for name in AVERAGES)


@pytest.mark.parametrize("method", ["ties", "slerp", "unifrom"])
def test_other_methods_are_refused_in_one_line(
    method: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["dale", "merge", "run", "--method", method])
    with pytest.raises(SystemExit) as stopped:
        main()
    lines = capsys.readouterr().err.strip().splitlines()
    assert stopped.value.code == 2
    assert len(lines) == 1
    expected = (
        "unknown method" if method not in METHODS else "uniform, weighted, greedy"
    )
    assert expected in lines[0]
