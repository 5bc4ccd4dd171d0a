"""Names that were mistyped: what an error says about the nearest ones. Ids of tasks: `generalist.envs.task`."""

import difflib
from collections.abc import Iterable


def nearest(name: str, names: Iterable[str]) -> str:
    """Words that end an error about an unknown name: the nearest names, or all of them if none is near."""
    names = list(names)
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    return f"did you mean {' or '.join(near)}?" if near else f"choose from {', '.join(names)}"
