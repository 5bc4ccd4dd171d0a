"""Which modules may be imported because a task's id names them: "gym:MODULE:Id" imports MODULE, which runs its code.

What the user names himself, on the command line or in a call, is imported. An id that a data set, a corpus or a run
holds is a stranger's word: its module is imported only if it is one of these.

1. The user trusts it: `--trust MODULE`, the argument `trust`, or an id with it that he gave in the same process.
2. It is imported already, so that nothing runs anew.
3. It is `KNOWN` and installed as a package.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib.metadata import packages_distributions

from generalist.envs.task import GYM_PREFIX, UnknownTask

KNOWN = ("ale_py", "gymnasium", "gymnasium_robotics", "metaworld", "minigrid", "procgen_gym")
"""Packages of this package's own families, which an id of a file may name."""

_trusted: set[str] = set()
"""Of this process. Workers need none: they are sent tasks that were found, not ids."""


class UntrustedModule(UnknownTask):
    """A file names a module that the user has not; the message says how to trust it."""


def trust(modules: str | Iterable[str]) -> None:
    """Let files of this process name these modules, and those below them: one or several."""
    several = (modules,) if isinstance(modules, str) else tuple(modules)
    if wrong := [name for name in several if not all(part.isidentifier() for part in name.split("."))]:
        raise ValueError(f"{wrong[0]!r} is no name of a module: --trust needs one such as my_package")
    _trusted.update(several)


def trust_task(id: str) -> None:
    """The user has given this id himself: its module, if it names one, is trusted from now on."""
    if module := module_of(id):
        _trusted.add(module)


def module_of(id: str) -> str:
    """ "gym:my_package:MyEnv-v0" -> "my_package"; "" for an id that names none."""
    return id.removeprefix(GYM_PREFIX).rpartition(":")[0] if id.startswith(GYM_PREFIX) else ""


def is_trusted(id: str) -> bool:
    """Whether a file may name this task: its module, if it names one, is trusted."""
    try:
        check_trusted(module_of(id) or "gymnasium")
    except UntrustedModule:
        return False
    return True


def check_trusted(module: str) -> None:
    """Raises UntrustedModule for a module that an id of a file may not have imported; see above."""
    parts = module.split(".")
    if any(".".join(parts[:count]) in _trusted for count in range(1, len(parts) + 1)) or module in sys.modules:
        return
    if module in KNOWN and module in packages_distributions():
        return
    raise UntrustedModule(
        f"the module {module!r} is named by a data set or a run and not imported, because that would run its code: if "
        f"you trust it, say so with --trust {module}"
    )
