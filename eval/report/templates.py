"""The templates of all pages: one look (style.css), for a laptop and a phone, light and dark."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jinja2

HERE = Path(__file__).parent


def page_from(name: str, filters: Mapping[str, Callable], *, beside: Path | None = None, **values: Any) -> str:
    """A page as text.

    Args:
        name: of the template.
        filters: what the template may apply, by name.
        beside: another folder in which templates are looked for, before this one.
        **values: what the template shows; all is escaped.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([*([beside] if beside else []), HERE]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= filters
    return environment.get_template(name).render(**values)
