"""Logits of every member on every split, kept on disk and keyed by content.

Shapes: M members, N examples, C classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import torch
from torch import Tensor

from dale import weights as w
from dale.errors import InputError, StoreError
from dale.store.population import Member


@dataclass(frozen=True)
class Predictions:
    """What some members say about one split.

    Args:
        logits_MNC: float32, one slice for each member.
        targets_N: int64 class indices.
        labels: M member labels.
        split: Name of the split.
        split_digest: Content digest of the split.
    """

    logits_MNC: Tensor
    targets_N: Tensor
    labels: tuple[str, ...]
    split: str
    split_digest: str

    def __post_init__(self) -> None:
        M, N, _ = self.logits_MNC.shape
        if len(self.labels) != M or len(self.targets_N) != N:
            raise InputError(
                f"predictions of {M} members on {N} examples came with "
                f"{len(self.labels)} labels and {len(self.targets_N)} targets"
            )

    def pick(self, labels: Sequence[str]) -> "Predictions":
        """The same split, these members only, in this order."""
        unknown = [label for label in labels if label not in self.labels]
        if unknown:
            raise InputError(f"no predictions of {', '.join(unknown)} on {self.split}")
        index = [self.labels.index(label) for label in labels]
        return Predictions(
            self.logits_MNC[index],
            self.targets_N,
            tuple(labels),
            self.split,
            self.split_digest,
        )


class PredictionCache:
    """Reads and writes the ``predictions`` folder of a run.

    A file answers only for the exact weights, model and split that it was made
    from; anything else counts as absent, so that nothing stale is ever read.

    Args:
        folder: The run folder.
        model: Text that identifies the architecture (from the recipe).
    """

    def __init__(self, folder: Path, model: str) -> None:
        self._folder = folder / "predictions"
        self._model = model

    def path(self, member: Member, split: str) -> Path:
        """The file with one member's logits on one split."""
        return self._folder / split / f"{member.id}.safetensors"

    def has(self, member: Member, split: str, split_digest: str) -> bool:
        """Whether intact logits of exactly this member on this split are there."""
        try:
            return self._read(member, split, split_digest) is not None
        except StoreError:
            return False

    def put(
        self,
        member: Member,
        split: str,
        split_digest: str,
        logits_NC: Tensor,
        targets_N: Tensor,
    ) -> None:
        """Store one member's logits and the targets they speak of."""
        tensors = {
            "logits": logits_NC.to(torch.float32).contiguous(),
            "targets": targets_N.to(torch.int64).contiguous(),
        }
        header = {
            "key": self._key(member, split_digest),
            "split": split,
            "split_digest": split_digest,
            "label": member.label,
        }
        w.save(self.path(member, split), tensors, header)

    def get(
        self, members: Sequence[Member], split: str, split_digest: str
    ) -> Predictions:
        """Stacked logits of these members.

        Raises:
            InputError: There are no members.
            StoreError: A member has no predictions on this split yet.
            CorruptError: A file is truncated or altered.
        """
        if not members:
            raise InputError(f"no member to read predictions of on {split}")
        logits, targets = [], None
        for member in members:
            tensors = self._read(member, split, split_digest)
            if tensors is None:
                raise StoreError(
                    f"{self.path(member, split)}: member {member.label!r} has no "
                    f"predictions on {split!r} yet; run: dale predict"
                )
            logits.append(tensors["logits"])
            targets = tensors["targets"]
        assert targets is not None
        labels = tuple(member.label for member in members)
        return Predictions(torch.stack(logits), targets, labels, split, split_digest)

    def _read(
        self, member: Member, split: str, split_digest: str
    ) -> dict[str, Tensor] | None:
        path = self.path(member, split)
        if not path.exists():
            return None
        tensors, header = w.load(path)
        return tensors if header.get("key") == self._key(member, split_digest) else None

    def _key(self, member: Member, split_digest: str) -> str:
        parts = "\x1f".join([member.digest, split_digest, self._model])
        return sha256(parts.encode()).hexdigest()
