"""The task table: one row a task. Reference scores are joined from references.json."""

from dataclasses import replace
from functools import partial
from typing import Any

from generalist.envs import babyai, classic_control, metaworld, mujoco, toy_text
from generalist.envs.reference import load_references
from generalist.envs.success import positive_reward, termination
from generalist.envs.task import Task

_CLASSIC: dict[str, Any] = {"family": "classic_control", "score": "return", "extra": "classic"}
_TOY: dict[str, Any] = {
    "family": "toy_text",
    "expert": toy_text.table_expert,
    "horizon": 200,
    "score": "return",
    "has_success": True,
    "extra": "classic",
    "provenance": "Gymnasium; value iteration on the environment's transition table",
}
_BABYAI: dict[str, Any] = {
    "family": "babyai",
    "expert": babyai.bot_expert,
    "score": "return",
    "has_success": True,
    "episodes": 2000,
    "extra": "babyai",
    "provenance": "MiniGrid's BabyAI levels and BabyAIBot (Chevalier-Boisvert et al. 2019), from pixels",
}
_METAWORLD: dict[str, Any] = {
    "family": "metaworld",
    "expert": metaworld.scripted_expert,
    "horizon": metaworld.HORIZON,
    "score": "success",
    "has_success": True,
    # Without noise the demonstrations form one narrow tube and a clone that leaves it is lost.
    "noise": 0.4,
    "episodes": 60,
    "extra": "metaworld",
    "provenance": "Meta-World v3 and its scripted policies (Yu et al. 2020), goal and start drawn from the reset seed",
}

_ROWS = (
    Task(
        id="CartPole-v1",
        make=classic_control.make_cart_pole,
        expert=classic_control.cart_pole_expert,
        horizon=500,
        has_success=False,
        episodes=30,
        provenance="Gymnasium; linear law",
        **_CLASSIC,
    ),
    Task(
        id="Acrobot-v1",
        make=classic_control.make_acrobot,
        expert=classic_control.acrobot_expert,
        horizon=500,
        has_success=False,
        provenance="Gymnasium; energy pumping",
        **_CLASSIC,
    ),
    Task(
        id="MountainCar-v0",
        make=classic_control.make_mountain_car,
        expert=classic_control.mountain_car_expert,
        horizon=200,
        has_success=True,
        provenance="Gymnasium; velocity band",
        **_CLASSIC,
    ),
    Task(
        id="MountainCarContinuous-v0",
        make=classic_control.make_mountain_car_continuous,
        expert=classic_control.mountain_car_continuous_expert,
        horizon=999,
        has_success=True,
        provenance="Gymnasium; resonance at 0.6 of full power",
        **_CLASSIC,
    ),
    Task(
        id="Pendulum-v1",
        make=classic_control.make_pendulum,
        expert=classic_control.pendulum_expert,
        horizon=200,
        has_success=False,
        episodes=120,
        provenance="Gymnasium; energy swing-up and linear law",
        **_CLASSIC,
    ),
    Task(
        id="Taxi-v4",
        make=partial(toy_text.make, "Taxi-v4", 200, termination),
        # Fewer miss start states, and there is no acting well in a state that was never shown.
        episodes=3000,
        **_TOY,
    ),
    Task(
        id="FrozenLake8x8-v1",
        make=partial(toy_text.make, "FrozenLake8x8-v1", 200, positive_reward),
        episodes=200,
        **_TOY,
    ),
    Task(
        id="CliffWalking-v1",
        make=partial(toy_text.make, "CliffWalking-v1", 200, termination),
        episodes=50,
        **_TOY,
    ),
    Task(
        id="InvertedPendulum-v5",
        family="mujoco",
        make=mujoco.make_inverted_pendulum,
        expert=mujoco.inverted_pendulum_expert,
        horizon=1000,
        score="return",
        has_success=False,
        # Without noise the expert stands still and its demonstrations show no correction.
        noise=0.3,
        episodes=20,
        extra="mujoco",
        provenance="Gymnasium MuJoCo; LQR from a numerical linearisation",
    ),
    Task(
        id="Reacher-v5",
        family="mujoco",
        make=mujoco.make_reacher,
        expert=mujoco.reacher_expert,
        horizon=50,
        score="return",
        has_success=False,
        episodes=400,
        extra="mujoco",
        provenance="Gymnasium MuJoCo; inverse kinematics and a PD law",
    ),
    Task(
        id="babyai/GoToRedBallNoDists",
        make=partial(babyai.make, "GoToRedBallNoDists"),
        horizon=64,
        **_BABYAI,
    ),
    Task(id="babyai/GoToObj", make=partial(babyai.make, "GoToObj"), horizon=64, **_BABYAI),
    Task(id="babyai/OpenRedDoor", make=partial(babyai.make, "OpenRedDoor"), horizon=50, **_BABYAI),
    Task(id="babyai/GoToLocalS5N2", make=partial(babyai.make, "GoToLocalS5N2"), horizon=25, **_BABYAI),
    Task(id="metaworld/drawer-close-v3", make=partial(metaworld.make, "drawer-close-v3"), **_METAWORLD),
    Task(
        id="metaworld/button-press-topdown-v3",
        make=partial(metaworld.make, "button-press-topdown-v3"),
        **_METAWORLD,
    ),
    Task(
        id="metaworld/door-open-v3",
        make=partial(metaworld.make, "door-open-v3"),
        **_METAWORLD | dict[str, Any](expert=metaworld.door_open_expert),
    ),
    Task(
        id="metaworld/push-v3",
        make=partial(metaworld.make, "push-v3"),
        # At 0.4 the expert itself loses the puck in a third of the episodes.
        **_METAWORLD | dict[str, Any](noise=0.3),
    ),
)


def _with_references(rows: tuple[Task, ...]) -> tuple[Task, ...]:
    references = load_references()
    return tuple(replace(row, **references.get(row.id, {})) for row in rows)


TASKS: tuple[Task, ...] = _with_references(_ROWS)
