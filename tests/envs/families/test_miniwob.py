"""MiniWoB in a real browser: episodes are functions of the seed, time is steps, and nothing is left of a browser."""

import os
import signal
import sys

import gymnasium as gym
import numpy as np
import pytest
from browser import needs_chromium, processes

from generalist.envs.chromium import BINARY, ChromiumFailed, NoChromium
from generalist.envs.families import miniwob
from generalist.envs.families.miniwob_table import NAMES
from generalist.envs.seeds import evaluation_seed, selection_seed
from generalist.envs.task import MissingExtra
from generalist.envs.web_page import CLICK, NOTHING, PRESS, RELEASE, act, page_text, type_character

slow = pytest.mark.slow
TYPED = ("choose-list", "click-menu", "choose-date-easy", "enter-time")
TASKS = {task.id: task for task in miniwob.TASKS}


@pytest.fixture(scope="module")
def shared():
    """One browser for all tests that break none: a start takes a second or two. Gives environments by task."""
    pytest.importorskip("miniwob")
    held: dict[str, miniwob.MiniWob] = {}

    def of(name: str) -> miniwob.MiniWob:
        env = TASKS[f"miniwob/{name}"].make()
        env._browser = held["last"]._browser if held else None
        held["last"] = env
        return env

    yield of
    held["last"].close()


def played(env, seed: int) -> list:
    """An episode of clicks on what there is, dragging and typing, all chosen by the seed."""
    rng = np.random.default_rng(seed)
    rows = [(env.reset(seed=seed)[0], 0.0, False, False)]
    for step in range(6):
        there = [each for each in env.elements if each.inside]
        actions = [act(CLICK, there[rng.integers(len(there))]), type_character("e")]
        actions += [act(PRESS, there[0]), act(RELEASE, (80, 120))]
        rows.append(env.step(actions[step % 4])[:4])
        if rows[-1][2]:
            break
    return rows


def same(one: list, other: list) -> bool:
    pairs = zip(one, other, strict=False)
    equal = all(a[1:] == b[1:] and all(np.array_equal(a[0][k], b[0][k]) for k in a[0]) for a, b in pairs)
    return equal and len(one) == len(other)


def test_rows_are_there_without_the_package():
    assert len(TASKS) == len(set(NAMES)) == 125
    assert sum(task.expert is not None for task in TASKS.values()) >= 60
    assert all(task.note for task in TASKS.values() if task.expert is None)


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "miniwob", None)
    with pytest.raises(MissingExtra, match=r"pip install 'generalist\[web\]'"):
        TASKS["miniwob/click-test"].make()


def test_without_a_browser_it_is_named(monkeypatch):
    pytest.importorskip("miniwob")
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv(BINARY, raising=False)
    with pytest.raises(NoChromium, match=r"apt install chromium"):
        TASKS["miniwob/click-test"].make()


@needs_chromium
@pytest.mark.parametrize(
    "name", ["social-media", *(pytest.param(name, marks=slow) for name in ("click-dialog", "use-slider-2"))]
)
def test_a_seed_is_an_episode_in_a_new_browser_and_in_a_used_one(shared, name):
    used, new = shared(name), TASKS[f"miniwob/{name}"].make()
    played(used, 8)
    first = played(used, 7)
    assert same(first, played(used, 7))
    assert not same(first, played(used, 8))
    assert same(first, played(new, 7))
    new.close()
    assert all(used.observation_space.contains(row[0]) for row in first)


@needs_chromium
def test_time_is_steps_and_an_episode_is_truncated_at_the_horizon(shared):
    """The page's clock stands still between steps, and its own ten seconds do not end an episode."""
    env = shared("focus-text")
    env.reset(seed=3)
    before = env._browser.evaluate("Date.now()")
    for step in range(1, 21):
        _, reward, terminated, truncated, info = env.step(act(NOTHING))
        assert (reward, terminated, truncated, info["success"]) == (0.0, False, step == 20, False)
    assert env._browser.evaluate("Date.now()") - before == 20 * miniwob.STEP


@needs_chromium
def test_a_goal_terminates_with_the_raw_reward_and_a_mistake_too(shared):
    env = shared("click-test-2")
    for name, reward in (("ONE", 1.0), ("TWO", -1.0)):
        env.reset(seed=4)
        assert env.instruction == "Click button ONE."
        button = next(each for each in env.elements if each.text == name)
        _, got, terminated, truncated, info = env.step(act(CLICK, button))
        assert (got, terminated, truncated, info["success"]) == (reward, True, False, reward > 0)


@needs_chromium
def test_what_is_covered_is_clicked_where_it_shows(shared):
    """One button lies on the middle of the other."""
    env = shared("click-test-2")
    env.reset(seed=evaluation_seed(2))
    button = next(each for each in env.elements if each.text == "ONE")
    assert button.spot != button.middle
    assert f"button ONE {button.cell[0]},{button.cell[1]}" in page_text(env.elements)
    assert env.step(act(CLICK, button))[1] == 1.0
    env.reset(seed=evaluation_seed(2))
    assert env.step(act(CLICK, button.middle))[1] == -1.0


@needs_chromium
@pytest.mark.parametrize("name", ["enter-text", *(pytest.param(name, marks=slow) for name in TYPED)])
def test_experts_reach_the_goal(shared, name):
    env, task = shared(name), TASKS[f"miniwob/{name}"]
    for number in range(2):
        observation, _ = env.reset(seed=selection_seed(number))
        expert, over = task.expert(env), False
        while not over:
            action = expert(observation)
            assert env.action_space.contains(action)
            observation, _, terminated, truncated, info = env.step(action)
            over = terminated or truncated
        assert info["success"]


def test_an_expert_wants_a_page():
    with pytest.raises(ValueError, match=r"need an environment made by envs.families.miniwob"):
        TASKS["miniwob/click-test"].expert(gym.make("CartPole-v1"))


@needs_chromium
def test_the_picture_is_the_area_below_the_instruction_and_a_frame_shows_both(shared):
    env = shared("click-color")
    env.render_mode = "rgb_array"
    observation, _ = env.reset(seed=1)
    frame = env.render()
    assert (frame.shape, observation["pixels"].shape) == ((420, 320, 3), (80, 80, 3))
    below = frame[::2, ::2][50:].reshape(80, 2, 80, 2, 3).mean((1, 3))
    assert np.abs(below - observation["pixels"]).max() <= 1
    box = next(each for each in env.elements if each.classes == "color")
    color = [int(part) for part in box.background.removeprefix("rgb(").removesuffix(")").split(", ")]
    column, row = box.cell
    assert observation["pixels"][2 * row, 2 * column].tolist() == color


@needs_chromium
def test_a_browser_that_is_killed_is_one_line_and_the_next_episode_has_another():
    pytest.importorskip("miniwob")
    env = TASKS["miniwob/click-test"].make()
    env.reset(seed=1)
    pid = env._browser.pid
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(ChromiumFailed, match=r"^miniwob/click-test: Chromium was ended by SIGKILL"):
        env.step(act(NOTHING))
    assert processes(pid) == {}
    observation, _ = env.reset(seed=1)
    assert "button Click Me!" in observation["page"]
    pid = env._browser.pid
    env.close()
    env.close()
    assert processes(pid) == {}


@needs_chromium
def test_what_asks_and_what_never_ends_does_not_hang():
    pytest.importorskip("miniwob")
    with pytest.raises(ChromiumFailed, match=r"call reset first"):
        TASKS["miniwob/click-test"].make().step(act(NOTHING))
    env = miniwob.MiniWob("click-test", 20, patience=20)
    env.reset(seed=1)
    env._browser.evaluate("document.body.onclick = () => alert('wait for me')")
    assert env.step(act(CLICK, (1, 209)))[2] is False
    env._browser.patience, pid = 1.0, env._browser.pid
    env._browser.evaluate("document.body.onclick = () => { while (true) {} }")
    with pytest.raises(ChromiumFailed, match=r"^miniwob/click-test: Chromium did not answer .* within 1 s$"):
        env.step(act(CLICK, (1, 209)))
    assert processes(pid) == {}


@slow
@needs_chromium
def test_every_page_is_reset_stepped_and_the_same_again(shared):
    pages = [shared(name) for name in NAMES]
    assert [env.name for env in pages if not same(played(env, 5), played(env, 5))] == []
