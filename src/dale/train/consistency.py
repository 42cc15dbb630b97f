"""Temporal ensembling and the Π-model: predictions that agree with one another.

What a network says of an example should not depend on chance: on augmentation, on
dropout, on the epoch. That can be asked of examples without a label too.

Shapes: N examples, M of them labelled, B in a microbatch, C classes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from dale.data import UNKNOWN
from dale.errors import InputError, TrainingError
from dale.schedules import Schedule
from dale.train.batches import Batches
from dale.train.engine import Engine
from dale.train.seams import Batch, Call, Seams, classification
from dale.train.targets import Targets


@dataclass(frozen=True)
class Consistency:
    """What a trajectory asks of its predictions beside being right.

    Args:
        weight: Weight w of the squared differences, for every update.
        decay: Share a of the old in an example's mean prediction; None to compare two
            predictions of each update instead.
        noise: Standard deviation of Gaussian noise on the normalised inputs.
        share: Least share of labelled examples in each batch.
    """

    weight: Schedule
    decay: float | None
    noise: float = 0.0
    share: float = 0.0


class _Seen(NamedTuple):
    """What is remembered of a microbatch until the update is done."""

    batch: Batch
    probs_BC: Tensor
    sums: Tensor
    """How many were compared, and how many agreed."""


class Consistent:
    """The objective of a trajectory that asks for consistency, and what it remembers.

    With softmax outputs ``p`` and targets ``q``, a microbatch of B examples has the
    loss

        ``1 / (s B) Σ_labelled −log p_i(y_i) + w(t) / (B C) Σ_i ‖p_i − q_i‖²``

    with the share s of labelled examples, M / N or the least that is asked for.

    Temporal ensembling takes for ``q`` the mean of an example's earlier predictions
    (`Targets`), constants; an example that has none yet adds 0. The Π-model takes a
    second prediction under augmentation, dropout and noise of its own, and the
    gradient enters both; both go through the network as one batch.

    Args:
        spec: What is asked.
        batches: Of the examples, with a label or without.
        classes: Number of classes.
        engine: Device and processes.
        per_epoch: Updates of an epoch.
        label_smoothing: Of the labelled examples' cross-entropy.

    Reference:
        Laine and Aila 2017, arXiv 1610.02242. Theirs is this loss times M / N, with s
        = M / N: here the gradient of the labels is that of a mean over labelled
        examples, however few they are, so that a rate fits any number of them, and w
        is their maximum without the factor M / N.
    """

    def __init__(
        self,
        spec: Consistency,
        batches: Batches,
        classes: int,
        engine: Engine,
        per_epoch: int,
        label_smoothing: float = 0.0,
    ) -> None:
        examples = batches.examples
        self._spec, self._engine, self._per_epoch = spec, engine, per_epoch
        self._scale, self._smoothing = examples / batches.shown, label_smoothing
        self._plain = classification(label_smoothing)
        self._targets: Targets | None = None
        if spec.decay is not None:
            self._targets = Targets(examples, classes, spec.decay, engine.device)
        self._seen: dict[int, _Seen] = {}
        self._sums = torch.zeros(2, dtype=torch.float64, device=engine.device)
        self._step, self._differed = 0, False

    @property
    def nbytes(self) -> int:
        """Bytes of what is remembered of every example."""
        return 0 if self._targets is None else self._targets.nbytes

    def hang(self, seams: Seams) -> Seams:
        """Add it to what is hung into the updates.

        Raises:
            InputError: There is an objective already.
        """
        if seams.objective is not None:
            raise InputError("temporal and pi have an objective; expected none beside")
        return replace(
            seams,
            objective=self.objective,
            after_step=(self.after_step, *seams.after_step),
            carried={**seams.carried, "consistency": self},
            records=(*seams.records, self.record),
        )

    def objective(self, call: Call, batch: Batch, step: int) -> tuple[Tensor, Tensor]:
        """The loss and the logits of a microbatch."""
        weight, size = self._spec.weight(step), len(batch.rows_N)
        if self._targets is not None:
            logits_BC = call(self._noisy(batch.inputs))
            goal_BC, known_B = self._targets.of(batch.rows_N)
        elif weight > 0:
            views = [self._noisy(batch.inputs), self._noisy(batch.again())]
            logits_BC, other_BC = call(torch.cat(views)).split(size)
            self._check_noise(logits_BC, other_BC, step)
            goal_BC, known_B = other_BC.float().softmax(dim=1), None
        else:
            logits_BC = call(self._noisy(batch.inputs))
            return self._supervised(logits_BC, batch), logits_BC
        probs_BC = logits_BC.float().softmax(dim=1)
        self._note(batch, probs_BC.detach(), goal_BC.detach(), known_B)
        loss = self._supervised(logits_BC, batch)
        if weight > 0:
            gap_B = (probs_BC - goal_BC).square().mean(dim=1)
            gap_B = gap_B if known_B is None else gap_B * known_B
            loss = loss + weight * gap_B.mean()
        return loss, logits_BC

    def after_step(self, step: int) -> None:
        """Let the predictions of an update into the targets."""
        team, seen = self._engine.team, [self._seen[at] for at in sorted(self._seen)]
        self._seen, before, self._step = {}, self._step, step
        if (step - 1) // self._per_epoch != (before - 1) // self._per_epoch:
            self._sums = torch.zeros_like(self._sums)
        fresh = sum((part.sums for part in seen), torch.zeros_like(self._sums))
        self._sums = self._sums + team.sum(fresh)
        if self._targets is None:
            return
        rows_N = torch.cat([part.batch.rows_N for part in seen])
        probs_NC = torch.cat([part.probs_BC for part in seen])
        if team.size > 1:  # an example may come to another process the next time
            start, rows = seen[0].batch.start, len(rows_N)
            rows_N = seen[0].batch.whole_N
            whole_NC = probs_NC.new_zeros(len(rows_N), probs_NC.shape[1])
            whole_NC[start : start + rows] = probs_NC
            probs_NC = team.sum(whole_NC)
        self._targets.update(rows_N, probs_NC)

    def record(self) -> Mapping[str, float]:
        """What the log of an epoch holds: the weight, and how many agreed."""
        compared, agreed = self._sums.tolist()
        found = {"train_consistency_weight": self._spec.weight(max(self._step - 1, 0))}
        return {**found, "train_agreement": agreed / compared} if compared else found

    def state(self) -> dict[str, Any]:
        """The targets, and where the epoch stands."""
        targets = {} if self._targets is None else self._targets.state()
        return {"targets": targets, "sums": self._sums, "step": self._step}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint."""
        self._sums, self._step = state["sums"].to(self._engine.device), state["step"]
        if self._targets is not None:
            self._targets.load_state(state["targets"])

    def _noisy(self, inputs: Tensor) -> Tensor:
        if not self._spec.noise:
            return inputs
        return inputs + self._spec.noise * torch.randn_like(inputs)

    def _supervised(self, logits_BC: Tensor, batch: Batch) -> Tensor:
        """The cross-entropy of those that have a label, as a mean over all rows."""
        if self._scale == 1:
            return self._plain(lambda inputs: logits_BC, batch, self._step)[0]
        total = cross_entropy(
            logits_BC,
            batch.targets_N,
            ignore_index=UNKNOWN,
            reduction="sum",
            label_smoothing=self._smoothing,
        )
        return total * (self._scale / len(batch.rows_N))

    def _note(
        self, batch: Batch, probs_BC: Tensor, goal_BC: Tensor, known_B: Tensor | None
    ) -> None:
        """Remember a microbatch; the first time, as some optimisers ask again."""
        if batch.start in self._seen:
            return
        agree_B = probs_BC.argmax(dim=1) == goal_BC.argmax(dim=1)
        known_B = torch.ones_like(agree_B) if known_B is None else known_B
        sums = torch.stack([known_B.sum(), (agree_B & known_B).sum()]).double()
        self._seen[batch.start] = _Seen(batch, probs_BC, sums)

    def _check_noise(self, one_BC: Tensor, other_BC: Tensor, step: int) -> None:
        """Refuse to compare predictions that cannot differ; looked at once."""
        if not self._differed and torch.allclose(one_BC, other_BC, 1e-5, 1e-6):
            raise TrainingError(
                f"pi: both predictions of step {step} are the same; expected a network "
                "with dropout, augment in the recipe or noise in the strategy"
            )
        self._differed = True
