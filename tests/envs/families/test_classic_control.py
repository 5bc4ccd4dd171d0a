import numpy as np
import pytest

from generalist.envs.families import classic_control
from generalist.envs.table import find_task


@pytest.mark.parametrize("position", np.linspace(-0.6, -0.4, 9))
def test_the_mountain_car_arrives_from_every_start(position):
    env = classic_control.make_mountain_car()
    env.reset(seed=0)
    env.unwrapped.state = np.array([position, 0.0])
    act, observation = classic_control.mountain_car_expert(env), np.array([position, 0.0])
    for _ in range(107):
        observation, _, terminated, _, info = env.step(act(observation))
        if terminated:
            assert info["success"]
            return
    pytest.fail("not there after 107 steps")


@pytest.mark.parametrize("angle", [np.pi, 2.0, -1.0, 0.1])
def test_the_pendulum_is_held_upright(angle):
    env = classic_control.make_pendulum()
    env.reset(seed=0)
    env.unwrapped.state = np.array([angle, 0.0])
    act = classic_control.pendulum_expert(env)
    observation = np.array([np.cos(angle), np.sin(angle), 0.0])
    for _ in range(199):
        observation, *_ = env.step(act(observation))
    assert observation[0] > 0.999


@pytest.mark.parametrize("id", ["MountainCar-v0", "MountainCarContinuous-v0"])
def test_the_flag_is_a_success_and_running_out_of_time_is_not(id):
    task = find_task(id)
    env = task.make()
    observation, _ = env.reset(seed=0)
    act, over = task.expert(env), False
    while not over:
        observation, _, terminated, truncated, info = env.step(act(observation))
        over = terminated or truncated
        assert info["success"] == terminated
    assert (terminated, truncated) == (True, False)
