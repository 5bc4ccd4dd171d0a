"""Text of others on its way to the terminal: file names, errors, instructions, names of tasks, what a model writes.

It may hold escape sequences, which move the cursor, change the title or worse, and bidirectional controls, which show
words in another order than they stand in. Neither gets out; and nothing of it is taken for rich's markup or emoji.
"""

import re
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

REPLACED = "\N{REPLACEMENT CHARACTER}"
_OUTSIDE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""C0 and C1 controls but tab and line feed, line separators, bidirectional controls, lone surrogates."""


def printable(text: str) -> str:
    """The text with every character that is not one to be shown replaced by `REPLACED`; line breaks and tabs stay."""
    return _OUTSIDE.sub(REPLACED, text)


class SafeConsole(Console):
    """A rich console for text of others: see `printable`. Markup must be asked for, with `markup=True`."""

    def __init__(self, **options: Any):
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(printable(segment.text), segment.style)
