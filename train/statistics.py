"""Means and spreads of vectors that tasks share, and what a task that is new takes from those that were trained.

A vector is normalised by the mean and spread of demonstrations. Of each task's own, one position of a robot's hand is
another number in every task; shared by all tasks of a family (`LayoutOptions.statistics`), it is the same, and what was
learned of it holds for a new task too.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import gymnasium as gym
import numpy as np

from generalist.envs.table import family_of
from generalist.tokenizers.continuous import VectorField, is_float_box
from generalist.tokenizers.image import image_format
from generalist.tokenizers.layout import OBSERVATION, RETURN, Layout
from generalist.tokenizers.space import leaves

LARGEST = 1e6
"""A bound beyond this says nothing of how large values are."""

Moments = tuple[Sequence[float], Sequence[float]]
"""Mean and standard deviation of every value of an array."""


def vectors(layout: Layout) -> dict[str, VectorField]:
    """The arrays that a layout shows as vectors, by path."""
    return {part.leaf.path: part for part in layout.tensor_fields if isinstance(part, VectorField)}


def pooled(moments: Sequence[Moments]) -> Moments:
    """Mean and spread of an even mixture of sources with these: each counts as much, whatever its data."""
    if all(each == moments[0] for each in moments):
        return moments[0]  # to the last bit
    means, stds = (np.array([each[part] for each in moments], np.float64) for part in (0, 1))
    mean = means.mean(axis=0)
    variance = (stds**2 + (means - mean) ** 2).mean(axis=0)
    return mean.tolist(), np.sqrt(variance).tolist()


def shared(layouts: Mapping[str, Layout]) -> dict[str, Layout]:
    """The layouts, by task, with statistics in common where their options say "space"."""
    groups: dict[tuple, list[Moments]] = {}
    for task, layout in _sharing(layouts):
        for path, part in vectors(layout).items():
            groups.setdefault((family_of(task), path, part.leaf.space.shape), []).append(layout.statistics[path])
    common = {key: pooled(found) for key, found in groups.items()}
    changed = {}
    for task, layout in _sharing(layouts):
        own = {path: common[family_of(task), path, part.leaf.space.shape] for path, part in vectors(layout).items()}
        changed[task] = replace(layout, statistics={**layout.statistics, **own})
    return {**layouts, **changed}


def _sharing(layouts: Mapping[str, Layout]) -> Iterable[tuple[str, Layout]]:
    return [(task, layout) for task, layout in layouts.items() if layout.options.statistics == "space"]


def relatives(layout: Layout, family: str | None, known: Mapping[str, Layout]) -> list[str]:
    """Ids of the trained tasks that are nearest to a new one, by these rules in turn: of its family with the same
    arrays in the observation; of any family with the same; of its family; all.
    """
    return _nearest(_shapes(layout), {task: _shapes(other) for task, other in known.items()}, family)


Shapes = Mapping[str, tuple[int, ...]]
"""Of the arrays of an observation, by path."""


def _nearest(wanted: Shapes, known: Mapping[str, Shapes], family: str | None) -> list[str]:
    alike = [task for task, shapes in known.items() if shapes == wanted]
    kin = [task for task in known if family is not None and family_of(task) == family]
    both = [task for task in alike if task in kin]
    return both or alike or kin or list(known)


def _shapes(layout: Layout) -> Shapes:
    return {path: part.leaf.space.shape for path, part in vectors(layout).items()}


def _arrays(observation: gym.Space) -> Shapes:
    """Of what could be shown as vectors, however it is shown."""
    found = [leaf for leaf in leaves(observation, OBSERVATION) if is_float_box(leaf.space)]
    return {leaf.path: leaf.space.shape for leaf in found if image_format(leaf.space) is None}


def plain_layout(observation: gym.Space, action: gym.Space, family: str | None, known: Mapping[str, Layout]) -> Layout:
    """A layout for a task that is new, with the options of the trained task that is nearest to it and no statistics.

    Nearest by what the spaces hold, so that it does not depend on how any of them is shown.
    """
    arrays = {task: _arrays(other.observation_space) for task, other in known.items()}
    near = known[_nearest(_arrays(observation), arrays, family)[0]]
    return Layout.from_spaces(observation, action, vocabulary=near.vocabulary, text=near.text, options=near.options)


def inherited(layout: Layout, task: str | None, family: str | None, known: Mapping[str, Layout]) -> Layout:
    """A layout with the statistics of trained ones, wherever they have any for its arrays.

    Those of the task itself, if it was trained; else, of every array, those that its relatives share, or, where each
    has its own, pooled over them. An array that is longer than theirs of the same family at its path takes theirs for
    the values it begins with.

    Args:
        task: its id, None for an environment without one.
        family: None if it is not known.
        known: layouts of the trained tasks.
    """
    own = known.get(task) if task is not None else None
    near = [task] if task is not None and own else relatives(layout, family, known)
    kin = [name for name in near if own or (family is not None and family_of(name) == family)]
    found = dict(layout.statistics)
    for path, part in vectors(layout).items():
        fitting = [each for each in _moments(path, near, known) if len(each[0]) == part.count]
        shorter = [each for each in _moments(path, kin, known) if len(each[0]) < part.count]
        if fitting:
            found[path] = pooled(fitting)
        elif shorter and len(part.leaf.space.shape) == 1:
            found[path] = _begun_by(pooled(_longest(shorter)), part, layout.statistics.get(path))
    target = layout.target_return
    if own and layout.return_field is not None and own.target_return is not None:
        found[RETURN], target = own.statistics[RETURN], own.target_return
    before = own.ranges if own and _same_spaces(layout, own) else {}
    ranges = {path: before.get(path, here) for path, here in layout.ranges.items()}
    return replace(layout, statistics=found, ranges=ranges, target_return=target)


def _moments(path: str, tasks: Iterable[str], known: Mapping[str, Layout]) -> list[Moments]:
    return [known[task].statistics[path] for task in tasks if path in known[task].statistics]


def _longest(moments: Sequence[Moments]) -> list[Moments]:
    longest = max(len(each[0]) for each in moments)
    return [each for each in moments if len(each[0]) == longest]


def _begun_by(theirs: Moments, part: VectorField, own: Moments | None) -> Moments:
    """Theirs for the first values, and its own, or 0 and 1, for what follows."""
    rest = own or ([0.0] * part.count, [1.0] * part.count)
    mean, std = ([*given, *mine[len(given) :]] for given, mine in zip(theirs, rest, strict=True))
    return mean, std


def _same_spaces(one: Layout, other: Layout) -> bool:
    return one.observation_space == other.observation_space and one.action_space == other.action_space


def of_bounds(layout: Layout) -> Layout:
    """A layout with statistics of what bounded arrays can hold where it has none: the middle, and the spread of evenly
    spread values. What has no bounds keeps mean 0 and spread 1.
    """
    found = dict(layout.statistics)
    for path, part in vectors(layout).items():
        low, high = (np.ravel(end).astype(np.float64) for end in (part.leaf.space.low, part.leaf.space.high))
        if path not in found and part.count:
            bounded = (low > -LARGEST) & (high < LARGEST)
            low, high = np.where(bounded, low, 0.0), np.where(bounded, high, 0.0)
            mean, std = (low + high) / 2, np.where(high > low, (high - low) / 12**0.5, 1.0)
            found[path] = mean.tolist(), std.tolist()
    return replace(layout, statistics=found)
