"""What is told of a page, and what an action makes the browser do; without a browser."""

from dataclasses import replace

import numpy as np
import pytest

from generalist.envs import web_page
from generalist.envs.web_page import ACTION_SPACE, TOP, Element, act, calls_of, page_text, point_of

BUTTON = Element(
    tag="button",
    id="subbtn",
    classes="one two",
    text="Submit",
    value="",
    left=40,
    top=TOP + 20,
    width=16,
    height=8,
    focused=False,
    checked=False,
    leaf=True,
    drawn=False,
    fill="",
    color="",
    background="",
    attributes={},
    scroll=(0, 0, 0),
    spot=(48, TOP + 24),
)


def typed(text: int, fields=()) -> str:
    calls = calls_of([web_page.TYPE, 0, 0, text], fields)
    return "".join(call["key"] for _, call in calls if call["type"] == "keyDown")


def test_a_line_says_what_an_element_is_and_where():
    assert page_text([BUTTON]) == "button Submit 12,6"
    box = replace(BUTTON, tag="text", text="", value="abc", focused=True)
    assert page_text([box, replace(BUTTON, text="", tag="checkbox", classes="", checked=True)]) == (
        "text.one =abc 12,6*\ncheckbox.subbtn 12,6+"
    )


def test_what_holds_others_and_what_lies_outside_is_not_told():
    assert (
        page_text(
            [replace(BUTTON, text="", leaf=False), replace(BUTTON, spot=(170, 80)), replace(BUTTON, spot=(20, 10))]
        )
        == ""
    )


def test_long_texts_are_cut():
    long = replace(BUTTON, text="x" * 500)
    assert len(page_text([long])) < 150
    assert len(page_text([long] * 20)) == web_page.LONGEST_PAGE
    assert web_page.OBSERVATION_SPACE["page"].contains(page_text([long] * 20))


def test_an_action_points_at_the_cell_of_an_element():
    action = act(web_page.CLICK, BUTTON)
    assert action.tolist() == [web_page.CLICK, *BUTTON.cell, 0]
    assert ACTION_SPACE.contains(action)
    x, y = point_of(action)
    assert (abs(x - BUTTON.spot[0]) <= 2, abs(y - BUTTON.spot[1]) <= 2) == (True, True)
    assert ACTION_SPACE.contains(act(web_page.PRESS, (-5, 1000)))


def test_a_click_moves_presses_and_lets_go():
    kinds = [call["type"] for _, call in calls_of(act(web_page.CLICK, BUTTON), [])]
    assert kinds == ["mouseMoved", "mousePressed", "mouseReleased"]
    assert calls_of(act(web_page.NOTHING), []) == []


def test_texts_are_values_of_the_instruction_keys_and_characters():
    assert typed(1, ["one", "two"]) == "two"
    assert typed(2, ["one", "two"]) == ""
    assert typed(web_page.type_key("Enter")[3]) == "Enter"
    assert typed(web_page.type_character("@")[3]) == "@"
    assert web_page.type_character("~")[3] == web_page.TEXTS - 1


@pytest.mark.parametrize("seed", range(3))
def test_every_action_of_the_space_is_known(seed):
    rng = np.random.default_rng(seed)
    for kind in range(len(web_page.KINDS)):
        for _ in range(50):
            column, row, text = (rng.integers(size) for size in ACTION_SPACE.nvec[1:])
            for method, _ in calls_of(np.array([kind, column, row, text]), ["word"]):
                assert method in ("Input.dispatchMouseEvent", "Input.dispatchKeyEvent", "Runtime.evaluate")
