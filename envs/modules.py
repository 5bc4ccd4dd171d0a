"""Modules that the user names: a policy's, an environment's."""

import importlib
import os
import sys
from types import ModuleType


def import_from_here(name: str) -> ModuleType:
    """The module, looked for as usual and then in the working directory. Raises what importing it raises."""
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    return importlib.import_module(name)
