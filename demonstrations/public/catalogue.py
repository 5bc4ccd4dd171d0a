"""Which public data sets are known: what their columns mean, and which task of ours each stands for.

One row for a pattern of names. A data set that no row matches is read by its format's own rules.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

Scheme = Literal["rlds", "minari", "jat", "lerobot"]
SCHEMES: tuple[Scheme, ...] = ("rlds", "minari", "jat", "lerobot")


@dataclass(frozen=True)
class Column:
    """A column of a JAT row: its key in the observation ("" for the whole of it), and its name.

    What is used begins at `first` of the last axis: -1 is the newest of stacked frames.
    """

    key: str
    name: str
    first: int = 0


@dataclass(frozen=True, kw_only=True)
class Row:
    r"""One kind of data set.

    Args:
        scheme: the format.
        name: regular expression for the whole name of the data set, in lower case; group 1 is given to `task`.
        task: id of the task, a template for group 1 ("metaworld/{}-v3"), or a function of it.
        observation, action: paths of columns of a step; what is below each is read, and the instruction beside it.
        columns: JAT only: what the observation is made of; without any, every column of observations.
        reward: column of the reward; without one rewards are zero.
        last_action_taken: RLDS only: True where the last step's action and reward are known to be real, and there is
            no final observation; False where the last step is known to hold the final observation only; None lets the
            data decide, see `generalist.demonstrations.public.rlds_ending`.
        actions: number of discrete actions; 0 if it is not known.
        minimal: discrete actions count through the few that a game of Atari uses, see `minimal_actions`.
        success: JAT only: a positive reward is a success, and only that.
        low, high: bounds of continuous actions.
        note: what a user of the data should know.
    """

    scheme: Scheme
    name: str
    task: str | Callable[[str], str] = "{}"
    observation: tuple[str, ...] = ("observation",)
    action: tuple[str, ...] = ("action",)
    reward: str = "reward"
    last_action_taken: bool | None = None
    columns: tuple[Column, ...] = ()
    actions: int = 0
    minimal: bool = False
    success: bool = False
    low: float = -float("inf")
    high: float = float("inf")
    note: str = ""


MINIMAL = {
    "Skiing": 0x19,
    "Breakout": 0x1B,
    "Freeway": 0x25,
    "Surround": 0x3D,
    "Qbert": 0x3F,
    "Asterix CrazyClimber MsPacman": 0x3FD,
    "Atlantis": 0x1803,
    "Carnival DemonAttack NameThisGame Pong SpaceInvaders": 0x181B,
    "Assault": 0x181F,
    "BeamRider": 0x18DF,
    "Enduro": 0x1B3B,
    "Gopher": 0x1C1F,
    "Tutankham": 0x1C3D,
    "VideoPinball": 0x1C3F,
    "Bowling Pooyan UpNDown": 0x2427,
    "Phoenix": 0x383B,
    "Amidar TimePilot WizardOfWor": 0x3C3F,
    "Asteroids": 0xFCFF,
    "KungFuMaster": 0x3FB3D,
    "Alien BankHeist BattleZone Berzerk Boxing Centipede ChopperCommand Defender DoubleDunk FishingDerby Frostbite "
    "Gravitar Hero IceHockey Jamesbond Kangaroo Krull MontezumaRevenge Pitfall PrivateEye Riverraid RoadRunner "
    "Robotank Seaquest Solaris StarGunner Tennis Venture YarsRevenge Zaxxon": 0x3FFFF,
}
"""Games with the same minimal actions, and these as bits: bit i is ALE's action i. Measured with ale-py 0.12.1."""
GAMES = tuple(game for games in MINIMAL for game in games.split())
JOYSTICK = {"Skiing": (0, 2, 3, 4, 5, 6, 7, 8, 9)}
"""Actions of the full set, where they are not all 18."""
MUJOCO = {
    "ant": "Ant-v5",
    "doublependulum": "InvertedDoublePendulum-v5",
    "halfcheetah": "HalfCheetah-v5",
    "hopper": "Hopper-v5",
    "humanoid": "Humanoid-v5",
    "humanoidstandup": "HumanoidStandup-v5",
    "inverteddoublependulum": "InvertedDoublePendulum-v5",
    "invertedpendulum": "InvertedPendulum-v5",
    "pendulum": "InvertedPendulum-v5",
    "pusher": "Pusher-v5",
    "reacher": "Reacher-v5",
    "standup": "HumanoidStandup-v5",
    "swimmer": "Swimmer-v5",
    "walker": "Walker2d-v5",
    "walker2d": "Walker2d-v5",
}
OLD_MUJOCO = "recorded in an older version: observations of Ant, Humanoid, Pusher, Reacher and others differ from v5"


def atari(name: str) -> str:
    """ "bankheist", "bank_heist" -> "atari/BankHeist" """
    squashed = re.sub(r"[^a-z0-9]", "", name.lower())
    return "atari/" + next((game for game in GAMES if game.lower() == squashed), name)


def minimal_actions(task_id: str) -> tuple[tuple[int, ...], int]:
    """For a game: the place in the full set of each of its minimal actions, and the size of the full set.

    Public data counts through the minimal actions, tasks of ours through the full set.
    """
    game = task_id.removeprefix("atari/")
    bits = next((bits for games, bits in MINIMAL.items() if game in games.split()), 0)
    full = JOYSTICK.get(game, tuple(range(18)))
    return tuple(place for place, action in enumerate(full) if bits >> action & 1), len(full)


def mujoco(name: str) -> str:
    return MUJOCO.get(name, name)


def babyai(name: str) -> str:
    """ "go-to-obj" -> "babyai_symbolic/GoToObj" """
    if name == "put-next":  # the only one whose level has another name
        name = "put-next-s7n4"
    words = (re.sub(r"(?<=\d)[a-z]", lambda match: match[0].upper(), word) for word in name.split("-"))
    return "babyai_symbolic/" + "".join(word[:1].upper() + word[1:] for word in words)


def control(name: str) -> str:
    """ "finger_turn_hard" -> "dm_control/finger-turn_hard": the domain, then its task."""
    domain, _, task = name.partition("_")
    return f"dm_control/{domain}-{task}"


def adroit(name: str) -> str:
    return f"gym:gymnasium_robotics:AdroitHand{name.capitalize()}-v1"


_OPEN_X: dict[str, Any] = {
    "scheme": "rlds",
    "task": "robot/{}",
    "note": "no environment of ours plays it",
}
_D4RL: dict[str, Any] = {"scheme": "rlds", "last_action_taken": True, "low": -1.0, "high": 1.0}
_CONTINUOUS = (Column("", "continuous_observations"),)

CATALOGUE: tuple[Row, ...] = (
    Row(
        scheme="rlds",
        name=r"rlu_atari\w*/(\w+?)_run_\d+",
        task=atari,
        last_action_taken=True,
        minimal=True,
        note="one 84x84 frame a step, rewards clipped to [-1, 1], from all of a DQN's training",
    ),
    Row(
        scheme="rlds",
        name=r"rlu_control_suite/(\w+)",
        task=control,
        last_action_taken=False,
        low=-1.0,
        high=1.0,
    ),
    Row(
        scheme="rlds",
        name=r"rlu_dmlab_(\w+)/.*",
        task="dmlab/{}",
        last_action_taken=True,
        actions=15,
        note="no environment of ours plays it",
    ),
    Row(name=r"d4rl_mujoco_(\w+)/.*", task=mujoco, note=OLD_MUJOCO, **_D4RL),
    Row(name=r"d4rl_adroit_(\w+)/.*", task=adroit, **_D4RL),
    Row(name=r"d4rl_antmaze/(\w+)-.*", task="antmaze/{}", note="no environment of ours plays it", **_D4RL),
    Row(
        name=r"(bridge)",
        observation=("observation/image", "observation/state", "observation/natural_language_instruction"),
        action=("action/world_vector", "action/rotation_delta", "action/open_gripper"),
        **_OPEN_X,
    ),
    Row(
        name=r"(fractal20220817_data)",
        observation=("observation/image", "observation/natural_language_instruction", "observation/gripper_closed"),
        action=("action/world_vector", "action/rotation_delta", "action/gripper_closedness_action"),
        **_OPEN_X,
    ),
    Row(
        scheme="rlds",
        name=r"(libero_\w+)",
        task="robot/{}",
        note="--suite libero_object_pixels, or another, imports each episode into the task that its instruction names",
    ),
    Row(name=r"(\w+_converted_externally_to_rlds|bridge_\w+)", **_OPEN_X),
    Row(
        scheme="jat",
        name=r"atari-(.+)",
        task=atari,
        columns=(Column("", "image_observations", -1),),
        minimal=True,
        note="the newest of four stacked frames; recorded without sticky actions",
    ),
    Row(
        scheme="jat",
        name=r"babyai-(.+)",
        task=babyai,
        columns=(Column("symbols", "discrete_observations", 1), Column("mission", "text_observations")),
        actions=7,
        success=True,
        note="the view as symbols and the mission, without the compass",
    ),
    Row(
        scheme="jat",
        name=r"metaworld-(.+)",
        task="metaworld/{}-v3",
        columns=_CONTINUOUS,
        low=-1.0,
        high=1.0,
        note="recorded in v2, 100 steps an episode",
    ),
    Row(scheme="jat", name=r"mujoco-(.+)", task=mujoco, columns=_CONTINUOUS, note=OLD_MUJOCO),
    Row(scheme="minari", name=r"mujoco/(\w+)/.*", task=mujoco),
    Row(scheme="minari", name=r"d4rl/(door|hammer|pen|relocate)/.*", task=adroit),
    Row(
        scheme="minari", name=r"atari/(\w+)/.*", task=atari, note="colour frames of 210x160; the game's minimal actions"
    ),
    Row(scheme="minari", name=r"minigrid/babyai-(\w+)/.*", task="babyai/{}"),
)


def find_row(scheme: Scheme, name: str) -> tuple[Row, str]:
    """The row of a data set and its task id: the name itself where no row knows it."""
    for row in CATALOGUE:
        if row.scheme == scheme and (match := re.fullmatch(row.name, name, re.IGNORECASE)):
            given = match[1]
            lowered = given if scheme == "minari" and "babyai" in row.name else given.lower()
            return row, row.task(lowered) if callable(row.task) else row.task.format(lowered)
    return Row(scheme=scheme, name=re.escape(name)), name
