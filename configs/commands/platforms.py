"""A platform that JAX is told to use and that is not here: what is said instead of its traceback."""

import os
import traceback
from collections.abc import Iterator

VARIABLES = ("JAX_PLATFORMS", "JAX_PLATFORM_NAME")
LOOKED_FOR = "jax._src.xla_bridge"
"""Where JAX looks for a platform: an exception that was raised there is about it."""


def missing_platform(error: BaseException) -> str | None:
    """What was asked for, what there is, and what to do, in a line; None if the error is another one."""
    asked = [f"{name}={value}" for name in VARIABLES if (value := os.environ.get(name))]
    if not asked or not any(_raised_there(each) for each in _chain(error)):
        return None
    [first, *_] = asked
    return f"JAX has no such platform here as {first} asks for: there is {_platforms()}; unset {first.split('=')[0]}"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _raised_there(error: BaseException) -> bool:
    frames = [frame.f_globals.get("__name__") for frame, _ in traceback.walk_tb(error.__traceback__)]
    return isinstance(error, RuntimeError | AssertionError) and frames[-1:] == [LOOKED_FOR]


def _platforms() -> str:
    import jax

    jax.config.update("jax_platforms", None)  # this process ends: nothing is computed with what it finds
    try:
        return ", ".join(sorted({device.platform for device in jax.devices()} | {"cpu"}))
    except RuntimeError:
        return "cpu"
