"""Things that a caption names, as "a red ball": what a picture that was drawn from words is compared by."""

import re
from collections.abc import Callable

THING = re.compile(r"\ba (\w+) (ball|box|key)\b")


def things_in(text: str) -> list[tuple[str, str]]:
    """(colour, kind) of each."""
    return THING.findall(text)


PARTS: dict[str, Callable[[list[tuple[str, str]]], list]] = {
    "things": sorted,
    "colours": lambda things: sorted(colour for colour, _ in things),
    "kinds": lambda things: sorted(kind for _, kind in things),
}
