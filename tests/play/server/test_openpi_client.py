"""The client of the package `openpi-client`, in an environment of its own (it needs NumPy 1), is a client of ours."""

import json
import os
import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

pytest.importorskip("uvicorn")
from serving import DRAWN, alone, serving
from tiny import trained

from generalist.play.agent import Agent

PROGRAM = """
import json, sys
import numpy as np
from openpi_client.action_chunk_broker import ActionChunkBroker
from openpi_client.websocket_client_policy import WebsocketClientPolicy

uri, path, key = sys.argv[1:]
policy = WebsocketClientPolicy(uri, api_key=key)
told = policy.get_server_metadata()
seen = np.load(path)
first = [policy.infer({"observation": each, "reset": step == 0, "seed": 3}) for step, each in enumerate(seen)]
broker = ActionChunkBroker(policy, told["chunk"])
second = [broker.infer({"observation": each, "reset": step == 0, "seed": 3}) for step, each in enumerate(seen)]
try:
    policy.infer({"observation": seen[0][:2]})
    wrong = ""
except RuntimeError as error:
    wrong = str(error)
again = policy.infer({"observation": seen[0], "reset": True, "seed": 3})
print(json.dumps({
    "numpy": np.__version__,
    "task": told["task"],
    "first": [int(each["actions"][0]) for each in first],
    "second": [int(each["actions"]) for each in second],
    "infer_ms": first[0]["server_timing"]["infer_ms"],
    "wrong": wrong,
    "again": int(again["actions"][0]),
}))
"""


@pytest.fixture(scope="module")
def packages(tmp_path_factory) -> Path:
    """A folder with the client and what it needs; what it imports and does not ask for is named."""
    folder = tmp_path_factory.mktemp("client")
    wanted = ["openpi-client", "typing-extensions", "numpy<2", "--only-binary=numpy,dm-tree,msgpack,pillow,websockets"]
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(folder), *wanted]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"openpi-client cannot be installed here: {made.stderr[-300:]}")
    return folder


def test_it_plays_an_episode_as_this_process_does(packages, tmp_path):
    agent = Agent.load(trained()).with_decode(DRAWN)
    actions = alone(agent, "CartPole-v1", 3, 12)
    with gym.make("CartPole-v1") as env:
        seen = [env.reset(seed=3)[0], *(env.step(action)[0] for action in actions[:-1])]
    np.save(tmp_path / "seen.npy", seen)
    (tmp_path / "program.py").write_text(PROGRAM)

    with serving(agent, ("CartPole-v1", "FrozenLake8x8-v1"), token="secret") as server:
        uri = f"ws://{server.host}:{server.port}/?task=CartPole-v1"
        command = [sys.executable, "-S", str(tmp_path / "program.py"), uri, str(tmp_path / "seen.npy"), "secret"]
        made = subprocess.run(
            command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(packages)}, check=False
        )

    assert made.returncode == 0, made.stderr
    found = json.loads(made.stdout)
    assert found["numpy"].startswith("1.")
    assert found["task"] == "CartPole-v1"
    assert found["first"] == found["second"] == actions
    assert found["again"] == actions[0]
    assert found["infer_ms"] > 0
    assert "shape" in found["wrong"]
