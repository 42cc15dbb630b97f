"""Wrong recipes, models and requests, and what the one line about each must say."""

import re

from cases.runs import RECIPE

DIGITS = "{source: digits, val: 200, test: 200}"
MLP = "{name: mlp, hidden: [16], norm: batch, dropout: 0.2}"


def changed(old, new):
    assert old in RECIPE
    return RECIPE.replace(old, new)


def added(line):
    return f"{RECIPE}\n{line}\n"


def at(schedule):
    return changed("members: 3", f"members: 3, schedule: {schedule}")


def of_source(settings):
    return changed(DIGITS, settings)


RECIPES = {
    # unknown keys: at the top and in every family
    "key": (changed("epochs", "epoch"), r"unknown key 'epoch'; did you mean 'epochs'"),
    "data key": (changed("val:", "vall:"), r"'vall' in data; did you mean 'val'"),
    "model key": (changed("hidden", "hiden"), r"in model; did you mean 'hidden'"),
    "strategy key": (
        changed("cycles", "cycels"),
        r"'cycels' in strategies\[1\]; did you mean 'cycles'",
    ),
    "optimizer key": (
        added("optimizer: {name: sgd, momentun: 0.9}"),
        r"'momentun' in optimizer; did you mean 'momentum'",
    ),
    "augment key": (added("augment: {crp: 2}"), r"in augment; did you mean 'crop'"),
    "engine key": (added("engine: {devise: cpu}"), r"in engine; did you mean 'device'"),
    "schedule key": (
        at("{name: cosine, peek: 0.1}"),
        r"'peek' in strategies\[0\]\.schedule; did you mean 'peak'",
    ),
    "key in a piece": (
        at("[{schedule: {name: cosine, peek: 0.1}}]"),
        r"'peek' in strategies\[0\]\.schedule\[0\]\.schedule; did you mean 'peak'",
    ),
    "key of a piece": (
        at("[{schedul: {name: cosine, peak: 0.1}}]"),
        r"'schedul' in strategies\[0\]\.schedule\[0\]; did you mean 'schedule'",
    ),
    "crop": (added("augment: {crop: -1}"), r"crop is -1; expected a padding of 0 or"),
    "flip": (added("augment: {flip: 2}"), r"flip is 2\.0; expected a probability in"),
    "parts": (
        added("engine: {accumulate: 500}"),
        r"a batch of \d+ examples cannot be cut into 500 parts",
    ),
    "threads": (
        added("engine: {threads: 100000}"),
        r"engine\.threads: input should be less than or equal to 1024; got 100000",
    ),
    "tracker twice": (
        added("trackers: [csv, csv]"),
        r"trackers: csv stands there twice; expected once",
    ),
    "table elsewhere": (
        added("trackers: [{name: csv, path: ../../x.csv}]"),
        r"csv takes a path in the run folder that ends in \.csv, got '\.\./\.\./x\.c",
    ),
    "table at the root": (
        added("trackers: [{name: csv, path: /x.csv}]"),
        r"csv takes a path in the run folder .* got '/x\.csv'",
    ),
    "table over the members": (
        added("trackers: [{name: csv, path: population.json}]"),
        r"csv takes a path in the run folder .* got 'population\.json'",
    ),
    "key that is no text": (added("1: 2"), r"\[1\]: keys should be strings"),
    "key given twice": (added("epochs: 5"), r"line 15 .*'epochs' stands twice"),
    # wrong types and values
    "text for a number": (
        changed("epochs: 3", "epochs: three"),
        r"epochs: expected a whole number; got 'three'",
    ),
    "fraction": (
        changed("epochs: 3", "epochs: 1.5"),
        r"epochs: expected a whole number; got 1\.5",
    ),
    "number for a list": (
        changed("[16]", "16"),
        r"model\.hidden: expected a list; got 16",
    ),
    "text in a list": (changed("[16]", "[a]"), r"model\.hidden\[0\]: .*got 'a'"),
    "list for a number": (
        changed("cycles: 4", "cycles: [4]"),
        r"strategies\[1\]\.cycles: expected a whole number",
    ),
    "nan": (changed("seed: 3", "seed: .nan"), r"seed: expected a finite number"),
    "infinity": (
        changed("peak: 0.2", "peak: .inf"),
        r"strategies\[1\]\.peak: expected a finite number; got inf",
    ),
    "beyond float32": (
        changed("peak: 0.2", "peak: 1.0e+300"),
        r"strategies\[1\]\.peak: expected a finite number; got 1e\+300",
    ),
    "crop beyond the image": (
        added("augment: {crop: 100000000000}"),
        r"crop is 100000000000; expected at most 8, the size of the images",
    ),
    "truth for a number": (
        changed("epochs: 3", "epochs: true"),
        r"epochs: expected a whole number; got True",
    ),
    "truth in a list": (
        changed("[16]", "[16, yes]"),
        r"model\.hidden\[1\]: expected a whole number; got True",
    ),
    "truth for one of several": (
        changed("val: 200", "val: true"),
        r"data\.val: expected a whole number; got True",
    ),
    "number for truth": (
        added("engine: {compile: 1}"),
        r"engine\.compile: expected true or false; got 1",
    ),
    "truth in a piece": (
        at("[{schedule: {name: cosine, peak: 0.1}, length: true}]"),
        r"strategies\[0\]\.schedule\[0\]\.length: expected a whole.*; got True",
    ),
    "one type of several": (
        changed("val: 200", "val: many"),
        r"data\.val: expected a whole number; got 'many'",
    ),
    "neither a number nor a pair": (
        of_source("{source: images, path: photos, size: [8, 8, 8]}"),
        r"data\.size: expected a whole number or a pair of whole .*; got \[8, 8, 8\]",
    ),
    "text for a number or a pair": (
        of_source("{source: images, path: photos, size: eight}"),
        r"data\.size: expected a whole number or a pair of whole numbers; got 'eight'",
    ),
    "no length": (
        changed("warmup: 2", "warmup: 2 weeks"),
        r"strategies\[1\] snapshot: '2 weeks' is not a length; expected steps",
    ),
    "batch of one": (changed("batch: 256", "batch: 1"), r"batch: .* equal to 2; got 1"),
    "clip": (added("engine: {clip: 0}"), r"engine\.clip: .*greater than 0; got 0"),
    "device": (added("engine: {device: tpu}"), r"engine\.device: .*'cuda'; got 'tpu'"),
    "half on a CPU": (added("engine: {device: cpu, precision: fp16}"), r"needs a GPU"),
    "momentum": (
        added("optimizer: {name: sgd, momentum: -1}"),
        r"optimizer sgd: .*momentum.*-1",
    ),
    "augment is a word": (added("augment: crop"), r"augment: expected a mapping"),
    "no hidden unit": (changed("[16]", "[0]"), r"hidden\[0\] is 0; expected"),
    "mapping for a list": (
        RECIPE.split("strategies:")[0] + "strategies: snapshot",
        r"strategies: expected a list; got 'snapshot'",
    ),
    "no strategy": (
        RECIPE.split("strategies:")[0] + "strategies: []",
        r"strategies: expected at least one item",
    ),
    "missing key": (changed("epochs: 3", ""), r"epochs is missing"),
    # unknown variants
    "model": (changed("name: mlp", "name: mpl"), r"model: .*'mpl'; did you mean 'mlp'"),
    "source": (
        changed("source: digits", "source: digit"),
        r"data: unknown name 'digit'; did you mean 'digits'",
    ),
    "strategy": (
        changed("name: snapshot", "name: snapshots"),
        r"strategies\[1\]: .*; did you mean 'snapshot'",
    ),
    "optimizer": (added("optimizer: sdg"), r"optimizer: .*did you mean 'sgd'"),
    "schedule": (at("cosin"), r"strategies\[0\]\.schedule: .*did you mean 'cosine'"),
    "no name": (changed(MLP, "{hidden: [16]}"), r"model\.name is missing; expected"),
    "nothing named": (changed(MLP, ""), r"model: expected a name or a mapping"),
    # files that are no recipes
    "no YAML": ("data: [digits\n", r"recipe\.yaml line 2 is not YAML: expected"),
    "tab": ("data:\n\tsource: digits\n", r"line 2 is not YAML: found character"),
    "list": ("- a\n", r"recipe\.yaml holds a list; expected a mapping"),
    "word": ("hello", r"holds text; expected a mapping"),
    "empty": ("", r"holds nothing; expected a mapping"),
    "no text": (bytes(range(256)), r"recipe\.yaml cannot be read as text"),
    "no date": (added("label_smoothing: 2024-99-99"), r"recipe\.yaml .*not YAML"),
    "NUL": (b"data: \x00", r"is not YAML: special characters"),
    "newer": (changed("version: 1", "version: 2"), r"version 2; this dale reads up to"),
    "newer, as text": (changed("version: 1", "version: '2'"), r"version: .*got '2'"),
    # rates that are none
    "rate below 0": (
        changed("peak: 0.2", "peak: 0.2, floor: -0.1"),
        r"strategies\[1\] snapshot: the learning rate is -0\.\d+ at step \d+; exp",
    ),
    "too wide": (
        changed(MLP, "{name: convnet, width: 1000000000000}"),
        r"convnet \{.*'width': 1000000000000.*\} does not fit into memory",
    ),
    # impossible budgets
    "more labels than examples": (
        changed("val: 200", "val: 200, labelled: 1398"),
        r"digits: labelled is 1398; expected at most 1397, as many training examples",
    ),
    "cycles": (
        changed("cycles: 4", "cycles: 400"),
        r"strategies\[1\] snapshot: 400 cycles do not fit into 18 steps",
    ),
    "members": (
        changed("members: 3", "members: 400"),
        r"strategies\[0\] nocycle: 400 members do not fit into 18 steps",
    ),
    "no member": (
        changed("{name: nocycle, members: 3}", "{name: independent, members: 0}"),
        r"independent: 0 members; expected at least 1",
    ),
    "warm-up": (
        changed("warmup: 2", "warmup: 6"),
        r"a warm-up of 6 steps does not fit into the first cycle, which has 4",
    ),
    "no cycles": (
        changed("cycles: 4, peak: 0.2", "schedule: {name: cosine, peak: 0.1}"),
        r"snapshot needs a cyclic schedule; cosine has no cycles",
    ),
    "empty tail": (changed("start: 50%", "start: 100%"), r"no model to average in 18"),
}


MODELS = """
import torch
from torch import nn

def net(shape, classes, width=64):
    return nn.Sequential(nn.Flatten(), nn.Linear(width, classes))

def raises():
    raise RuntimeError("no such thing\\nsecond line")

def three():
    return 3

def wide():
    return net(None, 7)

def lazy():
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(10))

def empty(classes):
    class Empty(nn.Module):
        def forward(self, x):
            return x.flatten(1)[:, :classes]
    return Empty()

def frozen(classes):
    return net(None, classes).requires_grad_(False)

def named():
    class Named(nn.Linear):
        def forward(self, x):
            return {"logits": super().forward(x.flatten(1))}
    return Named(64, 10)

def nan(classes):
    made = net(None, classes)
    nn.init.constant_(made[1].weight, float("nan"))
    return made

def fails_in_training(classes):
    class Fails(nn.Linear):
        def forward(self, x):
            if self.training:
                raise ValueError("only made to be evaluated")
            return super().forward(x.flatten(1))
    return Fails(64, classes)

def steep(classes):
    class Steep(nn.Linear):
        def forward(self, x):
            return 1e4 * super().forward(x.flatten(1))
    return Steep(64, classes)

def double(classes):
    return net(None, classes).double()

def probabilities(classes):
    return nn.Sequential(net(None, classes), nn.Softmax(1))
"""

FACTORIES = {
    "nett": r"mine\.py has no function 'nett'; did you mean 'net'",
    "raises": r"mine\.py:raises failed: RuntimeError: no such thing$",
    "three": r"mine\.py:three returned int; expected a torch\.nn\.Module",
    "wide": r"shape \(2, 7\); expected \(2, 10\), one logit per class",
    "lazy": r"have no shape yet",
    "empty": r"has no parameter to train",
    "frozen": r"has no parameter to train",
    "named": r"returned dict; expected a tensor of logits",
    "nan": r"NaN or infinite logits",
    "double": r"parameter 1\.weight has type torch\.float64; expected torch\.float32",
    "probabilities": r"returns probabilities; expected logits \(leave out the last",
}


# what is asked of a run that is whole
WRONG = {
    "split": ("predict run --split tset", r"'tset'; did you mean 'test'"),
    "split to score": ("evaluate run --split vall", r"'vall'; did you mean 'val'"),
    "split to fit": ("evaluate run --fit x", r"'x'; known: test, train, train-probe, "),
    "split of a pool": ("ensemble run --split x", r"unknown split 'x'; known: test"),
    "split to calibrate": ("calibrate run --split x", r"unknown split 'x'; known"),
    "group": ("ensemble run --group snapshots", r"'snapshots'; did you mean 'snapsh"),
    "group to merge": ("merge run --group x", r"'x'; known: nocycle, snapshot, swa"),
    "member": (
        "ensemble run --member snapshot-c01-s5",
        r"run: no member named 'snapshot-c01-s5'; did you mean 'snapshot-c01-s4'",
    ),
    "member to merge": ("merge run --member x --member y", r"no member named 'x'"),
    "member to show": ("show run zzz", r"no member named 'zzz'; known: nocycle-c01"),
    "predictor": (
        "calibrate run --name SWAA",
        r"no predictor .*'SWAA'; did you mean 'SWA'",
    ),
    "combiner": ("ensemble run --combine mean_prob", r"did you mean 'mean_probabili"),
    "choice": ("ensemble run --choose best", r"'best'; expected all or greedy"),
    "method": ("merge run --method greedy_soop", r"did you mean 'greedy_soup'"),
    "score": ("merge run --score acuracy", r"did you mean 'accuracy'"),
    "calibrator": ("calibrate run --method temprature", r"did you mean 'temperature'"),
    "weights missing": (
        "merge run --method weighted",
        r"'weighted' needs one weight for each member",
    ),
    "weights too many": (
        "merge run --method uniform --weight 1",
        r"no other method takes any; got the method 'uniform'",
    ),
    "weights too few": (
        "merge run --method weighted --weight 1 --weight -1",
        r"2 weights for 4 members \(snapshot-c01-s4, .*\); expected one for each",
    ),
    "weights of nothing": (
        "merge run --method weighted --weight 1 --weight -1 --weight 1 --weight -1",
        r"sum",
    ),
    "weights not finite": (
        "merge run --method weighted --weight 1 --weight nan --weight 1 --weight 1",
        r"must be finite",
    ),
    "negative votes": (
        "ensemble run --weight 1 --weight -1 --weight 1 --weight 1",
        r"weights",
    ),
    "too few votes": ("ensemble run --weight 1", r"weights"),
    "votes and a choice": (
        "ensemble run --choose greedy --weight 1",
        r"leave them out",
    ),
    "one to merge": ("merge run --group swa", r"at least two members; got 1"),
    "fitted where scored": (
        "calibrate run --fit test --split test",
        r"fit on 'test' and score on 'test': .* another split, or add --cross-fit",
    ),
    "evaluated where fitted": (
        "evaluate run --fit test --split test",
        r"fit on 'test' and score on 'test': .*; score on another split$",
    ),
    "a part and the whole": (
        "evaluate run --fit train-probe --split train",
        r"cannot fit on 'train-probe' and score on 'train'",
    ),
    "scored where chosen": (
        "ensemble run --choose greedy --split val",
        r"cannot fit on 'val' and score on 'val'",
    ),
    "no folder": ("show gone", r"gone is not a folder; expected a run folder"),
    "a run again": ("train recipe.yaml run", r"run is a run already; add --resume"),
    "a folder to train": ("train run", r"run is a folder; expected a recipe"),
    "two runs": ("train --resume run other", r"--resume goes on with run; leave out"),
    "nothing to resume": ("train --resume gone", r"gone does not exist; expected a ru"),
    "no recipe": ("train gone.yaml", r"gone\.yaml does not exist; expected a recipe"),
    "no recipe to plan": ("plan gone.yaml", r"gone\.yaml does not exist"),
    "a plan drawn over the recipe": (
        "plan recipe.yaml --draw recipe.yaml",
        r"--draw recipe\.yaml: expected a name ending in \.html",
    ),
    "a range drawn as a picture": (
        "range recipe.yaml --draw range.png",
        r"--draw range\.png: expected a name ending in \.html",
    ),
    "a range without an end": (
        "range recipe.yaml --last nan",
        r"rates: expected 0 < first < last, got 1e-05 and nan",
    ),
    "nothing to show": ("show", r"name a run folder, or give --schema"),
    # the command line itself
    "verb": ("trian", r"'trian'\. Did you mean 'train'.*; see: dale --help"),
    "option": ("train recipe.yaml --sede 3", r"--sede.*; see: dale train --help"),
    "argument": ("train", r"Missing argument 'source'; see: dale train --help"),
    "value": ("ensemble run --size 0", r"'--size': .*; see: dale ensemble --help"),
    "weight": ("merge run --weight heavy", r"'--weight': .*; see: dale merge --help"),
}


def one_line(said, code, pattern):
    """The exit code, and exactly one line on standard error that says so."""
    assert said.code == code, said.err
    assert said.out == ""
    assert said.err.endswith("\n")
    assert said.err.count("\n") == 1, said.err
    assert said.err.startswith("dale: ")
    assert re.search(pattern, said.err), said.err
    assert "Traceback" not in said.err
