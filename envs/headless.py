"""Drawing frames without a screen: the choices that MuJoCo and pygame want made before they draw.

State observations need none of it. A choice that is set in the environment already is kept.
"""

import os
import sys

from generalist.envs.task import needs_extra


def prepare_mujoco() -> None:
    """EGL, which needs no display. Read when MuJoCo is imported and when Gymnasium's renderer first draws."""
    if _no_display():
        os.environ.setdefault("MUJOCO_GL", "egl")


def prepare_pygame() -> None:
    """SDL's dummy video driver. Classic control and toy text draw with pygame.

    Raises:
        MissingExtra: pygame is not installed.
    """
    if _no_display():
        os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
    with needs_extra("classic"):
        import pygame  # noqa: F401


def _no_display() -> bool:
    return sys.platform == "linux" and not {"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys()
