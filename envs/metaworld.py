"""Meta-World with episodes that are a function of the reset seed and end at the first success.

Meta-World's own `reset(seed=s)` ignores the seed, draws from 50 goals fixed at construction, and never terminates. Here
the seed draws the initial state and goal anew from the task's whole range, with the goal visible (as in MT1).
"""

import warnings
from functools import cache
from typing import Any

import gymnasium as gym
import numpy as np

from generalist.envs.headless import prepare_mujoco
from generalist.envs.task import ActionFunction, needs_extra

HORIZON = 500


def make(name: str, render_mode: str | None = None) -> gym.Env:
    """A Meta-World task by its name, for example "push-v3". State float64[39], actions float32[4] in [-1, 1]."""
    if render_mode is not None:
        prepare_mujoco()
    with needs_extra("metaworld"):
        from metaworld.env_dict import ALL_V3_ENVIRONMENTS
    kind: Any = ALL_V3_ENVIRONMENTS[name]
    env = kind(render_mode=render_mode, camera_name="corner2", width=240, height=240)
    env.max_path_length = HORIZON
    return SeededEpisodes(env)


class SeededEpisodes(gym.Wrapper):
    """Goal, initial state and all that follows from the reset seed; terminates at the first success.

    Without a seed the episodes continue the stream of the last one, as everywhere in Gymnasium.
    """

    def __init__(self, env: gym.Env):
        super().__init__(env)
        base: Any = env.unwrapped
        base._set_task_called = True
        base._partially_observable = False
        # The space is cached by the property that depends on the line above.
        base.__dict__.pop("sawyer_observation_space", None)
        self.observation_space = base.sawyer_observation_space
        base.observation_space = self.observation_space
        base.seeded_rand_vec = True

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        base: Any = self.env.unwrapped
        if seed is not None:
            base.seed(seed)
        # The draw happens inside reset_model, with rejection rules of the task's own.
        base._freeze_rand_vec = False
        base.reset_model()
        # With the draw frozen, reset runs reset_model twice more from MuJoCo's initial data, so that neither the
        # simulator nor the model keeps a trace of the episode before.
        base._freeze_rand_vec = True
        observation, info = self.env.reset(options=options)
        return observation, info

    def step(self, action: Any):
        observation, reward, _, truncated, info = self.env.step(np.asarray(action, np.float32))
        success = bool(info["success"])
        return observation, float(reward), success, truncated, {**info, "success": success}

    def render(self):
        """A frame uint8[240, 240, 3], the right way up: the camera hangs upside down in Meta-World's model."""
        frame: Any = self.env.render()
        return None if frame is None else np.ascontiguousarray(frame[::-1, ::-1])


def scripted_expert(env: gym.Env) -> ActionFunction:
    """Meta-World's scripted policy of the task (a function of the observation), clipped to the action space."""
    policy = _policy(type(env.unwrapped).__name__)

    def act(observation: np.ndarray) -> np.ndarray:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "Constant(s) may be too high": the clipping below is meant
            # A copy, because some of the policies write into the observation (door-open moves the handle by 5 cm).
            action = policy.get_action(np.array(observation))
        return np.clip(action, -1, 1).astype(np.float32)

    return act


def door_open_expert(env: gym.Env) -> ActionFunction:
    """The three stages of Meta-World's SawyerDoorOpenV3Policy, pulling 5 cm further.

    The scripted policy stalls against the handle in 6 of 100 episodes over the whole range of door positions.
    """

    def act(observation: np.ndarray) -> np.ndarray:
        hand, handle = observation[:3], observation[4:7] - np.array([0.05, 0, 0])
        if np.linalg.norm(hand[:2] - handle[:2]) > 0.12:
            target = handle + np.array([0.06, 0.02, 0.2])
        elif abs(hand[2] - handle[2]) > 0.04:
            target = handle + np.array([0.06, 0.02, 0.0])
        else:
            target = handle - np.array([0.05, 0.0, 0.0])
        move, closed_gripper = 25 * (target - hand), [1.0]
        return np.clip(np.concatenate([move, closed_gripper]), -1, 1).astype(np.float32)

    return act


@cache
def _policy(environment: str) -> Any:
    from metaworld.env_dict import ALL_V3_ENVIRONMENTS
    from metaworld.policies import ENV_POLICY_MAP

    names = {kind.__name__: name for name, kind in ALL_V3_ENVIRONMENTS.items()}
    return ENV_POLICY_MAP[names[environment]]()
