"""A small web page as an agent meets it: what it sees of one, what it can do to one, in numbers and words.

The page has an instruction on top and a task area of 160 x 160 pixels below, as MiniWoB's pages have. Not here: the
browser (`generalist.envs.chromium`) and the tasks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium.spaces import Box, Dict, MultiDiscrete

from generalist.envs.spaces import AnyText

SCRIPT = Path(__file__).with_name("web_page.js").read_text()
"""What every page runs first: time in steps, and `webPage` (see the file)."""

TOP, SIDE = 50, 160
"""The task area in pixels: where it begins below the instruction, and its width and height."""
CELL = 4
"""Pixels along a side of the cells in which places are said: the smallest things to click are 8 pixels high."""
CELLS = SIDE // CELL
SHRINK = 2
"""The picture shows every 2 x 2 pixels as their mean: 80 x 80, which are 25 patches of 16 x 16. Letters cannot be read
in it; what is written stands in the texts. The instruction is not in the picture for the same reason."""
PIXELS = SIDE // SHRINK
LONGEST_INSTRUCTION, LONGEST_PAGE, LONGEST_WORDS = 256, 1024, 128
"""Characters of the instruction, of the page and of one element in it; what is longer is cut."""

KINDS = ("nothing", "move", "click", "press", "release", "scroll_up", "scroll_down", "type")
"""What an action does; a place goes with all but the first and the last, a text with the last."""
NOTHING, MOVE, CLICK, PRESS, RELEASE, SCROLL_UP, SCROLL_DOWN, TYPE = range(len(KINDS))
FIELDS = 8
"""Values that the instruction names, which can be typed whole."""
KEYS: tuple[tuple[str, int, tuple[str, ...]], ...] = (
    ("Enter", 13, ()),
    ("Tab", 9, ()),
    ("Backspace", 8, ()),
    ("ArrowLeft", 37, ()),
    ("ArrowUp", 38, ()),
    ("ArrowRight", 39, ()),
    ("ArrowDown", 40, ()),
    ("a", 65, ("selectAll",)),
    ("c", 67, ("copy",)),
    ("v", 86, ("paste",)),
)
"""Keys: name, number, and the command that the last three stand for, with the control key."""
CHARACTERS = "".join(map(chr, range(32, 127)))
TEXTS = FIELDS + len(KEYS) + len(CHARACTERS)

WHEEL = 50
"""Pixels that a scroll moves what lies under the mouse."""
AWAY = (400, 300)
"""A place beside the task, where the mouse is when an episode begins."""

OBSERVATION_SPACE = Dict(
    {
        "instruction": AnyText(LONGEST_INSTRUCTION),
        "page": AnyText(LONGEST_PAGE),
        "pixels": Box(0, 255, (PIXELS, PIXELS, 3), np.uint8),
    }
)
ACTION_SPACE = MultiDiscrete([len(KINDS), CELLS, CELLS, TEXTS])
"""(kind, column, row, text). A text is the k-th value that the instruction names, a key or a character."""

Call = tuple[str, dict[str, Any]]
"""A method of the browser and its parameters."""


@dataclass(frozen=True, kw_only=True)
class Element:
    """An element of a page that has a size: `left`, `top`, `width`, `height` in pixels of the page.

    `tag` of an input is its type; `text` is its own, without that of what it holds; of a list, `text` has all options
    and `value` those that are selected. `leaf`: it holds no other element. `drawn`: it is of an SVG picture.
    `scroll`: pixels above what is seen of it, of its whole content, and seen. `fill`, `color` and `background` are CSS
    colours. `spot`: where a click meets it, which others may cover: its middle, or what is nearest to that.
    """

    tag: str
    id: str
    classes: str
    text: str
    value: str
    left: float
    top: float
    width: float
    height: float
    focused: bool
    checked: bool
    leaf: bool
    drawn: bool
    fill: str
    color: str
    background: str
    attributes: dict[str, str]
    scroll: tuple[float, float, float]
    spot: tuple[float, float]

    @property
    def middle(self) -> tuple[float, float]:
        return self.left + self.width / 2, self.top + self.height / 2

    @property
    def cell(self) -> tuple[int, int]:
        """Column and row of its spot; outside of the area, beyond the ends."""
        x, y = self.spot
        return int(x // CELL), int((y - TOP) // CELL)

    @property
    def inside(self) -> bool:
        """Whether its spot lies in the task area."""
        return all(0 <= each < CELLS for each in self.cell)


def page_text(elements: Iterable[Element]) -> str:
    """One line for each element that says or takes something: "button ONE 12,5", with the column and row of its spot.

    What says nothing is told by its class: "span.star 30,2". What was typed stands after "=", "*" is the one that keys
    go to, "+" a box that is ticked. Cut to `LONGEST_PAGE` characters.
    """
    return "\n".join(line for each in elements if each.inside and (line := _line(each)))[:LONGEST_PAGE]


def _line(element: Element) -> str:
    if not element.text and not element.leaf:
        return ""
    column, row = element.cell
    name = element.classes.split(" ")[0] or element.id
    parts = [element.tag if element.text or not name else f"{element.tag}.{name}"]
    parts += [element.text[:LONGEST_WORDS]] if element.text else []
    parts += [f"={element.value[:LONGEST_WORDS]}"] if element.value else []
    return " ".join([*parts, f"{column},{row}" + "*" * element.focused + "+" * element.checked])


# ---- actions


def act(kind: int, place: Element | tuple[float, float] = (0, TOP), text: int = 0) -> np.ndarray:
    """An action, at an element or a point of the page in pixels: int64[4]."""
    x, y = place.spot if isinstance(place, Element) else place
    column, row = (int(np.clip(each // CELL, 0, CELLS - 1)) for each in (x, y - TOP))
    return np.array([kind, column, row, text], np.int64)


def type_field(number: int) -> np.ndarray:
    """Typing a value that the instruction names, by its place among them."""
    return act(TYPE, text=number)


def type_key(name: str) -> np.ndarray:
    """Pressing a key of `KEYS`; "a", "c" and "v" with the control key."""
    return act(TYPE, text=FIELDS + [key for key, *_ in KEYS].index(name))


def type_character(one: str) -> np.ndarray:
    return act(TYPE, text=FIELDS + len(KEYS) + CHARACTERS.index(one))


def point_of(action: Sequence[int]) -> tuple[int, int] | None:
    """Where an action puts the mouse, in pixels of the page: the middle of its cell; None: it stays where it is."""
    kind, column, row, _ = (int(each) for each in action)
    if kind in (NOTHING, TYPE):
        return None
    return CELL * column + CELL // 2, TOP + CELL * row + CELL // 2


def calls_of(action: Sequence[int], fields: Sequence[str]) -> list[Call]:
    """What the browser is to do for an action. A field that there is not types nothing."""
    kind, point = int(action[0]), point_of(action)
    if point is None:
        return _typed(int(action[3]), fields) if kind == TYPE else []
    moved = mouse("mouseMoved", point)
    if kind == MOVE:
        return [moved]
    if kind == CLICK:
        return [moved, mouse("mousePressed", point), mouse("mouseReleased", point)]
    if kind == PRESS:
        return [moved, mouse("mousePressed", point)]
    if kind == RELEASE:
        # What is dragged notices two movements, the first of which begins the dragging.
        beside = mouse("mouseMoved", (point[0] - 1, point[1] - 1), held=True)
        return [beside, mouse("mouseMoved", point, held=True), mouse("mouseReleased", point)]
    # A turn of the wheel reaches the page some frames later.
    down = WHEEL if kind == SCROLL_DOWN else -WHEEL
    return [moved, ("Runtime.evaluate", {"expression": f"webPage.scroll({point[0]}, {point[1]}, {down})"})]


def mouse(kind: str, point: tuple[float, float], *, held: bool = False) -> Call:
    """ "mouseMoved", with the button held or not, "mousePressed" or "mouseReleased", at a point of the page."""
    button = {"button": "none" if kind == "mouseMoved" and not held else "left", "buttons": int(held)}
    count = {} if kind == "mouseMoved" else {"clickCount": 1}
    return "Input.dispatchMouseEvent", {"type": kind, "x": point[0], "y": point[1], **button, **count}


def _typed(text: int, fields: Sequence[str]) -> list[Call]:
    if text < FIELDS:
        return [call for one in (fields[text] if text < len(fields) else "") for call in _key(one)]
    if text - FIELDS < len(KEYS):
        name, number, commands = KEYS[text - FIELDS]
        key = {"key": name, "code": name if len(name) > 1 else f"Key{name.upper()}", "windowsVirtualKeyCode": number}
        key |= {"modifiers": 2, "commands": list(commands)} if commands else {}
        pressed = {"type": "keyDown", **key} | ({"text": "\r"} if name == "Enter" else {})
        return [("Input.dispatchKeyEvent", pressed), ("Input.dispatchKeyEvent", {"type": "keyUp", **key})]
    return _key(CHARACTERS[text - FIELDS - len(KEYS)])


def _key(one: str) -> list[Call]:
    number = ord(one.upper()) if one.isascii() and one.isalnum() else 0
    key = {"key": one, "windowsVirtualKeyCode": number}
    pressed = {"type": "keyDown", "text": one, "unmodifiedText": one, **key}
    return [("Input.dispatchKeyEvent", pressed), ("Input.dispatchKeyEvent", {"type": "keyUp", **key})]
