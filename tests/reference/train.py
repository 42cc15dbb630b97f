"""The plainest PyTorch loop, one step after another, with nothing of dale's loop.

It takes the same steps: the same draws, batches and rates, the same arithmetic. What
it shares with dale is what defines a run: `key`, the data, the model's constructor.
"""

import torch
from torch.nn.functional import cross_entropy

from dale.keys import key


def train_plainly(
    model,
    optimizer,
    split,
    rates,
    *,
    seed,
    batch,
    augment=None,
    clip=None,
    smoothing=0.0,
    autocast=False,
    wanted=(),
    bootstrap=False,
):
    """Weights after each wanted number of updates, and the losses of all updates.

    Args:
        model: Freshly initialised.
        optimizer: Of its parameters.
        split: Training examples.
        rates: Learning rate of each update.
        seed: Of the trajectory.
        batch: Largest batch.
        augment: Of raw inputs, or None.
        clip: Largest gradient norm, or None.
        smoothing: Label smoothing.
        autocast: Forward pass in bfloat16.
        bootstrap: Train on rows drawn with replacement.
        wanted: Numbers of updates after which to copy the weights.

    Returns:
        Mapping of number of updates to weights, and the list of losses.
    """
    count = len(split)
    per_epoch = (count + batch - 1) // batch
    kept, losses = {}, []
    model.train()
    for step, rate in enumerate(rates):
        epoch, index = step // per_epoch, step % per_epoch
        generator = torch.Generator().manual_seed(key(seed, "order", epoch))
        order = torch.randperm(count, generator=generator)
        if bootstrap:
            draws = torch.Generator().manual_seed(key(seed, "bootstrap"))
            drawn = torch.randint(count, (count,), generator=draws)
            order = drawn.sort().values[order]
        low, high = count * index // per_epoch, count * (index + 1) // per_epoch
        chosen = order[low:high]
        if augment is None:
            inputs = split.batch(chosen)
        else:
            generator = torch.Generator().manual_seed(key(seed, "augment", step))
            inputs = split.batch(chosen, augment, generator)
        for group in optimizer.param_groups:
            group["lr"] = rate
        torch.manual_seed(key(seed, "forward", step))
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            logits = model(inputs)
        loss = cross_entropy(
            logits.float(), split.targets_N[chosen], label_smoothing=smoothing
        )
        optimizer.zero_grad()
        loss.backward()
        if clip is not None:
            torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        losses.append(loss.item())
        if step + 1 in wanted:
            kept[step + 1] = {k: v.clone() for k, v in model.state_dict().items()}
    return kept, losses
