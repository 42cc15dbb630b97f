"""Members trained on real images: what a temperature leaves as it is."""

import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch.nn.functional import cross_entropy

from dale.calibrate import calibrate_then_pool, fit_temperature
from dale.data import load
from dale.ensemble import mean_logit
from dale.metrics import misclassification_auroc, nll


@pytest.fixture(scope="module")
def members():
    """Logits on validation and test images of three networks that over-fit."""
    data = load("digits")
    sets = {
        name: split.batch(torch.arange(len(split))).flatten(1)
        for name, split in data.splits.items()
    }
    found: dict[str, list[torch.Tensor]] = {"val": [], "test": []}
    for seed in range(3):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            layers = torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 10)
        model = torch.nn.Sequential(*layers)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        for _ in range(150):
            optimizer.zero_grad()
            cross_entropy(
                model(sets["train"]), data.splits["train"].targets_N
            ).backward()
            optimizer.step()
        for name, outputs in found.items():
            outputs.append(model(sets[name]).detach())
    targets = {name: data.splits[name].targets_N for name in found}
    return {
        name: (torch.stack(outputs), targets[name]) for name, outputs in found.items()
    }


def test_the_argmax_and_every_auc_stay_as_they_were(members):
    logits_MNC, targets_N = members["test"]
    for val_NC, test_NC in zip(members["val"][0], logits_MNC, strict=True):
        fitted = fit_temperature(val_NC, members["val"][1])
        assert abs(fitted.value - 1) > 0.01  # something was done
        applied = fitted.apply(test_NC)
        assert torch.equal(applied.argmax(dim=1), test_NC.argmax(dim=1))
        for label in range(10):
            one_N = (targets_N == label).numpy()
            before = roc_auc_score(one_N, test_NC[:, label].numpy())
            assert roc_auc_score(one_N, applied[:, label].numpy()) == before


def test_a_shared_temperature_keeps_the_vote_of_mean_logits(members):
    logits_MNC, _ = members["test"]
    fitted = fit_temperature(mean_logit(members["val"][0]), members["val"][1])
    pooled = mean_logit(logits_MNC)
    assert torch.equal(fitted.apply(pooled).argmax(dim=1), pooled.argmax(dim=1))


def test_calibrated_members_make_a_better_ensemble_of_new_images(members):
    logits_MNC, targets_N = members["test"]
    ensemble = calibrate_then_pool(
        *members["val"], mean_logit, fit_pool=fit_temperature
    )
    calibrated = ensemble.apply(logits_MNC)
    assert nll(calibrated, targets_N) < nll(mean_logit(logits_MNC), targets_N)
    assert 0.9 < misclassification_auroc(calibrated, targets_N) <= 1
