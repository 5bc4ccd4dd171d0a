"""adapt.html: adapt.json as a page."""

import os
from collections.abc import Mapping
from typing import Any


def write_page(path: str | os.PathLike, record: Mapping[str, Any]) -> None:
    """Writes the page, whole or not at all."""
