"""The control suite's tasks, which of them are also drawn with other physics, and who solves which. Data only."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import gymnasium as gym

from generalist.envs.experts import planner_costs as costs
from generalist.envs.experts.dm_control_experts import (
    cartpole_expert,
    lqr_expert,
    pendulum_expert,
    planner_expert,
    point_mass_expert,
    reacher_expert,
)
from generalist.envs.experts.planner import Reward, Search
from generalist.envs.experts.poles import SwingUp, poles_expert
from generalist.envs.experts.quadruped import Trot, quadruped_expert
from generalist.envs.experts.swimmers import Beat, Wave, fish_expert, swimmer_expert
from generalist.envs.task import ActionFunction

SUITE: dict[str, tuple[str, ...]] = {
    "acrobot": ("swingup", "swingup_sparse"),
    "ball_in_cup": ("catch",),
    "cartpole": ("balance", "balance_sparse", "swingup", "swingup_sparse", "two_poles", "three_poles"),
    "cheetah": ("run",),
    "dog": ("stand", "walk", "trot", "run", "fetch"),
    "finger": ("spin", "turn_easy", "turn_hard"),
    "fish": ("upright", "swim"),
    "hopper": ("stand", "hop"),
    "humanoid": ("stand", "walk", "run", "run_pure_state"),
    "humanoid_CMU": ("stand", "walk", "run"),
    "lqr": ("lqr_2_1", "lqr_6_2"),
    "manipulator": ("bring_ball", "bring_peg", "insert_ball", "insert_peg"),
    "pendulum": ("swingup",),
    "point_mass": ("easy", "hard"),
    "quadruped": ("walk", "run", "escape", "fetch"),
    "reacher": ("easy", "hard"),
    "stacker": ("stack_2", "stack_4"),
    "swimmer": ("swimmer6", "swimmer15"),
    "walker": ("stand", "walk", "run"),
}
"""All 51 tasks by domain, in the suite's order."""

VARIED: tuple[tuple[str, str], ...] = (
    *(("acrobot", task) for task in SUITE["acrobot"]),
    ("ball_in_cup", "catch"),
    *(("cartpole", task) for task in SUITE["cartpole"][:4]),
    ("cheetah", "run"),
    *(("finger", task) for task in SUITE["finger"]),
    *(("fish", task) for task in SUITE["fish"]),
    *(("hopper", task) for task in SUITE["hopper"]),
    *(("humanoid", task) for task in SUITE["humanoid"][:3]),
    ("manipulator", "bring_ball"),
    ("pendulum", "swingup"),
    ("point_mass", "easy"),
    *(("reacher", task) for task in SUITE["reacher"]),
    *(("walker", task) for task in SUITE["walker"]),
)
"""The suite's benchmarking tasks without the two swimmers (see `dm_control_variants`)."""


@dataclass(frozen=True, kw_only=True)
class Expert:
    """A policy with what its row of the table needs. `not_for`: the variants in which it is no expert."""

    policy: Callable[[gym.Env], ActionFunction]
    method: str
    noise: float = 0.0
    episodes: int = 20
    note: str = ""
    not_for: tuple[str, ...] = ()


def _planned(reward: Reward, note: str = "", not_for: tuple[str, ...] = (), **search: Any) -> Expert:
    policy = partial(planner_expert, reward=reward, search=Search(**search))
    return Expert(policy=policy, method="MPPI planner", episodes=10, note=note, not_for=not_for)


_CARTPOLE = Expert(policy=cartpole_expert, method="energy swing-up and LQR", noise=0.5)
_REACHER = Expert(policy=reacher_expert, method="inverse kinematics and computed torque", noise=0.3)
_LQR = Expert(
    policy=lqr_expert,
    method="LQR",
    note="The stiffness is drawn at each reset and not observed; the expert knows it.",
)
_POINT_MASS_HARD = Expert(
    policy=point_mass_expert,
    method="PD law",
    note="Where the actuators pull is drawn at each reset and not observed; the expert knows it.",
)

_TURN: dict[str, Any] = {"steps": 40, "knots": 6, "samples": 30, "every": 2, "noise": 0.7}
_ACROBOT: dict[str, Any] = {"steps": 150, "knots": 15, "samples": 60, "every": 5, "noise": 1.0}
_ACROBOT_NOTE = "In a good part of the episodes the planner does not reach the top."
_WALKER: dict[str, Any] = {"steps": 30, "knots": 6, "samples": 30, "every": 1, "noise": 0.7, "coarse": 5}
_WALKER_RUN: dict[str, Any] = {"steps": 24, "knots": 6, "samples": 80, "noise": 1.0, "temperature": 0.1, "coarse": 5}
_FINGER: dict[str, Any] = {"steps": 12, "knots": 6, "samples": 150, "noise": 1.0, "temperature": 0.03}
_FISH: dict[str, Any] = {"steps": 30, "knots": 5, "samples": 20, "every": 2, "noise": 0.7, "coarse": 2}
_CUP: dict[str, Any] = {"steps": 30, "knots": 6, "samples": 40, "every": 2, "noise": 0.7, "coarse": 2}

_TWO_POLES = Expert(
    policy=partial(poles_expert, swing_up=SwingUp(steps=300)),
    method="differential dynamic programming and LQR",
    note="While the poles swing up, the expert's action depends on the time, which is not observed.",
)

_QUADRUPED_NOTE = "The trot's clock, and how far the move is that turns the body over, are not observed."
_QUADRUPED = Expert(
    policy=partial(
        quadruped_expert, trot=Trot(rate=2.24, swing=0.98, lift=1.31, extend=0.75, extended=-0.11, lead=-1.6)
    ),
    method="turning over and a trot",
    note=_QUADRUPED_NOTE,
)

_SWIMMER_6 = Wave(
    rate=2.34,
    lag=1.04,
    lead=1.70,
    torque_lag=1.20,
    torque=1.60,
    stiffness=1.58,
    turn=0.443,
    most_turn=2.0,
    turn_fade=1.118,
    heading_fade=0.30,
    damping=0.016,
    stop=0.089,
    slow=0.087,
)

_SWIMMER_15 = Wave(
    rate=2.9,
    lag=1.455,
    lead=1.894,
    torque_lag=1.546,
    torque=1.379,
    stiffness=1.641,
    turn=0.462,
    most_turn=1.737,
    turn_fade=0.89,
    heading_fade=0.532,
    damping=0.022,
    stop=0.19,
    slow=0.039,
)

_FISH_SWIM = Expert(
    policy=partial(
        fish_expert,
        beat=Beat(
            tail=1.41,
            tail_rate=6.2,
            tail_lead=1.68,
            flap=1.37,
            flap_rate=4.44,
            flap_lead=1.27,
            paddle=0.549,
            tail_reach=49.0,
            flap_reach=16.1,
            push=1.13,
            near_by=0.095,
            bend=-1.22,
            drift=-0.466,
            pivot=-0.923,
            pivot_from=0.677,
            climb=1.234,
            level=0.808,
            hold=0.072,
        ),
    ),
    method="tail and fin beats",
    note="To which side the torso is rolled is not observed; the expert knows it.",
    not_for=("large",),
)

EXPERTS: dict[tuple[str, str], Expert] = {
    ("acrobot", "swingup"): _planned(costs.acrobot, _ACROBOT_NOTE, **_ACROBOT),
    ("acrobot", "swingup_sparse"): _planned(costs.acrobot, _ACROBOT_NOTE, **_ACROBOT),
    ("ball_in_cup", "catch"): _planned(costs.ball_in_cup, **_CUP),
    ("cartpole", "balance"): _CARTPOLE,
    ("cartpole", "balance_sparse"): _CARTPOLE,
    ("cartpole", "swingup"): _CARTPOLE,
    ("cartpole", "swingup_sparse"): _CARTPOLE,
    ("cartpole", "two_poles"): _TWO_POLES,
    ("cheetah", "run"): _planned(costs.cheetah, steps=50, knots=13, samples=40, every=2, temperature=0.1),
    ("finger", "spin"): _planned(costs.finger_spin, **_FINGER),
    ("finger", "turn_easy"): _planned(costs.finger_turn, **_TURN),
    ("finger", "turn_hard"): _planned(costs.finger_turn, **_TURN),
    ("fish", "upright"): _planned(costs.fish_upright, **_FISH, temperature=0.1),
    ("fish", "swim"): _FISH_SWIM,
    ("lqr", "lqr_2_1"): _LQR,
    ("lqr", "lqr_6_2"): _LQR,
    ("pendulum", "swingup"): Expert(policy=pendulum_expert, method="energy swing-up and PD law", noise=0.4),
    ("point_mass", "easy"): Expert(policy=point_mass_expert, method="PD law"),
    ("point_mass", "hard"): _POINT_MASS_HARD,
    ("quadruped", "walk"): _QUADRUPED,
    ("quadruped", "run"): _QUADRUPED,
    ("reacher", "easy"): _REACHER,
    ("reacher", "hard"): _REACHER,
    ("swimmer", "swimmer6"): Expert(policy=partial(swimmer_expert, wave=_SWIMMER_6), method="travelling wave"),
    ("swimmer", "swimmer15"): Expert(policy=partial(swimmer_expert, wave=_SWIMMER_15), method="travelling wave"),
    ("walker", "stand"): _planned(partial(costs.walker, speed=0), **_WALKER),
    ("walker", "walk"): _planned(partial(costs.walker, speed=1), **_WALKER),
    ("walker", "run"): _planned(partial(costs.walker, speed=8), **_WALKER_RUN),
}

_UNTRIED = "No expert: the planner was not tried."

WITHOUT_EXPERT: dict[tuple[str, str], str] = {
    (
        "cartpole",
        "three_poles",
    ): "No expert: the best of ten plans of two_poles' expert ends nearly up, where LQR does not hold it.",
    **{("dog", task): _UNTRIED for task in SUITE["dog"]},
    ("fish", "swim"): "No expert: the beats seldom fit, and the simulator diverged in one of 53 episodes.",
    ("hopper", "stand"): "No expert: the planner does not get up from sitting: return 0 in 300 steps.",
    ("hopper", "hop"): "No expert: the planner does not get up from sitting: return 0 in 400 steps.",
    **{("humanoid", task): _UNTRIED for task in SUITE["humanoid"]},
    **{("humanoid_CMU", task): _UNTRIED for task in SUITE["humanoid_CMU"]},
    **{("manipulator", task): _UNTRIED for task in SUITE["manipulator"]},
    **{("quadruped", task): _UNTRIED for task in ("escape", "fetch")},
    **{("stacker", task): _UNTRIED for task in SUITE["stacker"]},
}
"""Why a task, or those of its variants that its expert is not for, has none, with what was seen."""
