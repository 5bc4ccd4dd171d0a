import os
import sys

import pytest

from generalist.envs import headless
from generalist.envs.task import MissingExtra

CASES = [(headless.prepare_mujoco, "MUJOCO_GL", "egl"), (headless.prepare_pygame, "SDL_VIDEODRIVER", "dummy")]
cases = pytest.mark.parametrize(("prepare", "variable", "choice"), CASES)


@pytest.fixture(autouse=True)
def no_screen(monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "MUJOCO_GL", "SDL_VIDEODRIVER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")


def value(variable):
    return os.environ.get(variable)


@cases
def test_without_a_screen_a_choice_is_made(prepare, variable, choice):
    prepare()
    assert value(variable) == choice


@cases
def test_a_choice_that_is_made_already_is_kept(prepare, variable, choice, monkeypatch):
    monkeypatch.setenv(variable, "mine")
    prepare()
    assert value(variable) == "mine"


@cases
@pytest.mark.parametrize("screen", ["DISPLAY", "WAYLAND_DISPLAY"])
def test_a_screen_is_used_as_it_is(prepare, variable, choice, screen, monkeypatch):
    monkeypatch.setenv(screen, ":0")
    prepare()
    assert value(variable) is None


@cases
def test_other_systems_draw_as_they_do(prepare, variable, choice, monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    prepare()
    assert value(variable) is None


def test_frames_without_pygame_name_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "pygame", None)
    with pytest.raises(MissingExtra, match=r"generalist\[classic\]"):
        headless.prepare_pygame()
