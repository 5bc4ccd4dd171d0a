"""What an object says of itself in a notebook: names and values as small tables, escaped."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any


def html_table(title: str, rows: Mapping[str, Any]) -> str:
    """A table of two columns below a title, in the notebook's own colours."""
    cell = '<td style="text-align: left; vertical-align: top">'
    lines = (f"<tr>{cell}{escape(name)}</td>{cell}{escape(str(value))}</td></tr>" for name, value in rows.items())
    return f"<div><strong>{escape(title)}</strong><table>{''.join(lines)}</table></div>"


def html_grid(title: str, heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table with a head below a title; the first column is words, the others are numbers."""
    sides = ["left", *["right"] * (len(heads) - 1)]

    def line(tag: str, cells: Sequence[Any]) -> str:
        shown = (
            f'<{tag} style="text-align: {side}">{escape(str(cell))}</{tag}>'
            for side, cell in zip(sides, cells, strict=True)
        )
        return f"<tr>{''.join(shown)}</tr>"

    body = "".join(line("td", row) for row in rows)
    return f"<div><strong>{escape(title)}</strong><table><thead>{line('th', heads)}</thead>{body}</table></div>"
