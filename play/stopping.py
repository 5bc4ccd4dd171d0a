"""Stop strings: where a text ends that is written piece by piece, and how much of it is sure already."""

from collections.abc import Sequence

REPLACEMENT = "\ufffd"
"""What bytes decode to that are not UTF-8, or not yet."""


def until(text: str, stop: Sequence[str]) -> str:
    """The text before the stop string that is complete first, so that it does not matter how much comes at a time."""
    found = [(at + len(each), at) for each in stop if each and (at := text.find(each)) >= 0]
    return text[: min(found)[1]] if found else text


def settled(text: str, stop: Sequence[str]) -> tuple[str, bool]:
    """The part of a text that what follows it cannot change, and whether a stop string ended it.

    Held back are bytes that may yet become a character and characters that may yet become a stop string.
    """
    cut = until(text, stop)
    if cut != text:
        return cut, True
    text = text.rstrip(REPLACEMENT)
    begun = [size for each in stop for size in range(1, len(each)) if text.endswith(each[:size])]
    return text[: len(text) - max(begun, default=0)], False
