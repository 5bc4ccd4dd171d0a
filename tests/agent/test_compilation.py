"""The second process loads what the first compiled, quietly; without a writable folder everything still runs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from generalist.agent import compilation

CODE = """
import jax, jax.numpy as jnp
from generalist.agent import compilation
compilation.SECONDS = 0.0
hits = []
jax.monitoring.register_event_listener(lambda event, **_: hits.append(event) if event.endswith("cache_hits") else None)
folder = compilation.keep_compilations()
value = jax.jit(lambda x: jnp.tanh(x @ x).sum())(jnp.ones((16, 16)))
print(folder, len(hits), float(value))
"""


def start(home: Path, **given: str) -> subprocess.Popen:
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("JAX_COMPIL", "JAX_PERSIST"))}
    environment = plain | {"XDG_CACHE_HOME": str(home)} | given
    return subprocess.Popen(
        [sys.executable, "-c", CODE], env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def end(process: subprocess.Popen) -> tuple[str, int, float, str]:
    """Folder, entries loaded, result and what was complained of."""
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    folder, hits, value = output.split()
    return folder, int(hits), float(value), errors


def test_the_second_process_loads_what_the_first_two_compiled(tmp_path):
    """The first two write at once."""
    together = [start(tmp_path), start(tmp_path)]
    first, other = (end(process) for process in together)
    folder, hits, value, errors = end(start(tmp_path))
    assert folder.startswith(str(tmp_path / "generalist" / "jax"))
    assert hits > 0
    assert errors == ""
    assert value == first[2] == other[2]


def test_a_damaged_entry_is_compiled_again(tmp_path):
    _, _, value, _ = end(start(tmp_path))
    entries = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert entries
    for path in entries:
        os.truncate(path, path.stat().st_size // 2)
    _, hits, again, errors = end(start(tmp_path))
    assert (hits, again) == (0, value)
    assert "Error reading persistent compilation cache entry" in errors


def test_without_a_folder_everything_is_compiled(tmp_path):
    (tmp_path / "file").write_text("no folder")
    folder, hits, _, errors = end(start(tmp_path / "file"))
    assert (folder, hits, errors) == ("None", 0, "")


def test_the_users_own_folder_stays(tmp_path):
    mine = str(tmp_path / "mine")
    assert end(start(tmp_path, JAX_COMPILATION_CACHE_DIR=mine))[0] == mine
    assert not (tmp_path / "generalist").exists()


@pytest.mark.parametrize("given", ["", "relative/folder"])
def test_without_a_valid_variable_it_is_in_the_home_folder(monkeypatch, tmp_path, given):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", given)
    assert compilation.cache_folder().is_relative_to(tmp_path / ".cache" / "generalist" / "jax")


def test_another_processor_has_another_folder(monkeypatch):
    here = compilation.cache_folder()
    assert compilation.cache_folder() == here
    monkeypatch.setattr(compilation, "processor", lambda: "another")
    assert compilation.cache_folder() != here


def test_options_for_the_cpu_go_to_no_other_backend(monkeypatch):
    assert compilation.on_cpu({"a": True}) == {"a": True}
    monkeypatch.setattr(compilation.jax, "default_backend", lambda: "gpu")
    assert compilation.on_cpu({"a": True}) is None
