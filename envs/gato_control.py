"""The 16 control data sets of Gato's Table 1, and which tasks stand for each here.

Neither the paper's data nor its experts were released. A row gives what the paper had and what can be had without it;
figures are the paper's (Reed et al. 2022, Table 1).
"""

from dataclasses import dataclass

from generalist.envs.table import all_tasks
from generalist.envs.task import Task


@dataclass(frozen=True, kw_only=True)
class ControlDataset:
    """A row of Table 1.

    Args:
        name, tasks, episodes, weight: as printed; `weight` is the share of a batch, in percent.
        prefixes: of the ids of the tasks that stand for it; none where nothing does.
        note: how what is here differs, or where data can be had.
    """

    name: str
    tasks: int
    episodes: str
    weight: float
    prefixes: tuple[str, ...] = ()
    note: str

    def rows(self) -> tuple[Task, ...]:
        """The tasks that stand for it: those that have an expert with a measured score."""
        found = (task for task in all_tasks() if task.id.startswith(self.prefixes or "-"))
        return tuple(task for task in found if task.expert is not None and task.expert_reference is not None)


_NO_ENVIRONMENT = "no environment that installs from PyPI"

GATO_CONTROL = (
    ControlDataset(
        name="DM Lab",
        tasks=254,
        episodes="16.4M",
        weight=9.35,
        note=f"{_NO_ENVIRONMENT}; `rlu_dmlab_*` of TFDS can be imported to train on",
    ),
    ControlDataset(
        name="ALE Atari",
        tasks=51,
        episodes="63.4K",
        weight=9.5,
        prefixes=("atari/",),
        note="games that search solves; `rlu_atari` and JAT have episodes of learned agents",
    ),
    ControlDataset(
        name="ALE Atari Extended",
        tasks=28,
        episodes="28.4K",
        weight=10.0,
        note="28 more games, their modes drawn anew in each episode; not here",
    ),
    ControlDataset(
        name="Sokoban",
        tasks=1,
        episodes="27.2K",
        weight=1.33,
        prefixes=("sokoban/",),
        note="sizes of our own, solved by A*; Boxoban's level files can be played",
    ),
    ControlDataset(
        name="BabyAI",
        tasks=46,
        episodes="4.61M",
        weight=9.06,
        prefixes=("babyai/",),
        note="every level, by the same bot; which 46 the paper took is not printed",
    ),
    ControlDataset(
        name="DM Control Suite",
        tasks=30,
        episodes="395K",
        weight=4.62,
        prefixes=("dm_control/",),
        note="analytic laws and a planner instead of D4PG; `rlu_control_suite` can be imported",
    ),
    ControlDataset(
        name="DM Control Suite Pixels",
        tasks=28,
        episodes="485K",
        weight=7.07,
        prefixes=("dm_control_pixels/",),
        note="the same experts, seen from a camera",
    ),
    ControlDataset(
        name="DM Control Suite Random Small",
        tasks=26,
        episodes="10.6M",
        weight=3.04,
        prefixes=("dm_control_small/",),
        note="physics drawn within 10% of the original",
    ),
    ControlDataset(
        name="DM Control Suite Random Large",
        tasks=26,
        episodes="26.1M",
        weight=3.04,
        prefixes=("dm_control_large/",),
        note="physics drawn 20 to 40% from the original",
    ),
    ControlDataset(
        name="Meta-World",
        tasks=45,
        episodes="94.6K",
        weight=8.96,
        prefixes=("metaworld/",),
        note="all 50, by scripted policies; leave `metaworld/ml45-test` out for the paper's 45",
    ),
    ControlDataset(
        name="Procgen",
        tasks=16,
        episodes="1.6M",
        weight=5.34,
        prefixes=("procgen/",),
        note="16 games; an expert for maze",
    ),
    ControlDataset(name="RGB Stacking simulator", tasks=1, episodes="387K", weight=1.33, note=f"{_NO_ENVIRONMENT}"),
    ControlDataset(
        name="RGB Stacking real robot", tasks=1, episodes="15.7K", weight=1.33, note="a robot; data not released"
    ),
    ControlDataset(
        name="Modular RL",
        tasks=38,
        episodes="843K",
        weight=8.23,
        note=f"{_NO_ENVIRONMENT}: morphologies of Huang et al. 2020, made for an old MuJoCo",
    ),
    ControlDataset(name="DM Manipulation Playground", tasks=4, episodes="286K", weight=1.68, note=f"{_NO_ENVIRONMENT}"),
    ControlDataset(name="Playroom", tasks=1, episodes="829K", weight=1.33, note=f"{_NO_ENVIRONMENT}"),
)


def ids() -> tuple[str, ...]:
    """Every task that stands for one of the data sets."""
    return tuple(task.id for row in GATO_CONTROL for task in row.rows())


def sampling_weights() -> dict[str, float]:
    """{task id: share of sequences}: each data set's weight of Table 1, spread evenly over what stands for it.

    Data sets that nothing stands for are left out, and the shares sum to 1.
    """
    shares = {task.id: row.weight / len(tasks) for row in GATO_CONTROL if (tasks := row.rows()) for task in tasks}
    total = sum(shares.values())
    return {id: share / total for id, share in shares.items()}
