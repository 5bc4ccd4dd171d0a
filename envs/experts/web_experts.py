"""Experts for MiniWoB's pages: plans that look at the page's elements and at the values that the instruction names.

They look at the environment (`elements`, `fields`, `instruction`), not at the observation. A plan goes on as if each of
its actions had been played, so it is not for recording with noise; after its end it does nothing.
"""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np

from generalist.envs.task import ActionFunction
from generalist.envs.web_page import (
    CLICK,
    MOVE,
    NOTHING,
    PRESS,
    RELEASE,
    SCROLL_DOWN,
    Element,
    act,
    type_character,
    type_field,
    type_key,
)

Plan = Iterator[np.ndarray]
"""Actions, each made after the one before was played."""
INPUTS = ("text", "password", "textarea", "date", "time", "number", "search")


class NotThere(LookupError):  # noqa: N818
    """The page has no such element; the plan ends."""


class Page:
    """What a plan looks at: the page as it is now."""

    def __init__(self, env: Any):
        self._env = env

    @property
    def instruction(self) -> str:
        return self._env.instruction

    @property
    def fields(self) -> tuple[tuple[str, str], ...]:
        """Names and values that the instruction gives."""
        return self._env.fields

    def field(self, name: str) -> str:
        """A value that the instruction names; "" if it does not."""
        return dict(self._env.fields).get(name, "")

    def place(self, name: str) -> int:
        """The place of a value among those of the instruction."""
        return [each for each, _ in self._env.fields].index(name)

    def all(self, *tags: str, **wanted: Any) -> list[Element]:
        """Elements in the task area, of these tags (all by default) and with these properties, as the page has them."""
        return [
            each
            for each in self._env.elements
            if each.inside
            and (not tags or each.tag in tags)
            and all(_has(each, name, value) for name, value in wanted.items())
        ]

    def one(self, *tags: str, **wanted: Any) -> Element:
        """The first of them. Raises NotThere: there is none."""
        found = self.all(*tags, **wanted)
        if not found:
            raise NotThere(f"{tags} {wanted} on {self.instruction!r}")
        return found[0]


def _has(element: Element, name: str, value: Any) -> bool:
    """`part` is one of its classes, anything else a property."""
    return value in element.classes.split() if name == "part" else getattr(element, name) == value


def click(place: Element | tuple[float, float]) -> np.ndarray:
    return act(CLICK, place)


def wait() -> np.ndarray:
    return act(NOTHING)


def write(text: str) -> Plan:
    """Type it character by character."""
    return map(type_character, text)


def fill(page: Page, element: Element, name: str) -> Plan:
    """Type a value that the instruction names into an input."""
    yield click(element)
    yield type_field(page.place(name))


def submit(page: Page) -> Plan:
    """Click the page's own button."""
    yield click(page.one("button", id="subbtn"))


# ---- clicks


def only_button(page: Page) -> Plan:
    yield click(page.one("button"))


def named_button(page: Page) -> Plan:
    yield click(page.one("button", text=page.field("target")))


def both_buttons(page: Page) -> Plan:
    yield click(page.one("button", text="ONE"))
    yield click(page.one("button", text="TWO"))


def named_link(page: Page) -> Plan:
    yield click(page.one("span", classes="alink", text=page.field("target")))


def dialog_button(page: Page) -> Plan:
    """The one that the instruction names, or the cross in the corner."""
    name = page.field("target")
    yield click(page.one("button", text=name) if len(name) > 1 else page.one("span", part="ui-button-icon"))


def named_color(page: Page) -> Plan:
    yield click(next(each for each in page.all("div") if each.attributes.get("data-color") == page.field("target")))


def named_widget(page: Page) -> Plan:
    yield click(page.one(page.field("target")))


def text_box(page: Page) -> Plan:
    """The only one, or the one with the number that the instruction names."""
    yield click(page.all("text")[int(page.field("target") or 1) - 1])


def tab(page: Page) -> Plan:
    yield click(page.one("a", text=f"Tab #{page.field('target')}"))


def link_behind_tabs(page: Page) -> Plan:
    """Opens one after the other until the link is to be seen."""
    for each in page.all("a"):
        yield click(each)
        if found := page.all("span", classes="alink", text=page.field("target")):
            yield click(found[0])
            return


def link_behind_sections(page: Page) -> Plan:
    """The same, in sections that open in their time."""
    for number in range(len(page.all("h3"))):
        if not page.all("span", classes="alink", text=page.field("target")):
            yield click(page.all("h3")[number])
            yield wait()
    yield from named_link(page)


def section_and_button(page: Page) -> Plan:
    yield click(page.one("h3"))
    yield wait()
    yield from submit(page)


def boxes(page: Page) -> Plan:
    """Ticks those that the instruction lists."""
    wanted = [value for name, value in page.fields if name.startswith("target")]
    for name in wanted:
        yield click(page.one("label", text=name))
    yield from submit(page)


def option(page: Page) -> Plan:
    yield click(page.one("label", text=page.field("target")))
    yield from submit(page)


def grid_point(page: Page) -> Plan:
    yield click(page.one("circle", id=f"({page.field('x')},{page.field('y')})"))


def menu_item(page: Page) -> Plan:
    """Opens each menu on the way with the mouse on it."""
    *above, last = page.field("target").split(">")
    for name in above:
        yield act(MOVE, page.one("div", text=name))
        yield wait()
    yield click(page.one("div", text=last))


# ---- typing


def text(page: Page) -> Plan:
    yield from fill(page, page.one("text"), "target")
    yield from submit(page)


def password_twice(page: Page) -> Plan:
    for each in page.all("password"):
        yield from fill(page, each, "target")
    yield from submit(page)


def login(page: Page) -> Plan:
    """A question that comes in between is answered with no."""
    for tag, name in (("text", "username"), ("password", "password")):
        yield click(page.one(tag))
        if question := page.all("button", id="popup-cancel"):
            yield click(question[0])
            yield click(page.one(tag))
        yield type_field(page.place(name))
    yield from submit(page)


def timed_input(tag: str, page: Page) -> Plan:
    """A date or a time: the click is on its first part, the others follow as the keys fill it."""
    each = page.one(tag)
    yield click((each.left + 8, each.middle[1]))
    yield type_field(page.place("target"))
    yield from submit(page)


def in_case(page: Page) -> Plan:
    word, case = page.field("text"), page.field("case")
    yield click(page.one("text"))
    yield from write(word.upper() if case == "upper" else word.lower())
    yield from submit(page)


def list_option(page: Page) -> Plan:
    yield click(page.one("select"))
    yield type_field(page.place("target"))
    yield click(page.one("button"))


def table_value(page: Page) -> Plan:
    cells = page.all("td")
    names = [each.text for each in cells]
    yield click(page.one("text"))
    yield from write(cells[names.index(page.field("target")) + 1].text)
    yield from submit(page)


def sum_or_difference(page: Page) -> Plan:
    """Of a problem such as "7 - 9 =", or an equation such as "x + 3 = 5"."""
    raise NotThere(page.instruction)
    yield


# ---- experts


def _expert(plan: Callable[[Page], Plan], env: gym.Env) -> ActionFunction:
    base: Any = env.unwrapped
    if not hasattr(base, "elements"):
        raise ValueError(f"experts for web pages need an environment made by envs.families.miniwob, got {env}")
    actions = itertools.chain(_whole(plan, Page(base)), itertools.repeat(wait()))
    return lambda observation: next(actions).copy()


def _whole(plan: Callable[[Page], Plan], page: Page) -> Plan:
    """The plan, up to where the page is not as it takes it for."""
    with contextlib.suppress(NotThere):
        yield from plan(page)


PLANS: dict[str, Callable[[Page], Plan]] = {
    "click-test": only_button,
    "click-test-2": named_button,
    "click-test-transfer": named_button,
    "click-button": named_button,
    "click-button-sequence": both_buttons,
    "click-link": named_link,
    "click-dialog": dialog_button,
    "click-dialog-2": dialog_button,
    "click-color": named_color,
    "click-widget": named_widget,
    "focus-text": text_box,
    "focus-text-2": text_box,
    "click-tab": tab,
    "click-tab-2": link_behind_tabs,
    "click-tab-2-easy": link_behind_tabs,
    "click-tab-2-medium": link_behind_tabs,
    "click-tab-2-hard": link_behind_tabs,
    "click-collapsible": section_and_button,
    "click-collapsible-nodelay": section_and_button,
    "click-collapsible-2": link_behind_sections,
    "click-collapsible-2-nodelay": link_behind_sections,
    "click-checkboxes": boxes,
    "click-checkboxes-large": boxes,
    "click-checkboxes-transfer": boxes,
    "click-option": option,
    "grid-coordinate": grid_point,
    "click-menu": menu_item,
    "enter-text": text,
    "enter-text-dynamic": text,
    "enter-text-2": in_case,
    "enter-password": password_twice,
    "login-user": login,
    "login-user-popup": login,
    "enter-date": partial(timed_input, "date"),
    "enter-time": partial(timed_input, "time"),
    "choose-list": list_option,
    "read-table": table_value,
}
EXPERTS: dict[str, Callable[[gym.Env], ActionFunction]] = {name: partial(_expert, plan) for name, plan in PLANS.items()}
"""By the name of the task."""
