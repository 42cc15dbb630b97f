from itertools import pairwise

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


@given(
    steps=st.integers(40, 400),
    start=st.integers(20, 80),
    cycle=st.integers(2, 30),
)
def test_fge_takes_its_members_at_the_lowest_rates(steps, start, cycle):
    budget = Budget(steps, per_epoch=7, seed=0)
    settings = {"start": f"{start}%", "cycle": cycle, "rate": 0.05, "floor": 0.0005}
    begin = round(steps * start / 100)
    if 2 * max(1, round((steps - begin) / cycle + 0.5)) - 1 > steps - begin:
        with pytest.raises(InputError, match="do not fit into"):
            STRATEGIES["fge"].function(budget, **settings)
        return
    (trajectory,) = STRATEGIES["fge"].function(budget, **settings)
    (control,) = STRATEGIES["single"].function(budget)
    rates, ends = trajectory.schedule.values(), trajectory.member_steps()
    assert rates[:begin] == control.schedule.values()[:begin]
    assert min(rates[begin:]) == 0.0005
    assert all(rates[end - 1] == 0.0005 for end in ends)
    assert ends[-1] == steps
    gaps = [b - a for a, b in pairwise(ends)]
    assert not gaps or max(gaps) - min(gaps) <= 1


def test_a_cyclic_tail_enters_the_average_at_its_minima():
    """With whole cycles, though the tail is no multiple of the length asked for."""
    settings = {"start": "50%", "every": 7, "rate": 0.05, "floor": 0.001}
    (trajectory,) = STRATEGIES["swa"].function(BUDGET, **settings)
    (collector,) = trajectory.collectors()
    seen = [step for step in range(1, 104) if collector.wants(step)]
    rates = trajectory.schedule.values()
    assert seen[-1] == 103
    assert len(seen) == 7
    assert {rates[step - 1] for step in seen} == {0.001}
    assert {rates[step] for step in (52, *seen[:-1])} == {0.05}


def test_runs_of_a_hybrid_share_the_budget_and_differ_in_seed():
    found = STRATEGIES["hybrid"].function(BUDGET, runs=3, cycles=4)
    assert [t.steps for t in found] == [34, 34, 35]
    assert [len(t.member_steps()) for t in found] == [4, 4, 4]
    assert {t.schedule(0) for t in found} == {0.1}


def test_only_bagging_resamples():
    for name, row in STRATEGIES.items():
        for trajectory in row.function(BUDGET):
            rows = trajectory.rows(50)
            assert (rows is not None) == (name == "bagging")


@pytest.mark.parametrize("settings", [{"start": "100%"}, {"cycle": 1}, {"start": 0}])
def test_fge_without_triangles_is_refused(settings):
    with pytest.raises(RecipeError, match="leave no triangle"):
        STRATEGIES["fge"].function(BUDGET, **settings)


@pytest.mark.parametrize("settings", [{"start": "100%"}, {"start": 0}, {"every": 0}])
def test_swa_without_a_tail_is_refused(settings):
    with pytest.raises(RecipeError, match="leave no model to average"):
        STRATEGIES["swa"].function(BUDGET, **settings)
