"""Named sets of tasks: what a benchmark's name stands for, as lists of ids.

A set is a function of the task table: nothing here makes an environment.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from generalist.envs import gato_control
from generalist.envs.families.atari_scores import ATARI_57
from generalist.envs.families.libero_tasks import NAMES, PIXELS
from generalist.envs.table import all_tasks
from generalist.envs.task import GOOD_SUCCESS, Task, UnknownTask, nearest_ids

QUICKSTART = (
    "CartPole-v1",
    "Acrobot-v1",
    "MountainCar-v0",
    "MountainCarContinuous-v0",
    "Pendulum-v1",
    "Taxi-v4",
    "FrozenLake8x8-v1",
    "CliffWalking-v1",
    "InvertedPendulum-v5",
    "Reacher-v5",
    "babyai/GoToRedBallNoDists",
    "babyai/GoToObj",
    "babyai/OpenRedDoor",
    "babyai/GoToLocalS5N2",
    "metaworld/drawer-close-v3",
    "metaworld/button-press-topdown-v3",
    "metaworld/door-open-v3",
    "metaworld/push-v3",
)

_GROCERIES = "alphabet_soup cream_cheese salad_dressing bbq_sauce ketchup tomato_sauce butter milk"

WORLDS = (
    *(
        f"libero_object/pick_up_the_{thing}_and_place_it_in_the_basket"
        for thing in f"{_GROCERIES} chocolate_pudding orange_juice".split()
    ),
    "textworld/coin-easy",
    "miniwob/login-user",
    "vizdoom/defend_the_center",
    "procgen/fruitbot",
    "myosuite/myoFingerPoseFixed-v0",
    "myosuite/myoFingerReachFixed-v0",
    "playground/PandaPickCube",
    "playground/PandaPickCubeCartesian",
)
"""Of the families that need an extra of their own, what one small agent learns beside the quickstart's tasks."""

_MT10 = "reach push pick-place door-open drawer-open drawer-close button-press-topdown peg-insert-side window-open"
_ML10_TRAIN = "reach push pick-place door-open drawer-close button-press-topdown peg-insert-side window-open sweep"
_ML10_TEST = "drawer-open door-close shelf-place sweep-into lever-pull"
_ML45_TEST = "bin-picking box-close hand-insert door-lock door-unlock"
"""Yu et al. 2020, Meta-World: which of the 50 tasks are in which benchmark. ML45 trains on all but its five."""

CHEAP_SECONDS = 5.0
"""An expert is cheap up to so much time for one episode."""

MOST_EPISODES, MOST_SECONDS = 10_000, 300.0
"""Of one task's demonstrations that a set asks for, by what was measured of its expert."""

OTHER_VIEWS = (
    "babyai_symbolic/",
    "dm_control_pixels/",
    "dm_control_small/",
    "dm_control_large/",
    *(f"{suite}{PIXELS}/" for suite in NAMES),
)
"""Tasks that show or vary what another task of the table is."""

NOT_IN_ALL = ("envpool", "libero", "procgen", "text", "web")
"""Extras that the extra `all` leaves out, and so are their tasks of `local`."""


def _metaworld(names: str) -> tuple[str, ...]:
    return tuple(f"metaworld/{name}-v3" for name in names.split())


def _under(prefix: str) -> Callable[[], tuple[str, ...]]:
    return lambda: tuple(task.id for task in all_tasks() if task.id.startswith(f"{prefix}/"))


def _ml45_train() -> tuple[str, ...]:
    return tuple(id for id in _under("metaworld")() if id not in _metaworld(_ML45_TEST))


@dataclass(frozen=True)
class TaskSet:
    """What it is, in a line, the function that gives its ids, and how much it asks of each expert.

    Attributes:
        timesteps: of every task it asks for demonstrations of about so many in all, where the task's own number of
            episodes has fewer; at most `MOST_EPISODES` and `MOST_SECONDS`.
    """

    meaning: str
    ids: Callable[[], tuple[str, ...]]
    timesteps: int = 0


def has_good_expert(task: Task) -> bool:
    """Whether its measured expert is better than random play and, where success is defined, succeeds in nine of ten."""
    expert, random = task.expert_reference, task.random_reference
    if task.expert is None or expert is None or random is None:
        return False
    # An episode that ends at its goal may well collect less than one that never does.
    scores = [(one.success or 0.0) if task.score == "success" else one.mean for one in (expert, random)]
    return scores[0] > scores[1] and (expert.success is None or expert.success >= GOOD_SUCCESS)


def _experts() -> tuple[str, ...]:
    return tuple(task.id for task in all_tasks() if has_good_expert(task))


def _local() -> tuple[str, ...]:
    """One view of each environment (no pixels where there are states, no symbols where there are pixels)."""
    here = (task for task in all_tasks() if not task.id.startswith(OTHER_VIEWS) and task.extra not in NOT_IN_ALL)
    tasks = filter(has_good_expert, here)
    return tuple(
        task.id for task in tasks if task.expert_reference and (task.expert_reference.seconds or 0) <= CHEAP_SECONDS
    )


def _libero_scripted() -> tuple[str, ...]:
    suites = [suite for suite in NAMES if suite != "libero_90"]
    return tuple(task.id for task in all_tasks() if task.family in suites and has_good_expert(task))


SETS: dict[str, TaskSet] = {
    "all": TaskSet("every task of the table", lambda: tuple(task.id for task in all_tasks())),
    "quickstart": TaskSet("eighteen tasks of five families", lambda: QUICKSTART, timesteps=20_000),
    "worlds": TaskSet("the quickstart's tasks and some of each newer family", lambda: QUICKSTART + WORLDS),
    "local": TaskSet("every task with a good expert that takes seconds, in one view", _local, timesteps=50_000),
    "experts": TaskSet("every task whose measured expert is good", _experts),
    "metaworld/mt10": TaskSet("Meta-World's MT10", lambda: _metaworld(f"{_MT10} window-close")),
    "metaworld/mt50": TaskSet("Meta-World's MT50", _under("metaworld"), timesteps=20_000),
    "metaworld/ml10-train": TaskSet("Meta-World's ML10, for training", lambda: _metaworld(f"{_ML10_TRAIN} basketball")),
    "metaworld/ml10-test": TaskSet("Meta-World's ML10, held out", lambda: _metaworld(_ML10_TEST)),
    "metaworld/ml45-train": TaskSet("Meta-World's ML45, for training", _ml45_train),
    "metaworld/ml45-test": TaskSet("Meta-World's ML45, held out", lambda: _metaworld(_ML45_TEST)),
    "libero/spatial": TaskSet("LIBERO-Spatial", _under("libero_spatial")),
    "libero/object": TaskSet("LIBERO-Object", _under("libero_object")),
    "libero/goal": TaskSet("LIBERO-Goal", _under("libero_goal")),
    "libero/10": TaskSet("LIBERO-10, also called LIBERO-Long", _under("libero_10")),
    "libero/90": TaskSet("LIBERO-90", _under("libero_90")),
    "libero/scripted": TaskSet("what a good scripted expert does of all but LIBERO-90", _libero_scripted),
    "babyai/all": TaskSet("BabyAI's 96 levels from pixels", _under("babyai"), timesteps=50_000),
    "babyai/symbolic": TaskSet("BabyAI's 96 levels as symbols", _under("babyai_symbolic")),
    "dmc/all": TaskSet("DM Control's suite from states", _under("dm_control")),
    "dmc/pixels": TaskSet("DM Control's suite from pixels", _under("dm_control_pixels")),
    "dmc/small": TaskSet("DM Control with physics drawn near the original", _under("dm_control_small")),
    "dmc/large": TaskSet("DM Control with physics drawn far from the original", _under("dm_control_large")),
    "atari/57": TaskSet("the 57 games of the literature", lambda: tuple(f"atari/{game}" for game in ATARI_57)),
    "atari/all": TaskSet("every game of ale-py", _under("atari")),
    "textworld/all": TaskSet("TextWorld's games, commands written", _under("textworld")),
    "textworld/choice": TaskSet("TextWorld's games, commands chosen by number", _under("textworld_choice")),
    "gato/control": TaskSet("what stands here for the paper's control tasks", gato_control.ids),
}
"""By name."""


def task_set(name: str) -> tuple[Task, ...]:
    """The tasks of a named set, in the order of the set; `generalist tasks` lists the sets.

    Their `episodes` are more than a task has by itself where the set asks for more (`TaskSet.timesteps`).

    Raises:
        UnknownTask: a ValueError: no such set; lists the nearest ones.

    Example:
        >>> import generalist
        >>> tasks = generalist.task_set("metaworld/mt10")
        >>> len(tasks), tasks[0].id
        (10, 'metaworld/reach-v3')

        It can be given to `collect`, `fit` and `evaluate` as it is:

        >>> summaries = generalist.collect(generalist.task_set("quickstart")[:2], out="few", episodes=2, quiet=True)
        >>> [summary.task_id for summary in summaries]
        ['CartPole-v1', 'Acrobot-v1']
    """
    if name not in SETS:
        near = nearest_ids(name, list(SETS)) or list(SETS)
        raise UnknownTask(f"unknown task set {name!r}: the nearest are {', '.join(near)}")
    by_id = {task.id: task for task in all_tasks()}
    chosen = SETS[name]
    return tuple(_of_the_set(by_id[id], chosen) for id in chosen.ids())


def _of_the_set(task: Task, chosen: TaskSet) -> Task:
    expert = task.expert_reference
    if not chosen.timesteps or expert is None or not expert.length:
        return task
    asked = min(chosen.timesteps / expert.length, MOST_EPISODES, MOST_SECONDS / (expert.seconds or 1e-9))
    return replace(task, episodes=max(task.episodes, math.ceil(asked)))
