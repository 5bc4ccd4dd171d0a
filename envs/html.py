"""What an object says of itself in a notebook: names and values as a small table, escaped."""

from collections.abc import Mapping
from html import escape
from typing import Any


def html_table(title: str, rows: Mapping[str, Any]) -> str:
    """A table of two columns below a title, in the notebook's own colours."""
    cell = '<td style="text-align: left; vertical-align: top">'
    lines = (f"<tr>{cell}{escape(name)}</td>{cell}{escape(str(value))}</td></tr>" for name, value in rows.items())
    return f"<div><strong>{escape(title)}</strong><table>{''.join(lines)}</table></div>"
