import gymnasium as gym
import numpy as np
import pytest

from generalist.envs.families import minigrid

TASKS = {task.id: task for task in minigrid.TASKS}
tasks = pytest.mark.parametrize("task", minigrid.TASKS, ids=TASKS.keys())

ONE_OF_EACH = [
    "minigrid/Empty-Random-6x6",
    "minigrid/FourRooms",
    "minigrid/LavaCrossingS9N2",
    "minigrid/SimpleCrossingS9N3",
    "minigrid/LavaGapS6",
    "minigrid/DistShift2",
    "minigrid/MultiRoom-N4-S5-v1",
    "minigrid/DoorKey-8x8",
    "minigrid/LockedRoom",
    "minigrid/Dynamic-Obstacles-6x6",
    "minigrid/Fetch-8x8-N3",
    "minigrid/GoToDoor-6x6",
    "minigrid/GoToObject-8x8-N2",
    "minigrid/PutNear-8x8-N3",
    "minigrid/RedBlueDoors-6x6",
    "minigrid/MemoryS13Random",
    "minigrid/Unlock",
    "minigrid/UnlockPickup",
    "minigrid/BlockedUnlockPickup",
    "minigrid/KeyCorridorS3R1",
    "minigrid/KeyCorridorS4R3",
    "minigrid/ObstructedMaze-1Dlhb",
    "minigrid/ObstructedMaze-2Dlh",
    "minigrid/ObstructedMaze-Full-v1",
]


def play(task, env, seed: int, noise: float = 0.0) -> tuple[list[int], float, bool]:
    """Actions, last reward and success of an episode."""
    observation, _ = env.reset(seed=seed)
    act, actions, over, rng = task.expert(env), [], False, np.random.default_rng(seed)
    while not over:
        actions.append(act(observation))
        executed = int(rng.integers(3)) if rng.random() < noise else actions[-1]
        observation, reward, terminated, truncated, info = env.step(executed)
        over = terminated or truncated
    assert len(actions) <= task.horizon
    assert info["success"] == (reward > 0)
    return actions, reward, info["success"]


def test_every_registered_level_is_listed_or_named_as_missing():
    minigrid.make("Empty-5x5-v0")
    registered = {id for id in gym.registry if id.startswith("MiniGrid-") and "WFC" not in id} - {
        "MiniGrid-Playground-v0"
    }
    assert {f"MiniGrid-{task.make.args[0]}" for task in minigrid.TASKS} == registered
    assert len(TASKS) == len(minigrid.TASKS) == 75
    assert {"minigrid/MultiRoom-N4-S5", "minigrid/MultiRoom-N4-S5-v1"} < TASKS.keys()


@tasks
def test_the_horizon_is_the_levels_own_and_observations_are_in_the_space(task):
    env = task.make()
    observation, _ = env.reset(seed=0)
    assert env.unwrapped.max_steps == task.horizon
    assert observation["image"].shape == (56, 56, 3)
    assert env.observation_space.contains(observation)
    observation, *_, info = env.step(0)
    assert env.observation_space.contains(observation)
    assert info["success"] is False


@pytest.mark.parametrize("id", ONE_OF_EACH)
def test_the_expert_solves_it(id):
    task = TASKS[id]
    env = task.make()
    assert all(play(task, env, seed)[2] for seed in range(4))


@pytest.mark.parametrize("id", ONE_OF_EACH[::3])
def test_the_same_seed_is_the_same_episode(id):
    """Also in an environment in which another episode was left in the middle."""
    task = TASKS[id]
    fresh, used = task.make(), task.make()
    observation, _ = used.reset(seed=7)
    act = task.expert(used)
    for _ in range(3):
        observation, *_ = used.step(act(observation))
    for seed in (1, 2):
        assert play(task, used, seed)[:2] == play(task, fresh, seed)[:2]
    images = [fresh.reset(seed=1)[0]["image"], used.reset(seed=1)[0]["image"]]
    assert np.array_equal(*images)


@pytest.mark.parametrize(
    "id", ["minigrid/DoorKey-6x6", "minigrid/BlockedUnlockPickup", "minigrid/KeyCorridorS3R3", "minigrid/MemoryS9"]
)
def test_the_expert_copes_with_actions_that_are_not_its_own(id):
    """A third of the actions are random turns and steps. In Memory they may end the episode at the wrong object."""
    task = TASKS[id]
    env = task.make()
    solved = [play(task, env, seed, noise=0.33)[2] for seed in range(6)]
    assert sum(solved) >= (4 if "Memory" in id else 6)


def test_a_wrong_end_is_no_success():
    env = minigrid.make("GoToDoor-5x5-v0")
    env.reset(seed=0)
    x, y = env.unwrapped.target_pos
    assert abs(env.unwrapped.agent_pos[0] - x) + abs(env.unwrapped.agent_pos[1] - y) > 1
    _, reward, terminated, truncated, info = env.step(6)
    assert (reward, terminated, truncated, info["success"]) == (0, True, False, False)
    env = minigrid.make("Dynamic-Obstacles-5x5-v0")
    env.reset(seed=0)
    env.unwrapped.grid.set(2, 1, env.unwrapped.obstacles[0])
    _, reward, terminated, truncated, info = env.step(2)
    assert (reward, terminated, truncated, info["success"]) == (-1, True, False, False)


def test_the_memory_expert_looks_at_the_object_before_it_chooses():
    task = TASKS["minigrid/MemoryS13"]
    env = task.make()
    for seed in range(10):
        observation, _ = env.reset(seed=seed)
        base = env.unwrapped
        act, over, seen = task.expert(env), False, False
        while not over:
            seen = seen or base.agent_sees(1, base.height // 2 - 1)
            observation, _, terminated, truncated, info = env.step(act(observation))
            over = terminated or truncated
        assert seen
        assert info["success"]


def test_a_mission_without_the_extra_names_it(monkeypatch):
    import sys

    from generalist.envs.task import MissingExtra

    monkeypatch.setitem(sys.modules, "minigrid", None)
    with pytest.raises(MissingExtra, match=r"generalist\[babyai\]"):
        minigrid.make("Empty-5x5-v0")


@pytest.mark.parametrize("id", ["minigrid/UnlockPickup", "minigrid/BlockedUnlockPickup", "minigrid/PutNear-6x6-N2"])
def test_an_expert_whose_target_is_gone_turns_on_the_spot(id):
    """A box that a noisy action opens is no more; its episode ends as a failure, and the next begins."""
    env = TASKS[id].make()
    expert = TASKS[id].expert(env)
    env.reset(seed=0)
    base = env.unwrapped
    for x, y in np.ndindex(base.width, base.height):
        thing = base.grid.get(x, y)
        if thing is not None and thing.type not in ("wall", "door"):
            base.grid.set(x, y, None)

    assert [expert({}) for _ in range(3)] == [0, 0, 0]
    env.close()
