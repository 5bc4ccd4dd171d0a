"""What an agent predicts of demonstrations that no environment plays: errors of its actions, beside plain predictions.

Held-out episodes are shown step by step, with the demonstrated past, and what the agent would do is compared with what
the demonstrator did, every dimension in the data's own units. It is no score of play: an agent that errs by little at
each step may still fail, and one that chooses another good way errs by much.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from generalist.agent.config import DecodeConfig
from generalist.demonstrations.columns import Columns as Steps
from generalist.demonstrations.storage import Demonstrations, dataset_folder
from generalist.envs.spaces import is_text, space_leaves, take
from generalist.eval.baselines.actions import ActionColumns, Columns, action_columns
from generalist.eval.baselines.features import leaves
from generalist.eval.baselines.fit import PLAIN, drawn_steps, fit_baseline, steps_of
from generalist.eval.config import EvaluationConfig
from generalist.eval.report.statistics import bootstrap_mean_ci
from generalist.eval.trained_on import trained_on
from generalist.play.agent import Agent
from generalist.play.policy import AgentPolicy
from generalist.tokenizers.space import leaves as named_leaves
from generalist.train.metrics import read_metrics

MOST_STEPS = 1000
"""Of an episode, its first so many steps are looked at."""
MOST_ACTIONS = 200_000
"""The constant prediction is that of the actions of at most so many steps."""
TOGETHER = 256
"""Steps that a fitted prediction reads at a time."""
POLICIES = ("agent", "constant", *PLAIN)


@dataclass(frozen=True, kw_only=True)
class Shown:
    """The episodes that are measured: their rows among the steps of a data set, and what was done there.

    Args:
        episodes: rows int64[length] of each.
        held_out: whether none of them was trained on.
        training: the episodes that were, by their numbers.
    """

    steps: Steps
    episodes: tuple[np.ndarray, ...]
    held_out: bool
    training: np.ndarray


def offline_entry(
    agent: Agent, task_id: str, data: Path, config: EvaluationConfig, *, why: str, done: Callable[[str], None]
) -> dict[str, Any]:
    """`measure_offline` of the demonstrations under `data`, and in `measured_in_training` what training measured on its
    held-out episodes at this checkpoint, None where it held none out. `done` is told the task's id when it is over.
    """
    entry = measure_offline(agent, task_id, Demonstrations.open(dataset_folder(data, task_id)), config, why=why)
    lines = read_metrics(agent.run.directory / "metrics.jsonl")
    done(task_id)
    seen = next((line["held_out"] for line in reversed(lines) if line["step"] == agent.step and "held_out" in line), {})
    return entry | {"measured_in_training": seen.get("sources", {}).get(task_id)}


def measure_offline(
    agent: Agent, task_id: str, demonstrations: Demonstrations, config: EvaluationConfig, *, why: str
) -> dict[str, Any]:
    """One entry of a report's `offline`.

    Args:
        why: the task is not played.

    Returns:
        `id`, `why`, `episodes`, `steps`, `held_out` (False: nothing was, and these were trained on), `dimensions`: of
        each `name`, `kind` ("error": mean absolute error; "missed": share of steps at which another class was chosen),
        `spread` (standard deviation of the numbers; share of steps without the commonest class) and the `policies`'
        `value` and `ci95`; and `relative`: of each policy, the mean over dimensions of its error divided by that of the
        best constant, which is 1. Intervals are over episodes. `dimensions` are none for actions that are text.

    Raises:
        ValueError: the data are not those of the training, or other spaces.
    """
    layout, _ = agent.layout(task_id)
    _check_same_data(agent, task_id, demonstrations)
    shown = choose(agent, task_id, demonstrations, config.episodes)
    entry = {
        "id": task_id,
        "why": why,
        "episodes": len(shown.episodes),
        "steps": int(sum(map(len, shown.episodes))),
        "held_out": shown.held_out,
    }
    if any(is_text(leaf) for _, leaf in space_leaves(layout.action_space)):
        return entry | {"dimensions": [], "relative": {}}
    columns = action_columns(layout.action_space)
    done = [columns.encode(shown.steps.actions(rows)) for rows in shown.episodes]
    found = {"agent": agent_predictions(_policy(agent, task_id, demonstrations, shown, config), shown, columns)}
    found |= _plain(demonstrations, shown, columns)
    errors = {name: _errors(done, predicted) for name, predicted in found.items()}
    return entry | {
        "dimensions": _dimensions(columns, done, errors),
        "relative": {name: _interval(values) for name, values in _relative(errors).items()},
    }


def _check_same_data(agent: Agent, task_id: str, demonstrations: Demonstrations) -> None:
    trained = agent.run.episodes.get(task_id)
    if trained is not None and trained != len(demonstrations):
        raise ValueError(
            f"{demonstrations.folder} has {len(demonstrations)} episodes, the agent was trained when there were "
            f"{trained}: which of them it has never seen is not known; name the data of its training (--data)"
        )


def choose(agent: Agent, task_id: str, demonstrations: Demonstrations, most: int) -> Shown:
    """At most so many of the episodes that training held out, evenly; of those it trained on where it held out none."""
    training, held_out = trained_on(agent.run.config, task_id, demonstrations)
    steps = demonstrations.columns()
    there = held_out if len(held_out) else training
    chosen = there[np.unique(np.linspace(0, len(there) - 1, min(most, len(there))).astype(int))]
    rows = tuple(steps.starts[episode] + np.arange(min(steps.lengths[episode], MOST_STEPS)) for episode in chosen)
    return Shown(steps=steps, episodes=rows, held_out=len(held_out) > 0, training=training)


def _policy(
    agent: Agent, task_id: str, demonstrations: Demonstrations, shown: Shown, config: EvaluationConfig
) -> AgentPolicy:
    decode: DecodeConfig = config.decode
    prompts = [demonstrations.episode(int(number)) for number in shown.training[: config.prompts]]
    slots = min(config.slots, len(shown.episodes))
    return agent.with_decode(decode).policy(task_id, slots=slots, prompts=prompts).policy


def agent_predictions(policy: AgentPolicy, shown: Shown, columns: ActionColumns) -> list[Columns]:
    """Of every episode, what the agent would do at each step after the demonstrated past."""
    found: list[Columns] = []
    for start in range(0, len(shown.episodes), policy.slots):
        group = shown.episodes[start : start + policy.slots]
        for slot in range(len(group)):
            policy.reset(slot)
        chosen: list[list[Any]] = [[] for _ in group]
        for step in range(max(map(len, group))):
            active = [slot for slot, rows in enumerate(group) if step < len(rows)]
            observations, actions = shown.steps.take(np.array([group[slot][step] for slot in active]))
            listed = [take(observations, place) for place in range(len(active))]
            for slot, action in zip(active, policy.act(listed, active), strict=True):
                chosen[slot].append(action)
            policy.receive(shown.steps.rewards(np.array([group[slot][step] for slot in active])), active)
            policy.correct([take(actions, place) for place in range(len(active))], active)
        found += [_encoded(columns, actions) for actions in chosen]
    return found


def _encoded(columns: ActionColumns, actions: Sequence[Any]) -> Columns:
    """Actions as an environment takes them, one after another."""
    space = columns.space
    batched = gym.vector.utils.create_empty_array(space, n=len(actions))
    return columns.encode(gym.vector.utils.concatenate(space, actions, batched))


def _plain(demonstrations: Demonstrations, shown: Shown, columns: ActionColumns) -> dict[str, list[Columns]]:
    """The predictions of models that were fitted on the episodes of the training."""
    steps = drawn_steps(steps_of(shown.steps, shown.training), MOST_ACTIONS)
    actions = columns.encode(shown.steps.actions(steps))
    found = {"constant": [constant_prediction(actions, len(rows)) for rows in shown.episodes]}
    for name in PLAIN:
        policy = fit_baseline(name, demonstrations, shown.training).policy
        found[name] = [
            _joined([policy.predict(policy.encode.stacked(shown.steps.observations(part))) for part in _parts(rows)])
            for rows in shown.episodes
        ]
        found[name] = [Columns(np.clip(each.numbers, columns.low, columns.high), each.classes) for each in found[name]]
    return found


def constant_prediction(actions: Columns, steps: int) -> Columns:
    """The best action that looks at nothing, by the measures used here: medians, and the commonest classes."""
    numbers = np.median(actions.numbers, axis=0) if actions.numbers.shape[1] else np.zeros(0)
    classes = np.array([np.bincount(column).argmax() for column in actions.classes.T], np.int64)
    return Columns(np.tile(numbers, (steps, 1)), np.tile(classes, (steps, 1)))


def _parts(rows: np.ndarray) -> list[np.ndarray]:
    return [rows[start : start + TOGETHER] for start in range(0, len(rows), TOGETHER)]


def _joined(parts: Sequence[Columns]) -> Columns:
    return Columns(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("numbers", "classes")))


def _errors(done: Sequence[Columns], predicted: Sequence[Columns]) -> np.ndarray:
    """Mean error of each dimension in each episode, float64[episodes, dimensions]: numbers first, then classes."""
    return np.array(
        [
            np.concatenate(
                [
                    np.abs(true.numbers - said.numbers).mean(axis=0),
                    (true.classes != said.classes).mean(axis=0),
                ]
            )
            for true, said in zip(done, predicted, strict=True)
        ]
    )


def _relative(errors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Of each episode the mean over dimensions, each divided by the constant's error there over all episodes.

    A dimension that never changes says nothing and is left out.
    """
    scale = errors["constant"].mean(axis=0)
    moves = scale > 0
    if not moves.any():
        return {}
    return {name: (values[:, moves] / scale[moves]).mean(axis=1) for name, values in errors.items()}


def _dimensions(
    columns: ActionColumns, done: Sequence[Columns], errors: Mapping[str, np.ndarray]
) -> list[dict[str, Any]]:
    everything = _joined(done)
    names = dimension_names(columns.space)
    spreads = [float(column.std()) for column in everything.numbers.T]
    spreads += [1 - float(np.bincount(column).max() / len(column)) for column in everything.classes.T]
    kinds = ["error"] * everything.numbers.shape[1] + ["missed"] * everything.classes.shape[1]
    return [
        {
            "name": name,
            "kind": kind,
            "spread": spread,
            "policies": {policy: _interval(errors[policy][:, index]) for policy in POLICIES},
        }
        for index, (name, kind, spread) in enumerate(zip(names, kinds, spreads, strict=True))
    ]


def dimension_names(space: gym.Space) -> list[str]:
    """ "action/gripper[0]" of every column of `action_columns`: numbers first, then classes."""
    numbers: list[str] = []
    classes: list[str] = []
    paths = {leaf.keys: leaf.path for leaf in named_leaves(space, "action")}
    for keys, leaf in leaves(space):
        count, name = int(np.prod(leaf.shape or ())), paths[keys]
        named = [f"{name}[{index}]" for index in range(count)] if leaf.shape else [name]
        (numbers if isinstance(leaf, spaces.Box) else classes).extend(named)
    return numbers + classes


def _interval(values: np.ndarray) -> dict[str, Any]:
    """Over episodes; of one there is none."""
    found = bootstrap_mean_ci(values)
    return {"value": found.value, "ci95": [found.low, found.high] if len(values) > 1 else None}
