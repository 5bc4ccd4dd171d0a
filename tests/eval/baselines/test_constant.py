"""Random, expert and constant policies."""

from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from generalist.eval.baselines import constant
from generalist.eval.baselines.constant import (
    ConstantPolicy,
    ExpertPolicy,
    RandomPolicy,
    best_constant,
    constant_candidates,
)
from generalist.play.rollout import rollout


def actions_of(task, policy, seeds, slots):
    told = {seed: [] for seed in seeds}
    rollout(task, policy, seeds, slots=slots, on_step=lambda slot, _, action, __: told[slot.seed].append(int(action)))
    return told


def test_random_actions_come_from_the_seed_and_differ_between_seeds(corridor):
    first = actions_of(corridor, RandomPolicy(), range(6), slots=2)
    assert first == actions_of(corridor, RandomPolicy(), range(6), slots=5)
    assert len({tuple(actions[:10]) for actions in first.values()}) == 6
    everything = np.concatenate(list(first.values()))
    assert 0.3 < everything.mean() < 0.7


def test_random_actions_are_not_the_environments_own_draws():
    """An environment seeded with s draws from the stream of s; a policy on the same stream would know what comes."""
    env = gym.make("FrozenLake8x8-v1")
    shared = env.action_space
    shared.seed(5)

    class Slot:
        seed = 5

    slot = Slot()
    slot.env = env
    policy = RandomPolicy()
    policy.attach([slot])
    policy.reset(0)
    assert [policy.act([0], [0])[0] for _ in range(20)] != [shared.sample() for _ in range(20)]


def test_the_expert_is_made_after_each_reset(corridor):
    seen = []

    def expert(env):
        seen.append(int(env.unwrapped.place))
        return lambda observation: 1

    task = replace(corridor, expert=expert)
    results = rollout(task, ExpertPolicy(task), range(5), slots=2)
    starts = [corridor.make().reset(seed=seed)[0][0] for seed in range(5)]
    assert sorted(seen) == sorted(starts)
    assert np.mean([r.success for r in results]) == 1
    with pytest.raises(ValueError, match="has no expert"):
        ExpertPolicy(replace(corridor, expert=None))


def test_candidates_of_a_small_discrete_space_are_all_actions():
    found = constant_candidates(spaces.Discrete(5, start=2), np.array([3, 3, 4]))
    assert [int(one.action) for one in found] == [2, 3, 4, 5, 6]


def test_candidates_of_a_large_discrete_space_are_the_commonest():
    shown = np.repeat(np.arange(100), np.arange(1, 101))
    found = [int(one.action) for one in constant_candidates(spaces.Discrete(100), shown)]
    assert found == list(range(99, 67, -1))


def test_candidates_of_a_box():
    space = spaces.Box(np.array([-1, 0], np.float32), np.array([3, np.inf], np.float32))
    shown = np.array([[0.0, 1.0], [0.0, 1.0], [3.0, 4.0]], np.float32)
    found = {one.name: one.action.tolist() for one in constant_candidates(space, shown)}
    assert found["zero"] == [0, 0]
    assert found["middle of the range"] == [1, 2]
    assert "mean of the demonstrations" not in found  # it is the middle of the range
    assert found["median of the demonstrations"] == [0, 1]
    assert found["lowest"] == [-1, 0]
    assert found["highest"] == [3, 4]
    actions = [tuple(one.action.tolist()) for one in constant_candidates(space, shown)]
    assert len(actions) == len(set(actions))
    assert {(-1, 4), (3, 0)} <= set(actions)


@pytest.mark.parametrize(
    "space",
    [
        spaces.MultiDiscrete([3, 4]),
        spaces.MultiBinary(3),
        spaces.Dict(a=spaces.Discrete(3), b=spaces.Box(-1, 1, (2,), np.float32)),
        spaces.Tuple([spaces.Discrete(3), spaces.MultiBinary(2)]),
    ],
)
def test_candidates_lie_in_their_space(space):
    space.seed(0)
    rows = [space.sample() for _ in range(20)]

    def stacked(part, pick):
        if isinstance(part, spaces.Dict):
            return {key: stacked(part[key], lambda row, key=key: pick(row)[key]) for key in part.spaces}
        if isinstance(part, spaces.Tuple):
            return tuple(stacked(s, lambda row, i=i: pick(row)[i]) for i, s in enumerate(part.spaces))
        return np.stack([np.asarray(pick(row)) for row in rows])

    found = constant_candidates(space, stacked(space, lambda row: row))
    assert len(found) > 3
    assert all(space.contains(one.action) for one in found)


def test_the_best_constant_is_found_and_ties_go_by_return(corridor):
    candidates = constant_candidates(corridor.make().action_space, np.array([0, 1]))
    assert best_constant(corridor, candidates, range(3)).action == 1
    hopeless = [ConstantPolicy("left", 0), ConstantPolicy("also left", 0)]
    assert best_constant(corridor, hopeless, range(2)).name == "left"
    with pytest.raises(ValueError, match="needs candidates and seeds"):
        best_constant(corridor, candidates, [])


def test_most_episodes_are_spent_on_the_constants_that_may_be_chosen(corridor, monkeypatch):
    played = []

    def counted(task, policy, seeds, **settings):
        played.append((policy.name, list(seeds)))
        return rollout(task, policy, seeds, **settings)

    monkeypatch.setattr(constant, "rollout", counted)
    candidates = [*(ConstantPolicy(f"left {number}", 0) for number in range(3)), ConstantPolicy("right", 1)]
    assert best_constant(corridor, candidates, range(10, 15)).name == "right"
    assert played[:4] == [(each.name, [10]) for each in candidates]
    assert played[4:6] == [("left 0", [11]), ("right", [11])]
    assert played[6:] == [("right", [12, 13]), ("right", [14])]
