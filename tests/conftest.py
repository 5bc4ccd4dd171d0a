"""Eight CPU devices and strict ranks, set before any JAX computation; Hypothesis without a deadline."""

import atexit
import gc
import os
import shutil
import tempfile
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("MUJOCO_GL", "egl")
os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:  # one for this run of tests, its workers and what they start
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="compiled-")
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.1"
    atexit.register(shutil.rmtree, os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True)

import jax
import pytest
from hypothesis import settings

os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(prefix="cache-")
atexit.register(shutil.rmtree, os.environ["XDG_CACHE_HOME"], ignore_errors=True)
jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_disable_most_optimizations", True)  # compiling takes most of the time, running little
jax.config.update("jax_numpy_rank_promotion", "raise")
settings.register_profile("calm", deadline=None)  # a busy machine is no failure
settings.load_profile("calm")


@pytest.fixture(autouse=True)
def _away_from_the_checkout(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True, scope="module")
def _compiled_programs_are_forgotten():
    """Compiled programs map memory, of which a process has so many pieces: past them a compiler crashes (Linux)."""
    yield
    maps, limit = Path("/proc/self/maps"), Path("/proc/sys/vm/max_map_count")
    if maps.exists() and len(maps.read_bytes().splitlines()) > 0.3 * int(limit.read_text()):
        jax.clear_caches()
        gc.collect()
