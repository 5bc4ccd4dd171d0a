"""What families and experts both need of MuJoCo: its module, and the models of the control suite's domains."""

from typing import Any


def mujoco_module() -> Any:
    """MuJoCo, imported when it is needed; its stubs lack the enumerations."""
    import mujoco
    import mujoco.rollout

    return mujoco


def model_spec(domain: str, task: str = "") -> Any:
    """The description (`mujoco.MjSpec`) of a domain's model; `task` only where a domain generates it from code."""
    from dm_control import suite
    from dm_control.suite import manipulator, quadruped

    if domain == "manipulator":
        xml, assets = manipulator.make_model(False, False)  # bring_ball
    elif domain == "quadruped":
        xml, assets = quadruped.make_model(floor_size=10), quadruped.common.ASSETS
    else:
        parts = {"two_poles": (2,), "three_poles": (3,), "swimmer6": (6,), "swimmer15": (15,)}.get(task, ())
        xml, assets = suite._DOMAINS[domain].get_model_and_assets(*parts)
    return mujoco_module().MjSpec.from_string(xml.decode() if isinstance(xml, bytes) else xml, include=assets)
