"""What has no wheel for the Python in use, and is left out of the extras for it (see pyproject.toml)."""

import sys

import pytest

needs_dm_control = pytest.mark.skipif(
    sys.version_info >= (3, 13), reason="dm-control needs labmaze, which has no wheel for Python 3.13"
)


def marked(tasks):
    """The tasks as parameters of a test, those of the control suite skipped where it cannot be installed."""
    return [pytest.param(task, marks=[needs_dm_control] * (task.extra == "dm_control")) for task in tasks]
