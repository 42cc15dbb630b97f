"""Temporal ensembling and the Π-model, written down as they were published.

Targets are computed for all examples at the end of each epoch, from predictions that
were put aside. What it shares with dale is what defines a run: `key`, the data, the
order of the examples and the model's constructor.
"""

import torch
from torch.nn.functional import cross_entropy, softmax

from dale.keys import key
from dale.train.batches import Batches


def train_consistently(
    model,
    optimizer,
    split,
    rates,
    weights,
    *,
    seed,
    batch,
    decay,
    augment,
    noise,
    share,
):
    """The weights at the end.

    Args:
        model: Freshly initialised.
        optimizer: Of its parameters.
        split: Labelled examples, then unlabelled ones.
        rates: Learning rate of each update.
        weights: Weight of the squared differences of each update.
        seed: Of the trajectory.
        batch: Largest batch.
        decay: Share of the old in a mean prediction; None for the Π-model.
        augment: Of raw inputs.
        noise: Standard deviation of the noise on the inputs.
        share: Least share of labelled examples; if above theirs, the Π-model only.

    Returns:
        The state of the model.
    """
    count, labelled = len(split), split.labelled_count
    batches = Batches.of(split, batch, share)
    classes = int(split.targets_N.max()) + 1
    sums, targets = torch.zeros(count, classes), torch.zeros(count, classes)
    model.train()

    def inputs(chosen, step, *more):
        generator = torch.Generator().manual_seed(key(seed, "augment", step, *more))
        values = split.batch(chosen, augment, generator)
        return values + noise * torch.randn_like(values) if noise else values

    for epoch in range(len(rates) // batches.per_epoch):
        order, predictions = batches.order(seed, epoch), torch.zeros(count, classes)
        for index in range(batches.per_epoch):
            step = epoch * batches.per_epoch + index
            low, high = batches.bounds(index)
            chosen = order[low:high]
            torch.manual_seed(key(seed, "forward", step))
            shown = inputs(chosen, step)
            if decay is None and weights[step] > 0:
                logits, other = model(
                    torch.cat([shown, inputs(chosen, step, "again")])
                ).chunk(2)
                aim = softmax(other, dim=1)
            else:
                logits, aim = model(shown), targets[chosen]
            known = chosen < labelled
            loss = cross_entropy(
                logits[known], split.targets_N[chosen[known]], reduction="sum"
            )
            loss = count / batches.shown * loss / len(chosen)
            found = softmax(logits, dim=1)
            if weights[step] > 0:
                loss = loss + weights[step] * ((found - aim) ** 2).mean()
            predictions[chosen] = found.detach()
            for group in optimizer.param_groups:
                group["lr"] = rates[step]
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        if decay is not None:
            sums = decay * sums + (1 - decay) * predictions
            targets = sums / (1 - decay ** (epoch + 1))
    return model.state_dict()
