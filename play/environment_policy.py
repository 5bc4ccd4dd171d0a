"""A policy that is called with what one environment shows, or a batch of them: `Agent.policy` gives it."""

from typing import Any

import gymnasium as gym
import numpy as np

from generalist.play.policy import AgentPolicy


class EnvironmentPolicy:
    """Call it with an observation (a batch of them for a vector environment) to get the action.

    `reset` it at the start of an episode; a fresh one needs no reset before its first.
    """

    def __init__(self, policy: AgentPolicy, *, vector: bool):
        self.policy, self.vector = policy, vector

    def reset(self, where: Any = None) -> None:
        """Forget the episodes of the given slots: indices or a mask, all by default."""
        slots = np.arange(self.policy.slots)
        for index in slots if where is None else np.atleast_1d(slots[np.asarray(where)]):
            self.policy.reset(int(index))

    def __call__(self, observation: Any, reward: Any = None) -> Any:
        """The action in one environment, or the batched actions of a vector environment.

        Args:
            reward: what the last action brought (of each environment). An agent that is shown what its episode will
                still return needs it at every step but an episode's first, where it is not looked at.

        Raises:
            ValueError: it is needed, and not given.
        """
        space = self.policy.layout.action_space
        single = list(gym.vector.utils.iterate(_batched(self.policy), observation)) if self.vector else [observation]
        active = list(range(len(single)))
        if self.policy.target is not None:
            self._receive(reward, active)
        actions = self.policy.act(single, active)
        if not self.vector:
            return actions[0]
        empty = gym.vector.utils.create_empty_array(space, n=len(actions))
        return gym.vector.utils.concatenate(space, actions, empty)

    def _receive(self, reward: Any, active: list[int]) -> None:
        going_on = [slot for slot in active if self.policy.step[slot]]
        if going_on and reward is None:
            raise ValueError(
                "this agent is shown what its episode will still return: give it the reward of its last action, "
                "policy(observation, reward)"
            )
        if going_on:
            self.policy.receive(np.broadcast_to(reward, len(active))[going_on], going_on)


def _batched(policy: AgentPolicy) -> gym.Space:
    return gym.vector.utils.batch_space(policy.layout.observation_space, policy.slots)
