"""Compiled programs on disk, so that the second start of a command does not compile again.

JAX does the work: it keys entries by program, options, devices and its own version, and several processes may use one
folder at once. An entry that a killed process left half-written is noticed by JAX, which warns and compiles again;
removing the folder is always safe.
"""

import hashlib
import platform
import tempfile
from pathlib import Path
from typing import Any

import jax

from generalist.envs.files import user_cache

SECONDS = 0.1
"""What compiles faster is not stored."""


def keep_compilations() -> Path | None:
    """From now on, store what is compiled and load what is stored; the folder, or None where there is none.

    A folder that the user gave to JAX (JAX_COMPILATION_CACHE_DIR or `jax.config`) stays as it is, with its thresholds.
    Where nothing can be written, every start compiles.
    """
    settings: Any = jax.config  # its attributes are made at run time
    if settings.jax_compilation_cache_dir is not None:
        return Path(settings.jax_compilation_cache_dir)
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError:
        return None
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", SECONDS)
    return folder


def on_cpu(options: dict[str, Any]) -> dict[str, Any] | None:
    """Options of XLA for CPU, for `jax.jit`; None on another backend, which may refuse what it does not know."""
    return options if jax.default_backend() == "cpu" else None


def cache_folder() -> Path:
    """`generalist/jax/<processor>` in the user's cache folder (XDG_CACHE_HOME, or ~/.cache).

    One for each kind of processor, because code that was compiled for another one may be illegal on this one, and home
    folders are shared between machines.
    """
    return user_cache() / "jax" / hashlib.sha256(processor().encode()).hexdigest()[:16]


def processor() -> str:
    """Model and instruction sets of this machine's processor."""
    names = ("model name", "flags", "Features", "CPU implementer", "CPU part")
    try:
        lines = Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
    except OSError:
        lines = []
    found = [line for line in lines if line.split(":")[0].strip() in names]
    return "\n".join([platform.machine(), platform.processor(), *found])
