"""Ways to damage the files of a run, and where they are."""

import shutil
from pathlib import Path

from dale.store import Run


def flip(path):
    content = bytearray(path.read_bytes())
    content[-20] ^= 4
    path.write_bytes(content)


def cut(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def newer(path):
    text = path.read_text()
    assert '"schema": 1' in text
    path.write_text(text.replace('"schema": 1', '"schema": 2'))


def folder_instead(path):
    path.unlink()
    path.mkdir()


def edit(path):
    path.write_text(path.read_text().replace("epochs: 3", "epochs: 4"))


def newer_weights(path):
    content = path.read_bytes()
    assert content.count(b'"dale.schema":"1"') == 1
    path.write_bytes(content.replace(b'"dale.schema":"1"', b'"dale.schema":"2"'))


POPULATION, MEMBER = "population.json", "members/*.safetensors"
STATE, RECORD = "state/swa.safetensors", "results/evaluation.json"
LOG, RECIPE_FILE = "log.jsonl", "recipe.yaml"


def alter_log(path):
    """Another loss in the first line, which is still a record."""
    text = path.read_text()
    start = text.index('"train_loss": ') + len('"train_loss": ')
    path.write_text(text[:start] + "9" + text[start + 1 :])


def empty(path):
    path.write_bytes(b"")


def last_line_gone(path):
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]))


def damage(where, how, source):
    """Copy a run to ``run`` and damage one file: the last that the pattern finds."""
    shutil.copytree(source, "run")
    population = Run("run").population
    found = sorted(Path("run").glob(where))
    path = population.path(population[-1]) if where == MEMBER else found[-1]
    how(path)
    return path
