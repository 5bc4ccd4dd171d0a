"""Eight CPU devices, strict ranks, no progress bars: set before any JAX computation."""

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("MUJOCO_GL", "egl")
os.environ.setdefault("SDL_VIDEODRIVER", "dummy")

import jax
import pytest

jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture(autouse=True)
def _away_from_the_checkout(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
