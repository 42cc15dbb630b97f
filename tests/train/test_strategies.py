import pytest
from hypothesis import given
from hypothesis import strategies as st

from dale.errors import InputError, RecipeError
from dale.train import STRATEGIES, Budget

BUDGET = Budget(steps=103, per_epoch=10, seed=5)


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_spends_what_its_row_says(name):
    trajectories = STRATEGIES[name].function(BUDGET)
    spent = sum(trajectory.steps for trajectory in trajectories)
    budgets = {"one": 1, "one for each member": len(trajectories)}
    assert spent == BUDGET.steps * budgets[STRATEGIES[name].budgets]


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_trajectory_ends_with_a_member(name):
    for trajectory in STRATEGIES[name].function(BUDGET):
        assert trajectory.member_steps()[-1] == trajectory.steps
        assert trajectory.group == name


@pytest.mark.parametrize("name", STRATEGIES)
def test_names_and_first_seed(name):
    trajectories = STRATEGIES[name].function(BUDGET)
    assert len({t.name for t in trajectories}) == len(trajectories)
    assert len({t.seed for t in trajectories}) == len(trajectories)
    assert trajectories[0].seed == BUDGET.seed


@given(steps=st.integers(1, 400), cycles=st.integers(1, 12))
def test_snapshots_are_taken_where_the_rate_is_least(steps, cycles):
    budget = Budget(steps, per_epoch=7, seed=0)
    if cycles > steps:
        with pytest.raises(InputError, match="do not fit into"):
            STRATEGIES["snapshot"].function(budget, cycles=cycles)
        return
    (trajectory,) = STRATEGIES["snapshot"].function(budget, cycles=cycles)
    ends = trajectory.member_steps()
    assert ends == list(trajectory.schedule.ends)
    for start, end in zip([0, *ends], ends, strict=False):
        rates = trajectory.schedule.values()[start:end]
        assert rates[0] == 0.1
        assert min(rates) == rates[-1]


@given(steps=st.integers(1, 300), members=st.integers(1, 9))
def test_members_without_cycles_are_at_equal_distances(steps, members):
    budget = Budget(steps, per_epoch=7, seed=0)
    if members > steps:
        with pytest.raises(RecipeError, match="do not fit into"):
            STRATEGIES["nocycle"].function(budget, members=members)
        return
    (trajectory,) = STRATEGIES["nocycle"].function(budget, members=members)
    ends = trajectory.member_steps()
    gaps = [b - a for a, b in zip([0, *ends], ends, strict=False)]
    assert len(ends) == members
    assert max(gaps) - min(gaps) <= 1


def test_nocycle_and_single_walk_the_same_way():
    (one,) = STRATEGIES["single"].function(BUDGET)
    (many,) = STRATEGIES["nocycle"].function(BUDGET)
    assert one.schedule.values() == many.schedule.values()
    assert one.seed == many.seed


def test_a_warm_up_changes_no_member_step():
    (plain,) = STRATEGIES["snapshot"].function(BUDGET)
    (warmed,) = STRATEGIES["snapshot"].function(BUDGET, warmup="1 epoch")
    assert warmed.member_steps() == plain.member_steps()
    assert warmed.schedule.values()[10:] == plain.schedule.values()[10:]
    assert warmed.schedule(0) < plain.schedule(0)


@pytest.mark.parametrize("settings", [{"start": "100%"}, {"start": 0}, {"every": 0}])
def test_swa_without_a_tail_is_refused(settings):
    with pytest.raises(RecipeError, match="leave no model to average"):
        STRATEGIES["swa"].function(BUDGET, **settings)
