import copy
import inspect
import warnings

import pytest
import torch
from torch.optim.lr_scheduler import (
    ChainedScheduler,
    CosineAnnealingLR,
    LRScheduler,
    SequentialLR,
)

from cases.schedules import CASES
from dale.errors import InputError
from dale.schedules import (
    SCHEDULES,
    Schedule,
    constant,
    cosine,
    cosine_restarts,
    linear,
    torch_scheduler,
    warmup,
)
from dale.schedules.torch_scheduler import CosineRestarts, Scheduled

CYCLES = cosine_restarts(peak=0.4, steps=10, cycles=3, floor=0.1, peak_factor=0.9)
RISING = linear(first=0.8, last=0.95, steps=7)
OPTIMISERS = {
    "sgd": lambda groups: torch.optim.SGD(groups, lr=0.7, momentum=0.5),
    "adam": lambda groups: torch.optim.AdamW(groups, lr=0.7),
}


def weight():
    return torch.nn.Parameter(torch.ones(2))


def sgd(groups=None, **settings):
    settings = {"lr": 0.7, "momentum": 0.5, "weight_decay": 0.01, **settings}
    return torch.optim.SGD(groups or [weight()], **settings)


def advance(optimizer, scheduler, steps):
    """Torch's loop, and the fields that each update used."""
    seen = []
    for _ in range(steps):
        group = optimizer.param_groups[0]
        seen.append((group["lr"], group.get("momentum"), group["weight_decay"]))
        optimizer.step()
        scheduler.step()
    return seen


def camel(name):
    return name.title().replace("_", "")


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_row_has_a_scheduler_of_that_name(name):
    constructor = getattr(torch_scheduler, camel(name))
    optimizer = sgd()
    scheduler = constructor(optimizer, steps=24, **CASES[name])
    schedule = SCHEDULES[name].function(steps=24, **CASES[name])
    assert isinstance(scheduler, LRScheduler)
    assert [seen[0] for seen in advance(optimizer, scheduler, 24)] == schedule.values()
    assert scheduler.get_last_lr() == [schedule(24)]
    assert scheduler.ends == schedule.ends
    assert constructor.__name__ == camel(name)
    parameters = list(inspect.signature(constructor).parameters)
    shape = list(inspect.signature(SCHEDULES[name].function).parameters)
    assert parameters == ["optimizer", *shape]


def test_state_is_the_step_alone():
    optimizer = sgd()
    scheduler = Scheduled(optimizer, {"lr": CYCLES, "momentum": RISING})
    advance(optimizer, scheduler, 4)
    assert scheduler.state_dict() == {"step": 4}


def test_loading_sets_every_field_at_once():
    optimizer = sgd()
    scheduler = Scheduled(optimizer, {"lr": CYCLES, "momentum": RISING})
    scheduler.load_state_dict({"step": 5})
    group = optimizer.param_groups[0]
    assert (group["lr"], group["momentum"]) == (CYCLES(5), RISING(5))
    assert scheduler.get_last_lr() == [CYCLES(5)]


@pytest.mark.parametrize("order", ["optimizer first", "scheduler first"])
@pytest.mark.parametrize("step", range(11))
def test_resume_by_state_is_exact_in_any_order(step, order):
    fields = {"lr": CYCLES, "momentum": RISING, "weight_decay": cosine(0.1, steps=10)}
    optimizer = sgd()
    scheduler = Scheduled(optimizer, fields)
    advance(optimizer, scheduler, step)
    saved = copy.deepcopy((optimizer.state_dict(), scheduler.state_dict()))
    expected = advance(optimizer, scheduler, 12 - step)

    again = sgd()
    resumed = Scheduled(again, fields)
    if order == "optimizer first":
        again.load_state_dict(saved[0])
        resumed.load_state_dict(saved[1])
    else:
        resumed.load_state_dict(saved[1])
        again.load_state_dict(saved[0])
    assert advance(again, resumed, 12 - step) == expected


@pytest.mark.parametrize("step", [0, 3, 6, 9])
def test_resume_by_last_epoch_is_exact(step):
    # a fresh optimiser: torch's own schedulers fail here for want of initial_lr
    optimizer = sgd(lr=123.0)
    scheduler = Scheduled(optimizer, CYCLES, last_epoch=step - 1)
    seen = [rate for rate, *_ in advance(optimizer, scheduler, 10 - step)]
    assert seen == CYCLES.values()[step:]


def test_lost_optimizer_state_does_not_matter():
    scheduler = Scheduled(optimizer := sgd(lr=55.0), CYCLES)
    scheduler.load_state_dict({"step": 7})
    assert [rate for rate, *_ in advance(optimizer, scheduler, 3)] == CYCLES.values()[
        7:
    ]


def test_torch_cosine_is_wrong_after_a_lost_optimizer_state():
    # the defect that a state of the step alone rules out
    def fresh():
        return (o := sgd(lr=0.4)), CosineAnnealingLR(o, T_max=10)

    optimizer, scheduler = fresh()
    advance(optimizer, scheduler, 5)
    _, resumed = again = fresh()
    resumed.load_state_dict(scheduler.state_dict())
    theirs = [rate for rate, *_ in advance(*again, 5)]
    ours = cosine(peak=0.4, steps=10).values()[5:]
    assert theirs != pytest.approx(ours)
    scheduler = Scheduled(optimizer := sgd(lr=0.4), cosine(peak=0.4, steps=10))
    scheduler.load_state_dict({"step": 5})
    assert [rate for rate, *_ in advance(optimizer, scheduler, 5)] == ours


def test_cycle_ended_after_the_last_update_of_each_cycle():
    scheduler = CosineRestarts(optimizer := sgd(), peak=0.4, steps=10, cycles=3)
    taken = []
    for update in range(1, 13):
        optimizer.step()
        scheduler.step()
        if scheduler.cycle_ended:
            taken.append(update)
    assert tuple(taken) == scheduler.ends == (3, 6, 10)


def test_no_cycle_ends_before_the_first_update():
    assert not CosineRestarts(sgd(), peak=0.4, steps=10, cycles=3).cycle_ended


def test_ends_come_from_the_learning_rate_first():
    plain, other = linear(0.1, 0.2, steps=4), cosine_restarts(0.2, 8, cycles=2)
    both = Scheduled(sgd(), {"weight_decay": other, "lr": CYCLES})
    assert both.ends == CYCLES.ends
    assert Scheduled(sgd(), {"lr": plain, "weight_decay": other}).ends == other.ends
    assert Scheduled(sgd(), plain).ends == ()


@pytest.mark.parametrize("name", OPTIMISERS)
def test_momentum_is_the_first_beta_where_there_is_no_momentum(name):
    optimizer = OPTIMISERS[name]([weight()])
    Scheduled(optimizer, {"momentum": constant(0.6, steps=2)})
    group = optimizer.param_groups[0]
    assert group["lr"] == 0.7
    found = group["betas"] if "betas" in group else (group["momentum"], 0.999)
    assert found == (0.6, 0.999)


def test_beta2_is_the_second():
    optimizer = OPTIMISERS["adam"]([weight()])
    both = {"beta1": constant(0.6, steps=1), "beta2": constant(0.7, steps=1)}
    Scheduled(optimizer, both)
    assert optimizer.param_groups[0]["betas"] == (0.6, 0.7)


def test_without_lr_the_rate_stays_and_another_scheduler_may_drive_it():
    optimizer = sgd(lr=0.4)
    rate = CosineAnnealingLR(optimizer, T_max=10)
    decay = Scheduled(optimizer, {"weight_decay": cosine(0.1, steps=10)})
    seen = []
    for _ in range(10):
        group = optimizer.param_groups[0]
        seen.append((group["lr"], group["weight_decay"]))
        optimizer.step()
        rate.step()
        decay.step()
    assert [a for a, _ in seen] == pytest.approx(cosine(0.4, steps=10).values())
    assert [b for _, b in seen] == cosine(0.1, steps=10).values()


def groups():
    return [
        {"params": [weight()], "name": "backbone.stem", "lr": 0.01},
        {"params": [weight()], "name": "backbone.top", "lr_scale": 0.5},
        {"params": [weight()], "name": "head", "weight_decay_scale": 0.0},
        {"params": [weight()]},
    ]


def rates(optimizer, field="lr"):
    return [group[field] for group in optimizer.param_groups]


def test_one_schedule_gives_all_groups_the_same_but_for_their_scale():
    optimizer = sgd(groups())
    both = {"lr": constant(0.2, steps=2), "weight_decay": constant(0.3, steps=2)}
    Scheduled(optimizer, both)
    assert rates(optimizer) == [0.2, 0.1, 0.2, 0.2]
    assert rates(optimizer, "weight_decay") == [0.3, 0.3, 0.0, 0.3]


def test_patterns_choose_groups_and_the_first_wins():
    optimizer = sgd(groups())
    patterns = {"*.stem": constant(0.3, 1), "backbone.*": constant(0.2, 1)}
    scheduler = Scheduled(optimizer, {"lr": patterns})
    assert rates(optimizer) == [0.3, 0.1, 0.7, 0.7]
    assert scheduler.get_last_lr() == [0.3, 0.1, 0.7, 0.7]


def test_star_matches_groups_without_a_name():
    optimizer = sgd(groups())
    Scheduled(optimizer, {"lr": {"head": constant(0.3, 1), "*": constant(0.1, 1)}})
    assert rates(optimizer) == [0.1, 0.05, 0.3, 0.1]


def test_group_added_later_is_driven_too():
    scheduler = Scheduled(optimizer := sgd(), CYCLES)
    advance(optimizer, scheduler, 3)
    optimizer.add_param_group({"params": [weight()], "lr": 9.0})
    optimizer.step()
    scheduler.step()
    assert rates(optimizer) == [CYCLES(4), CYCLES(4)]


def test_tensor_fields_are_filled_in_place():
    rate = torch.tensor(0.7)
    optimizer = torch.optim.AdamW([weight()], lr=rate)
    scheduler = Scheduled(optimizer, CYCLES)
    advance(optimizer, scheduler, 4)
    held = optimizer.param_groups[0]["lr"]
    assert isinstance(held, torch.Tensor)
    assert held.item() == pytest.approx(CYCLES(4))
    scheduler.load_state_dict({"step": 1})
    assert optimizer.param_groups[0]["lr"] is held
    assert optimizer.param_groups[0]["initial_lr"] == pytest.approx(0.7)
    assert held.item() == pytest.approx(CYCLES(1))
    assert scheduler.get_last_lr()[0] is not held


def test_in_torch_chain():
    optimizer = sgd()
    parts = [
        Scheduled(optimizer, {"lr": CYCLES}),
        Scheduled(optimizer, {"momentum": RISING}),
    ]
    seen = advance(optimizer, ChainedScheduler(parts), 10)
    assert [rate for rate, *_ in seen] == CYCLES.values()
    assert [momentum for _, momentum, _ in seen][:7] == RISING.values()


@pytest.mark.parametrize("step", [2, 6])
def test_in_torch_sequence_and_resumed(step):
    def make():
        optimizer = sgd()
        parts = [
            Scheduled(optimizer, {"lr": PART, "momentum": RISING}),
            Scheduled(optimizer, {"lr": CYCLES, "momentum": constant(0.3, steps=1)}),
        ]
        return optimizer, SequentialLR(optimizer, parts, milestones=[4])

    PART = linear(first=0.1, last=0.3, steps=4)
    optimizer, sequence = make()
    seen = advance(optimizer, sequence, step)
    state = copy.deepcopy(sequence.state_dict())
    seen += advance(optimizer, sequence, 14 - step)
    assert [rate for rate, *_ in seen] == PART.values() + CYCLES.values()
    momenta = RISING.values()[:4] + [0.3] * 10
    assert [momentum for _, momentum, _ in seen] == momenta
    again, resumed = make()
    resumed.load_state_dict(state)
    assert advance(again, resumed, 14 - step) == seen[step:]


def test_reading_rates_changes_nothing():
    scheduler = Scheduled(optimizer := sgd(), {"lr": CYCLES, "momentum": RISING})
    advance(optimizer, scheduler, 3)
    before = copy.deepcopy(optimizer.param_groups)[0]
    assert scheduler.get_lr() == [CYCLES(3)]
    after = optimizer.param_groups[0]
    assert (after["lr"], after["momentum"]) == (before["lr"], before["momentum"])


def test_warning_only_for_the_wrong_order():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scheduler = Scheduled(optimizer := sgd(), CYCLES)
        advance(optimizer, scheduler, 2)
    with pytest.warns(UserWarning, match=r"before `optimizer.step\(\)`"):
        Scheduled(sgd(), CYCLES).step()


def test_no_warning_when_the_first_update_after_a_resume_is_skipped():
    # a gradient scaler skips the optimizer's step when it meets an infinity
    scheduler = Scheduled(sgd(), CYCLES)
    scheduler.load_state_dict({"step": 3})
    scheduler.step()
    assert scheduler.get_last_lr() == [CYCLES(4)]


def test_torch_jump_to_a_step():
    scheduler = Scheduled(optimizer := sgd(), {"lr": CYCLES, "momentum": RISING})
    optimizer.step()
    with pytest.warns(UserWarning, match="epoch parameter"):
        scheduler.step(5)
    group = optimizer.param_groups[0]
    assert (group["lr"], group["momentum"]) == (CYCLES(5), RISING(5))


def test_any_function_of_the_step_will_do():
    mine = Schedule(lambda step: 1.0 / (1 + step), steps=5, name="mine")
    optimizer = sgd()
    seen = advance(optimizer, Scheduled(optimizer, warmup(mine, steps=2)), 5)
    assert [rate for rate, *_ in seen] == pytest.approx([0, 1 / 6, 1 / 3, 1 / 4, 1 / 5])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Scheduled([], CYCLES), "must be a torch Optimizer, got list"),
        (lambda: Scheduled(sgd(), {}), "expected a Schedule or a mapping to some"),
        (lambda: Scheduled(sgd(), 0.1), "expected a Schedule or a mapping to some"),
        (lambda: Scheduled(sgd(), {"lr": 0.1}), "lr: expected a Schedule, got 0.1"),
        (lambda: Scheduled(sgd(), {"lr": {}}), "lr: expected a Schedule, got {}"),
        (
            lambda: Scheduled(sgd(), {"lr": {"head": 1}}),
            "lr, head: expected a Schedule, got 1",
        ),
        (
            lambda: Scheduled(sgd(), {"momentun": CYCLES}),
            "parameter group 0 has no field 'momentun'; did you mean 'momentum'",
        ),
        (
            lambda: Scheduled(sgd(), {"beta2": CYCLES}),
            "parameter group 0 has no field 'beta2'; known: ",
        ),
        (
            lambda: Scheduled(sgd(groups()), {"lr": {"tail": CYCLES}}),
            r"lr: pattern 'tail' decides for no parameter group; .*'backbone.top', 'he",
        ),
        (
            lambda: Scheduled(sgd(groups()), {"lr": {"*": CYCLES, "head": CYCLES}}),
            "lr: pattern 'head' decides for no parameter group",
        ),
        (
            lambda: Scheduled(sgd(), CYCLES, last_epoch=-2),
            "last_epoch must be at least -1, got -2",
        ),
        (
            lambda: Scheduled(sgd(), CYCLES).load_state_dict({"last_epoch": 3}),
            "expected a state with 'step' alone, got last_epoch",
        ),
        (
            lambda: Scheduled(sgd(), CYCLES).load_state_dict({}),
            "expected a state with 'step' alone, got nothing",
        ),
        (
            lambda: Scheduled(sgd(), CYCLES).load_state_dict({"step": 1.5}),
            "step must be a whole number, got 1.5",
        ),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_bad_state_leaves_the_step_alone():
    scheduler = Scheduled(optimizer := sgd(), CYCLES)
    advance(optimizer, scheduler, 2)
    with pytest.raises(InputError):
        scheduler.load_state_dict({"step": -5})
    assert scheduler.state_dict() == {"step": 2}


def test_training_is_bit_exact_after_resume():
    def start():
        torch.manual_seed(0)
        model = torch.nn.Linear(3, 1)
        optimizer = torch.optim.SGD(model.parameters(), lr=1.0, momentum=0.9)
        return model, optimizer, Scheduled(optimizer, CYCLES)

    def train(model, optimizer, scheduler, steps):
        inputs = torch.linspace(-1, 1, 12).reshape(4, 3)
        for _ in steps:
            optimizer.zero_grad()
            model(inputs).square().mean().backward()
            optimizer.step()
            scheduler.step()

    whole, first = start(), start()
    train(*whole, range(10))
    train(*first, range(4))
    state = [copy.deepcopy(part.state_dict()) for part in first]
    second = start()
    for part, saved in zip(second, state, strict=True):
        part.load_state_dict(saved)
    train(*second, range(4, 10))
    assert torch.equal(whole[0].weight, second[0].weight)
