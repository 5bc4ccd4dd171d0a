"""What plans for web pages are made of: the page as it is now, and the actions.

A plan is a generator of actions, each made after the one before was played. It looks at the environment's elements and
at the values that the instruction names, not at the observation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import numpy as np

from generalist.envs.web_page import CLICK, MOVE, NOTHING, Element, act, type_character, type_field

Plan = Iterator[np.ndarray]
"""Actions, each made after the one before was played."""


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

    @property
    def every(self) -> tuple[Element, ...]:
        """All elements, those outside of the task area among them."""
        return self._env.elements

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
    """`part` is one of its classes, `drawn` whether it is of an SVG picture, anything else a property."""
    if name == "part":
        return value in element.classes.split()
    return element.drawn == value if name == "drawn" else getattr(element, name) == value


Kind = TypeVar("Kind")


def first(found: Iterable[Kind]) -> Kind:
    """Raises NotThere: there is none."""
    for each in found:
        return each
    raise NotThere("nothing of what was looked for")


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


def hover(place: Element | tuple[float, float]) -> np.ndarray:
    return act(MOVE, place)
