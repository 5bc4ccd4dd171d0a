"""Rollouts: every episode is fixed by its seed, whatever runs beside it."""

from dataclasses import replace

import numpy as np
import pytest
from in_place import STEPS, Shared, in_place

from generalist.eval.baselines.constant import ConstantPolicy, ExpertPolicy, RandomPolicy
from generalist.play.rollout import rollout, scores

SEEDS = [11, 5, 99, 3, 42, 7, 8]


def told(results):
    return [(r.seed, r.episode_return, r.length, r.success, r.terminated, r.truncated) for r in results]


@pytest.mark.parametrize("make", [RandomPolicy, lambda: ConstantPolicy("right", 1), None])
def test_results_do_not_depend_on_the_number_of_slots(corridor, make):
    policy = (lambda: ExpertPolicy(corridor)) if make is None else make
    alone = rollout(corridor, policy(), SEEDS, slots=1)
    assert told(alone) == told(rollout(corridor, policy(), SEEDS, slots=4))
    assert told(alone) == told(rollout(corridor, policy(), SEEDS, slots=50))
    assert [r.seed for r in alone] == SEEDS


def test_a_result_is_that_of_a_plain_loop(corridor):
    [result] = rollout(corridor, ConstantPolicy("right", 1), [3], slots=2)
    env = corridor.make()
    env.reset(seed=3)
    total, length, ended = 0.0, 0, False
    while not ended:
        _, reward, terminated, truncated, _ = env.step(1)
        total, length, ended = total + reward, length + 1, terminated or truncated
    assert (result.episode_return, result.length) == (total, length)
    assert (result.terminated, result.truncated, result.success) == (terminated, truncated, True)


def test_truncated_is_not_terminated(corridor):
    [result] = rollout(corridor, ConstantPolicy("left", 0), [3], slots=1)
    assert (result.terminated, result.truncated, result.success, result.length) == (False, True, False, 30)


def test_the_policy_sees_active_slots_in_order_and_every_reset(corridor):
    class Watcher:
        def __init__(self):
            self.resets, self.calls = [], []

        def attach(self, slots):
            self.slots = slots

        def reset(self, index):
            self.resets.append((index, self.slots[index].seed))

        def act(self, observations, active):
            self.calls.append(list(active))
            for observation, index in zip(observations, active, strict=True):
                np.testing.assert_array_equal(observation, self.slots[index].observation)
            return [1] * len(active)

    policy = Watcher()
    rollout(corridor, policy, SEEDS, slots=3)
    assert sorted(seed for _, seed in policy.resets) == sorted(SEEDS)
    assert {index for index, _ in policy.resets} == {0, 1, 2}
    assert max(map(len, policy.calls)) == 3
    assert len(policy.calls[-1]) < 3


def test_progress_and_steps_are_reported_and_environments_closed(corridor):
    made, done, steps = [], [], []

    def make(render_mode=None):
        made.append(corridor.make())
        return made[-1]

    watched = replace(corridor, make=make)
    policy = ConstantPolicy("right", 1)
    results = rollout(watched, policy, SEEDS, slots=2, progress=done.append, on_step=lambda *step: steps.append(step))
    assert len(made) == 2
    assert all(env.closed for env in made)
    assert sorted(r.seed for r in done) == sorted(SEEDS)
    assert len(steps) == sum(r.length for r in results)
    assert sum(reward for *_, reward in steps) == pytest.approx(sum(r.episode_return for r in results))
    np.testing.assert_array_equal([observation.sum() for _, observation, _, _ in steps], 10)


def test_bad_calls_are_refused(corridor):
    class Short(ConstantPolicy):
        def act(self, observations, active):
            return [1]

    with pytest.raises(ValueError, match="at least 1 slot"):
        rollout(corridor, RandomPolicy(), SEEDS, slots=0)
    with pytest.raises(ValueError, match="1 actions for 2 slots"):
        rollout(corridor, Short("short", 1), SEEDS, slots=2)
    with pytest.raises(RuntimeError, match="after its horizon of 5"):
        rollout(replace(corridor, horizon=5), ConstantPolicy("left", 0), SEEDS, slots=2)
    assert rollout(corridor, RandomPolicy(), [], slots=2) == []


def test_scores(corridor):
    results = rollout(corridor, ConstantPolicy("right", 1), SEEDS, slots=4)
    np.testing.assert_array_equal(scores(results, "return"), [r.episode_return for r in results])
    np.testing.assert_array_equal(scores(results, "success"), [float(r.success) for r in results])
    silent = rollout(replace(corridor, has_success=False, score="return"), RandomPolicy(), SEEDS[:2], slots=1)
    assert [r.success for r in silent] == [None, None]
    with pytest.raises(ValueError, match="score by 'return'"):
        scores(silent, "success")


def test_an_action_that_the_environment_changes_is_given_again_as_it_was():
    action = {"arm": np.float32([0.5, 0.25]), "grip": np.array([2, 1])}
    told = []

    def on_step(slot, before, action, reward):
        told.append((before["state"].tolist(), action["arm"].tolist(), action["grip"].tolist(), reward))
        before["state"][:] = -1
        action["arm"][:] = -1

    class Fresh(ConstantPolicy):
        def act(self, observations, active):
            for each in observations:
                each["state"] += 7
            return [{name: value.copy() for name, value in self.action.items()} for _ in active]

    plain = rollout(in_place(), ConstantPolicy("half", action), [3, 4], slots=2)
    assert [each.episode_return for each in plain] == [5.5 * STEPS, 6.5 * STEPS]
    again = rollout(in_place(), Fresh("half", action), [3, 4], slots=1, on_step=on_step)
    assert [each.episode_return for each in again] == [5.5 * STEPS, 6.5 * STEPS]
    assert told[:STEPS] == [([3.0, float(step)], [0.5, 0.25], [2, 1], 5.5) for step in range(STEPS)]
    expert = rollout(in_place(), ExpertPolicy(in_place()), [3], slots=1)
    assert [each.episode_return for each in expert] == [5.5 * STEPS]


def test_environments_may_share_what_they_show():
    seen = []

    class Watcher(ConstantPolicy):
        def act(self, observations, active):
            seen.extend(each.tolist() for each in observations)
            return super().act(observations, active)

    befores = []
    task = in_place(make=Shared, expert=None, has_success=False)
    rollout(task, Watcher("x", 1), [3, 4], slots=2, on_step=lambda slot, before, *_: befores.append(before.tolist()))
    assert seen == befores == [[float(number), float(step)] for step in range(STEPS) for number in (3, 4)]
