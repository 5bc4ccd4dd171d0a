"""A task: how to make an environment, who solves it, and what a score on it means.

The rows are data in `generalist.envs.table`; an id "gym:<id>" names anything registered with Gymnasium, without a row.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import gymnasium as gym

ActionFunction = Callable[[Any], Any]
"""observation -> action"""

GYM_PREFIX = "gym:"


class UnknownTask(ValueError):  # noqa: N818 (a name, as in KeyError's relatives: the thing that was asked for)
    """No task of that id; the message lists the nearest ones."""


LAST_PYTHON = {"dm_control": ((3, 12), "dm-control needs labmaze, which has no wheel for newer Python")}
"""Extras that stop before the newest Python, and why."""


class MissingExtra(ImportError):  # noqa: N818
    """The task needs packages of an optional extra; the message is the command that installs them."""

    def __init__(self, extra: str, cause: Exception):
        last, why = LAST_PYTHON.get(extra, (sys.version_info[:2], ""))
        if sys.version_info[:2] > last:
            todo = f"It cannot be installed here: {why}. Use Python {'.'.join(map(str, last))}"
        else:
            todo = f"Install it with: pip install 'generalist[{extra}]'"
        super().__init__(f"{cause}. {todo}")
        self.extra = extra


GOOD_SUCCESS = 0.9
"""Experts that succeed less often are marked in `Task.note` and left out of the set `local`."""


@dataclass(frozen=True, kw_only=True)
class Reference:
    """Measured scores of one policy: mean and population standard deviation over consecutive evaluation seeds.

    `success` is the share of successful episodes, None where the task has no success. `length` is the mean number of
    steps of an episode, `seconds` the mean time of one with its policy, on one core of the machine that measured it.
    `versions` are those of the packages the numbers were measured with. `note` says why there are fewer than 100
    episodes, where there are.
    """

    mean: float
    std: float
    episodes: int
    first_seed: int
    success: float | None = None
    length: float | None = None
    seconds: float | None = None
    versions: dict[str, str] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Published:
    """A score that was not measured here: mean return of a policy ("human", "random") and where it is printed."""

    policy: str
    mean: float
    source: str


@dataclass(frozen=True, kw_only=True)
class Task:
    """One row of the task table. Frozen and picklable, so that it can be sent to worker processes.

    `env.reset(seed=s)` fixes the whole episode: initial state, goal and all randomness, given the same actions.

    Args:
        id: for example "CartPole-v1", "babyai/GoToObj", "metaworld/push-v3", "gym:SomeEnv-v1".
        family: the module of `generalist.envs.families` that it comes from, or gym.
        make: `make(render_mode=None)` gives the environment; a module's function or a partial of one.
        expert: called once per episode right after `env.reset`; gives the action function of that episode.
        horizon: every episode has ended (terminated or truncated) at or before this many steps.
        score: the number that is reported: the sum of rewards, or 1.0 for a success and 0.0 otherwise.
        has_success: every step's info has `info["success"]`, a bool that is true on the step that reached the goal.
        noise: default action noise while recording, the recorded action staying the expert's. Box: standard deviation
            of a Gaussian in units of half the action range. Discrete: probability of a uniformly random action.
        episodes: default number of demonstrations.
        random_reference: scores of uniformly random actions.
        expert_reference: scores of the expert.
        same_episodes_as: id of the task that plays the same episodes and shows them otherwise: its reference scores are
            this one's.
        published: scores from the literature.
        note: why there is no expert, or why it fails; what else a reader of a score should know.
        extra: the pip extra that installs it; None if the base installation is enough.
        provenance: one line: where the environment and its expert come from.
    """

    id: str
    family: str
    make: Callable[..., gym.Env]
    expert: Callable[[gym.Env], ActionFunction] | None
    horizon: int
    score: Literal["return", "success"]
    has_success: bool
    noise: float = 0.0
    episodes: int = 100
    random_reference: Reference | None = None
    expert_reference: Reference | None = None
    same_episodes_as: str = ""
    published: tuple[Published, ...] = ()
    note: str = ""
    extra: str | None = None
    provenance: str = ""

    def __post_init__(self):
        if self.horizon < 1 or self.episodes < 1:
            raise ValueError(f"{self.id}: horizon and episodes must be at least 1, got {self.horizon}, {self.episodes}")
        if self.noise < 0:
            raise ValueError(f"{self.id}: noise must be at least 0, got {self.noise}")
        if self.score not in ("return", "success"):
            raise ValueError(f"{self.id}: score must be 'return' or 'success', got {self.score!r}")
        if self.score == "success" and not self.has_success:
            raise ValueError(f"{self.id}: score 'success' needs has_success=True")


def nearest_ids(id: str, ids: list[str], count: int = 3) -> list[str]:
    """At most `count` ids like the given one, best first: by whole id, or by the part after a family's prefix."""

    def likeness(candidate: str) -> float:
        given, name = id.lower(), candidate.lower()
        pairs = [(given, name), (given.rsplit("/", 1)[-1], name.rsplit("/", 1)[-1])]
        return max(difflib.SequenceMatcher(None, a, b).ratio() for a, b in pairs)

    ranked = sorted(ids, key=lambda candidate: -likeness(candidate))
    return [candidate for candidate in ranked[:count] if likeness(candidate) > 0.55]


@contextmanager
def needs_extra(extra: str) -> Iterator[None]:
    """Around imports of optional packages: a missing one becomes `MissingExtra`."""
    try:
        yield
    except (ModuleNotFoundError, gym.error.DependencyNotInstalled) as cause:
        raise MissingExtra(extra, cause) from cause
