"""How often the agent would do what the expert does, on the states that the expert visits."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from generalist.envs.spaces import own
from generalist.envs.task import Task
from generalist.eval.baselines.constant import ExpertPolicy
from generalist.play.policy import AgentPolicy, stack_observations
from generalist.play.rollout import Slot, rollout
from generalist.tokenizers.continuous import ContinuousField
from generalist.tokenizers.layout import Layout
from generalist.tokenizers.space import pick
from generalist.tokenizers.text import TextField

TOLERANCE = 0.1
"""Continuous values agree if they differ by at most this part of half their range."""


class _Shadowed:
    """Plays the expert and asks the agent at every step what it would have done."""

    def __init__(self, expert: ExpertPolicy, agent: AgentPolicy):
        self.expert, self.agent = expert, agent
        self.agreed: list[np.ndarray] = []

    def attach(self, slots: Sequence[Slot]) -> None:
        self.expert.attach(slots)
        self.agent.attach(slots)

    def reset(self, index: int) -> None:
        self.expert.reset(index)
        self.agent.reset(index)

    def act(self, observations: list[Any], active: list[int]) -> list[Any]:
        expert = self.expert.act(own(observations), active)
        agent = self.agent.act(observations, active)
        self.agreed.append(_agree(self.agent.layout, expert, agent))
        self.agent.correct(expert, active)
        return expert


def _agree(layout: Layout, expert: list[Any], agent: list[Any]) -> np.ndarray:
    """bool[n]: whether all texts of two actions are the same, and all other tokens agree."""
    both = [stack_observations(layout.action_space, actions) for actions in (expert, agent)]
    agreed = np.ones(len(expert), np.bool_)
    for part, *_ in layout.action_spans:
        mine, theirs = (pick(actions, part.leaf) for actions in both)
        if isinstance(part, TextField):  # what an agent wrote may have more ids than it wrote it in
            agreed &= np.array([one == other for one, other in zip(mine, theirs, strict=True)])
        else:
            allowed = TOLERANCE * layout.vocabulary.bins / 2 * isinstance(part, ContinuousField)
            agreed &= np.all(np.abs(part.encode(mine) - part.encode(theirs)) <= allowed, axis=1)
    return agreed


def action_agreement(task: Task, policy: AgentPolicy, seeds: Sequence[int]) -> float:
    """Share of the expert's steps at which the agent, shown the same past and observation, chooses the same action."""
    shadowed = _Shadowed(ExpertPolicy(task), policy)
    rollout(task, shadowed, seeds, slots=min(len(seeds), policy.slots))
    return float(np.concatenate(shadowed.agreed).mean())
