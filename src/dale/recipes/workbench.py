"""A run with its recipe, data and model at hand."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path

import torch
from torch import nn

from dale import data as sources
from dale.data import Data, Split, leave_out
from dale.errors import InputError, LeakageError, RecipeError, nearest
from dale.files import write_text
from dale.keys import key
from dale.metrics import ece, error, logit_norm, nll
from dale.predict import infer, predict
from dale.recipes.published import SCHEMA_NAME, schema_text
from dale.store import Member, PredictionCache, Predictions, Run
from dale.train import (
    Engine,
    Recipe,
    Watcher,
    build_model,
    check_beforehand,
    folds_of,
    parse_recipe,
    train,
)
from dale.train.specs import settings

PROBE = "train-probe"
"""Name of the training examples kept aside to see the gap: as many as validation."""


def load_data(recipe: Recipe) -> Data:
    """The recipe's data."""
    return sources.load(recipe.data.source, **settings(recipe.data, "source"))


def scores(module: nn.Module, split: Split) -> dict[str, float]:
    """Error, NLL, ECE and mean norm of the logits of a network on a split."""
    logits_NC = infer(module, split)
    if not torch.isfinite(logits_NC).all():
        return dict.fromkeys(("error", "nll", "ece", "logit_norm"), float("nan"))
    return {
        "error": error(logits_NC, split.targets_N),
        "nll": nll(logits_NC, split.targets_N),
        "ece": ece(logits_NC, split.targets_N),
        "logit_norm": logit_norm(logits_NC),
    }


def _recipe(run: Run) -> Recipe:
    try:
        return parse_recipe(run.recipe, str(run.recipe_path))
    except RecipeError as error:
        if not run.recipe_altered:
            raise
        raise RecipeError(
            f"{error}; {run.recipe_path} was altered since training began "
            "(see inputs.json); restore it"
        ) from error


class Workbench:
    """Joins a run folder with the data and the architecture that its recipe names.

    Data and model are made on first use.

    Args:
        run: The run.
        data: Its data, when they are loaded already.

    Example:
        >>> import tempfile
        >>> text = "{data: digits, model: mlp, epochs: 2, strategies: [snapshot]}"
        >>> bench = start(text, tempfile.mkdtemp())
        >>> [member.label for member in bench.train()][:2]
        ['snapshot-c01-s3', 'snapshot-c02-s7']
    """

    def __init__(self, run: Run, data: Data | None = None) -> None:
        self.run = run
        self.recipe = _recipe(run)
        if data is not None:
            self.data = data

    @cached_property
    def data(self) -> Data:
        """The data, with splits ``train``, ``val`` and ``test``."""
        return load_data(self.recipe)

    @cached_property
    def model(self) -> nn.Module:
        """The architecture, on the device that the recipe asks for."""
        model = build_model(self.recipe, self.data, self.recipe.seed)
        device = self.recipe.engine.device
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        return model.to(device)

    @cached_property
    def cache(self) -> PredictionCache:
        """The run's predictions."""
        return PredictionCache(self.run.folder, self.recipe.model.model_dump_json())

    def split(self, name: str) -> Split:
        """A split by name; ``"train-probe"`` is a fixed part of the training one."""
        if name == PROBE:
            train_split = self._seen_last
            size = min(len(train_split), len(self.data.splits["val"]))
            generator = torch.Generator().manual_seed(key(self.recipe.seed, "probe"))
            order = torch.randperm(len(train_split), generator=generator)
            return train_split.subset(order[:size].sort().values)
        if name not in self.data.splits:
            raise InputError(
                f"unknown split {name!r}; {nearest(name, [*self.data.splits, PROBE])}"
            )
        found = self.data.splits[name]
        if name != "train":
            # members trained on other splits could have seen these examples
            self.run.check_inputs({name: found.digest()})
        return found

    @property
    def _seen_last(self) -> Split:
        """The training examples, without those of the last fold where there are folds.

        They are what the last network was trained on.
        """
        if self.recipe.folds is None:
            return self.data.splits["train"]
        fold_N = folds_of(self.recipe, self.data)
        return leave_out(self.data, fold_N, self.recipe.folds - 1)[0].splits["train"]

    def check_apart(self, fit: str, score: str) -> None:
        """Refuse to fit and to score on the same examples.

        Raises:
            LeakageError: The splits have examples in common.
        """
        shared = {fit, score} == {PROBE, "train"}
        if shared or self.split(fit).digest() == self.split(score).digest():
            raise LeakageError(
                f"cannot fit on {fit!r} and score on {score!r}: they are the same "
                "examples; score on another split"
            )

    def members(
        self, group: str | None = None, labels: Sequence[str] | None = None
    ) -> list[Member]:
        """Members of the run: of one group, or these, or all.

        Raises:
            InputError: A name is unknown, or there is no member.
        """
        population = self.run.population
        if labels:
            return [population.find(label) for label in labels]
        if not len(population):
            raise InputError(f"{self.run.folder} has no member yet; run: dale train")
        if group is None:
            return list(population)
        found = [m for m in population if m.group == group and not m.parents]
        if not found:
            groups = {m.group for m in population}
            raise InputError(f"no members in group {group!r}; {nearest(group, groups)}")
        return found

    def train(self, watcher: Watcher | None = None) -> list[Member]:
        """Train to the end, or go on with what was stopped; see `dale.train.train`."""
        team = Engine(self.recipe.engine).team
        with ExitStack() as held:
            # one process writes; the others wait until it holds the run
            team.lead(lambda: held.enter_context(self.run.lock()))
            return train(self.run, self.recipe, self.data, scores, watcher)

    def predict(
        self,
        split: str,
        members: Sequence[Member],
        watch: Callable[[Member], None] = lambda member: None,
    ) -> Predictions:
        """Logits of members on a split, from the cache where it has them."""
        with self.run.lock():
            return predict(
                self.run,
                self.cache,
                self.model,
                split,
                self.split(split),
                list(members),
                watch,
            )


def start(recipe: str, folder: str | Path, origin: str = "recipe") -> Workbench:
    """Make a run folder from a recipe's text, or open the one made from it.

    The data are loaded and the model is built first, so that a recipe that cannot
    work leaves nothing behind.

    Args:
        recipe: YAML text.
        folder: The run folder.
        origin: Where the text comes from, for messages.

    Returns:
        The workbench.
    """
    parsed = parse_recipe(recipe, origin)
    loaded = load_data(parsed)
    check_beforehand(parsed, loaded)

    def create() -> Run:
        run = Run.create(folder, recipe)
        write_text(run.folder / SCHEMA_NAME, schema_text())
        return run

    team = Engine(parsed.engine).team
    return Workbench(team.lead(create) or Run(folder), loaded)
