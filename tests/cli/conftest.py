"""The command line in this process, and a small run to use and to damage."""

import shutil
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from cases.runs import RECIPE
from dale.cli import main
from dale.recipes import Workbench, evaluate, start
from dale.store import Run


class Said(NamedTuple):
    """What a command said and how it ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def dale(monkeypatch, capsys):
    """Run the command line as a shell would, without a new process."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["dale", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            main()
        return Said(int(stopped.value.code or 0), *capsys.readouterr())

    return call


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A finished run; never to be changed."""
    bench = start(RECIPE, tmp_path_factory.mktemp("trained") / "run")
    bench.train()
    return bench.run.folder


@pytest.fixture(scope="session")
def evaluated(trained, tmp_path_factory):
    """The finished run with an evaluation; never to be changed."""
    folder = tmp_path_factory.mktemp("evaluated") / "run"
    shutil.copytree(trained, folder)
    evaluate(Workbench(Run(folder)))
    return folder


@pytest.fixture
def run(trained):
    """A copy of the finished run, named as a user would name it."""
    shutil.copytree(trained, "run")
    return Path("run")


@pytest.fixture
def contents():
    """What is in a folder, byte for byte; locks and the schema aside."""

    def read(folder):
        paths = sorted(p for p in Path(folder).rglob("*") if p.is_file())
        aside = (".lock", "recipe.schema.json")
        return {str(p): p.read_bytes() for p in paths if p.name not in aside}

    return read
