"""A platform that JAX does not have is one line; other errors are not taken for it."""

import os
import subprocess
import sys

import pytest

from generalist.configs.commands.errors import run
from generalist.configs.commands.platforms import missing_platform

COMMAND = "from generalist.configs.commands.cli import main; raise SystemExit(main())"


def described(**variables: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", COMMAND, "describe", "smoke"]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | variables, timeout=120)


@pytest.mark.parametrize("platform", ["cuda", "tpu", "cpu,gpux"])
def test_a_platform_that_is_not_here_is_one_line(platform):
    done = described(JAX_PLATFORMS=platform)
    assert done.returncode == 2
    said = (
        f"error: JAX has no such platform here as JAX_PLATFORMS={platform} asks for: there is cpu; unset JAX_PLATFORMS"
    )
    assert done.stderr.splitlines()[-1] == said
    assert "Traceback" not in done.stderr


def test_other_errors_keep_their_traceback(monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "cuda")

    def wrong(argv):
        raise AssertionError("a fault of ours")

    with pytest.raises(AssertionError, match="a fault of ours"):
        run(wrong, [])
    assert missing_platform(RuntimeError("no space in the cache")) is None
