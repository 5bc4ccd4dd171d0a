"""Whether the last step of an RLDS episode was taken, decided by the data.

In RLDS proper (Ramos et al. 2021) the last step only holds the final observation, and its action, reward and discount
are dummies. Most builders of robots' data, and D4RL's, write one step for every action that was taken, the last too.
Nothing in the format says which it is. The rule, over a sample of episodes with two steps or more:

The last step is a dummy if in every one of them is_last is set on it (where there is such a column), its reward is
zero, NaN or missing, and its action is all zero or NaN - or in every one is the action before it again - and if that is
no chance, for one of these reasons:

1. at most one in twenty of the other steps has such an action - of at least twenty, where zero is an action like any
   other (integers and text), or where it is the action before again;
2. at most one in twenty of the other steps has no reward, while no last step has one;
3. the last discount is zero though the episode is not terminal, or so is the one before it, while at most one in twenty
   of the steps before them has a discount of zero.

Otherwise the last step was taken: then nothing is lost, and the final observation repeats the last.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RARE = 0.05
"""Share of other steps up to which what the last step looks like is no chance."""
ENOUGH = 20
"""Other steps from which a share is believed where a dummy cannot be told from an action by its looks."""


@dataclass(frozen=True, kw_only=True)
class Sampled:
    """The columns of one episode that the rule looks at, each with a leading axis of its steps.

    Args:
        actions: all numbers of the action, float64[N, A]; text as zero where it is empty and one where it is not.
        discrete: no part of the action is a real number.
        rewards, discounts: float64[N], None where there is no such column.
        last: is_last of the last step, None where there is no such column.
        terminal: is_terminal of the last step.
    """

    actions: np.ndarray
    discrete: bool
    rewards: np.ndarray | None
    discounts: np.ndarray | None
    last: bool | None
    terminal: bool

    @property
    def nothing(self) -> np.ndarray:
        """bool[N]: the action is all zero or NaN."""
        return np.all((self.actions == 0) | np.isnan(self.actions), axis=1)

    @property
    def again(self) -> np.ndarray:
        """bool[N]: the action is that of the step before."""
        return np.append(False, np.all(self.actions[1:] == self.actions[:-1], axis=1))

    @property
    def unrewarded(self) -> np.ndarray:
        """bool[N]: no reward, zero or NaN."""
        if self.rewards is None:
            return np.ones(len(self.actions), bool)
        return (self.rewards == 0) | np.isnan(self.rewards)


@dataclass(frozen=True)
class Ending:
    """Whether the last step's action and reward were taken, and a line that says why."""

    taken: bool
    why: str


def decide(sampled: Sequence[Sampled]) -> Ending:
    """The rule above."""
    episodes = [one for one in sampled if len(one.actions) > 1]
    count = len(episodes)
    if not count:
        return Ending(True, "no episode of two steps or more was found to tell from, so that nothing is lost")
    of = f"of {count} sampled episodes"
    if unmarked := sum(one.last is False for one in episodes):
        return Ending(True, f"{unmarked} {of} end without is_last")
    if rewarded := sum(not one.unrewarded[-1] for one in episodes):
        return Ending(True, f"{rewarded} {of} end with a reward")
    kinds = {
        "a zero action": [one.nothing for one in episodes],
        "the action before again": [one.again for one in episodes],
    }
    found = {kind: marks for kind, marks in kinds.items() if all(mark[-1] for mark in marks)}
    if not found:
        acted = sum(not mark[-1] for mark in kinds["a zero action"])
        return Ending(True, f"{acted} {of} end with a non-zero action")
    for kind, marks in found.items():
        least = ENOUGH if kind != "a zero action" or episodes[0].discrete else 1
        if reason := _no_chance(episodes, marks, least):
            return Ending(False, f"all {count} sampled episodes end with {kind} and no reward, {reason}")
    kind = next(iter(found))
    return Ending(True, f"all {count} sampled episodes end with {kind}, as other steps do, so that nothing is lost")


def _no_chance(episodes: Sequence[Sampled], marks: Sequence[np.ndarray], least: int) -> str:
    """Why the last steps are dummies, "" if they need not be."""
    such = np.concatenate([mark[:-1] for mark in marks])
    if len(such) >= least and such.mean() <= RARE:
        return f"as {such.sum()} of their {len(such)} other steps do"
    unrewarded = np.concatenate([one.unrewarded[:-1] for one in episodes])
    if unrewarded.mean() <= RARE:
        return f"while {(~unrewarded).sum()} of their {len(unrewarded)} other steps have one"
    if all(_closed(one) for one in episodes):
        before = np.concatenate([_discounts(one)[:-2] for one in episodes])
        if len(before) and (before == 0).mean() <= RARE:
            return "and their discounts end with a zero that no step has which is taken"
    return ""


def _closed(episode: Sampled) -> bool:
    """The discount ends as RLDS proper has it: a dummy of zero, after another zero where the episode is terminal."""
    discounts = _discounts(episode)
    return bool(discounts[-1] == 0 and (discounts[-2] == 0) == episode.terminal)


def _discounts(episode: Sampled) -> np.ndarray:
    return np.ones(len(episode.actions)) if episode.discounts is None else episode.discounts
