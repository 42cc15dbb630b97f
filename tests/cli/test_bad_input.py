"""Whatever is wrong, one line says what and where, and nothing is lost."""

import json
from pathlib import Path

import numpy as np
import pytest

from cases.bad_input import (
    FACTORIES,
    MLP,
    MODELS,
    RECIPES,
    WRONG,
    changed,
    of_source,
    one_line,
)
from cases.data import write_idx, write_images
from cases.runs import RECIPE
from dale.recipes import start


@pytest.mark.parametrize("verb", ["train", "plan"])
@pytest.mark.parametrize("name", RECIPES)
def test_recipes(name, verb, dale):
    text, pattern = RECIPES[name]
    path = Path("recipe.yaml")
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    said = dale(verb, path, *(["new"] if verb == "train" else []))
    one_line(said, 2, pattern)
    assert not Path("new").exists()


def images(folder):
    write_images(folder)
    return of_source("{source: images, path: data, size: [6, 4], val: 4, test: 4}")


def empty_class(folder):
    text = images(folder)
    (folder / "train" / "emu").mkdir()
    return text


def no_image(folder):
    text = images(folder)
    (folder / "train" / "cat" / "00.jpg").write_bytes(b"no image")
    return text


def cut_idx(folder):
    write_idx(folder)
    path = folder / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-1])
    return of_source("{source: idx, path: data}")


def label(*labels):
    def write(folder):
        targets = np.r_[np.arange(40) % 3, labels]
        np.savez(folder / "a.npz", x=np.zeros((len(targets), 5)), y=targets)
        return of_source("{source: npz, path: data/a.npz}")

    return write


def labels_from_1(folder):
    np.savez(folder / "a.npz", x=np.zeros((40, 5)), y=np.arange(40) % 3 + 1)
    return of_source("{source: npz, path: data/a.npz}")


def strange_test_label(folder):
    x, y = np.zeros((40, 5)), np.arange(40)
    names = {"x_train": x, "y_train": y % 3, "x_test": x, "y_test": y % 4}
    np.savez(folder / "a.npz", **names)
    return of_source("{source: npz, path: data/a.npz}")


DATA = {
    "no folder": (lambda f: of_source("{source: idx, path: gone}"), r"no folder gone"),
    "no archive": (
        lambda f: of_source("{source: npz, path: gone.npz}"),
        r"no file gone\.npz",
    ),
    "no images": (
        lambda f: of_source("{source: images, path: gone, size: [6, 4]}"),
        r"no folder gone",
    ),
    "empty class": (empty_class, r"data/train/emu has no images"),
    "no image": (no_image, r"cannot read image data/train/cat/00\.jpg"),
    "truncated IDX": (cut_idx, r"train-images-idx3-ubyte is truncated: 1799 .* 1800"),
    "negative label": (label(-1), r"class -1; expected 0 or more"),
    "labels from 1": (
        labels_from_1,
        r"class 0 has no training example, where targets go from 1 to 3; expected",
    ),
    "label beyond": (strange_test_label, r"test has class 3; expected 0 to 2"),
    "too large a split": (
        lambda f: of_source("{source: digits, val: 5000}"),
        r"leave no training example",
    ),
}


@pytest.mark.parametrize("name", DATA)
def test_data(name, dale):
    folder = Path("data")
    folder.mkdir()
    write, pattern = DATA[name]
    Path("recipe.yaml").write_text(write(folder))
    one_line(dale("train", "recipe.yaml", "new"), 2, pattern)
    assert not Path("new").exists()


def test_an_image_that_turns_bad_while_training(dale):
    Path("data").mkdir()
    text = images(Path("data")).split("strategies:")[0]
    text = f"{text}strategies: [single]".replace("epochs: 3", "epochs: 1")
    start(text, "new")
    path = Path("data/train/cat/00.jpg")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    pattern = r"cannot read image data/train/cat/00\.jpg: OSError: "
    one_line(dale("train", "--resume", "new"), 2, pattern)
    path.write_bytes(whole)
    assert dale("train", "--resume", "new").code == 0


@pytest.mark.parametrize("name", FACTORIES)
def test_models(name, dale):
    Path("mine.py").write_text(MODELS)
    text = changed(MLP, f'{{name: factory, function: "mine.py:{name}"}}')
    Path("recipe.yaml").write_text(text)
    one_line(dale("train", "recipe.yaml", "new"), 2, FACTORIES[name])
    assert not Path("new").exists()


@pytest.mark.parametrize(
    ("settings", "pattern"),
    [
        ('"gone.py:net"', r"cannot import 'gone\.py': .*no such file"),
        ('"no_such_module:net"', r"cannot import 'no_such_module'"),
        ("mine", r"'mine' names no function; expected 'module:function'"),
        ('"mine.py:net", arg: {width: 3}', r"'arg' in model; did you mean 'args'"),
        ('"mine.py:net", args: {widht: 3}', r"takes other settings: .*'widht'"),
    ],
)
def test_factories(settings, pattern, dale):
    Path("mine.py").write_text(MODELS)
    text = changed(MLP, f"{{name: factory, function: {settings}}}")
    Path("recipe.yaml").write_text(text)
    one_line(dale("train", "recipe.yaml", "new"), 2, pattern)
    assert not Path("new").exists()


def test_a_model_that_only_fails_in_training(dale):
    Path("mine.py").write_text(MODELS)
    text = changed(MLP, '{name: factory, function: "mine.py:fails_in_training"}')
    Path("recipe.yaml").write_text(text)
    pattern = r"nocycle: the model failed at step 0 .*only made to be"
    one_line(dale("train", "recipe.yaml", "new", "--quiet"), 1, pattern)
    one_line(dale("train", "--resume", "new", "--quiet"), 1, pattern)


def test_a_loss_that_is_not_finite(dale, contents):
    Path("recipe.yaml").write_text(changed("peak: 0.2", "peak: 1.0e+30"))
    pattern = r"snapshot: the loss became nan at step \d+ with learning rate \d"
    said = dale("train", "recipe.yaml", "new", "--quiet")
    one_line(said, 1, pattern)
    members = json.loads(dale("show", "new", "--json").out)["members"]
    assert [m["label"] for m in members] == [
        *("nocycle-c01-s6", "nocycle-c02-s12", "nocycle-c03-s18")
    ]
    before = contents("new")
    assert dale("train", "--resume", "new", "--quiet") == said
    assert contents("new") == before
    assert dale("verify", "new").code == 0
    assert dale("evaluate", "new").code == 0


def test_weights_spoiled_by_the_last_update(dale):
    Path("mine.py").write_text(MODELS)
    text = changed("cycles: 4, peak: 0.2, warmup: 2", "cycles: 18, peak: 1.0e+37")
    text = text.replace(MLP, '{name: factory, function: "mine.py:steep"}')
    Path("recipe.yaml").write_text(text)
    pattern = r"snapshot: the weights are NaN or infinite after step 0 with .*1e\+37"
    one_line(dale("train", "recipe.yaml", "new", "--quiet"), 1, pattern)
    one_line(dale("train", "--resume", "new", "--quiet"), 1, pattern)
    assert "snapshot-c01" not in Path("new/population.json").read_text()


@pytest.mark.parametrize("name", WRONG)
def test_what_is_asked_of_a_run(name, run, dale, contents):
    command, pattern = WRONG[name]
    Path("recipe.yaml").write_text(RECIPE)
    before = contents(".")
    one_line(dale(*command.split()), 2, pattern)
    after = contents(".")
    # logits that were computed on the way may stay
    assert {p: after[p] for p in before} == before
    assert all("predictions" in path for path in set(after) - set(before))


VERBS = ["predict", "evaluate", "ensemble", "calibrate", "merge"]


@pytest.mark.parametrize("verb", [*VERBS, "report", "show", "verify"])
def test_a_folder_that_is_no_run(verb, dale, contents):
    Path("photos").mkdir()
    Path("photos/a.txt").write_text("mine")
    one_line(dale(verb, "photos"), 2, r"photos is not a run folder: it has no recipe")
    assert list(contents("photos")) == ["photos/a.txt"]


@pytest.mark.parametrize("verb", VERBS)
def test_a_run_without_members(verb, dale, contents):
    Path("bare").mkdir()
    Path("bare/recipe.yaml").write_text(RECIPE)
    one_line(dale(verb, "bare"), 2, r"bare has no member yet; run: dale train")
    assert list(contents("bare")) == ["bare/recipe.yaml"]


@pytest.mark.parametrize("verb", ["show", "verify"])
def test_looking_writes_nothing(verb, dale, contents):
    Path("bare").mkdir()
    Path("bare/recipe.yaml").write_text(RECIPE)
    assert dale(verb, "bare").code == 0
    assert list(contents("bare")) == ["bare/recipe.yaml"]
