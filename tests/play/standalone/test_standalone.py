"""A policy in one file plays as the agent does that it was exported from, without the agent's code."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from acted import CASES, in_turns, layout_of, observed, player
from flax import nnx
from tiny import trained
from token_examples import network

import generalist
from generalist.agent.config import DecodeConfig
from generalist.envs.table import find_task
from generalist.play.policy import AgentPolicy
from generalist.play.rollout import rollout
from generalist.play.standalone import policy as standalone
from generalist.play.standalone.policy import StandalonePolicy
from generalist.play.standalone.program import packed

SAMPLED = DecodeConfig(continuous="sample", discrete="sample")


def exported(path: Path, policy: AgentPolicy, name: str, slots: int) -> StandalonePolicy:
    path.write_bytes(packed(policy, nnx.split(network(name))[0], "x"))
    return StandalonePolicy(path, slots=slots)


@pytest.mark.parametrize(("name", "options"), CASES, ids=str)
def test_it_chooses_what_the_agent_chooses(tmp_path, name, options):
    """Drawn, so that chances of every action must be equal, and not the best one alone."""
    layout = layout_of(name, options)
    policy = AgentPolicy(player(name, SAMPLED), layout, 0, slots=3)
    alone = exported(tmp_path / "policy.stablehlo", policy, name, slots=3)
    episodes = {number: observed(name, layout, number) for number in range(4)}
    played = []
    for each in (policy, alone):
        each.attach([SimpleNamespace(seed=-1) for _ in range(3)])
        played.append(in_turns(each, episodes))
    for number, actions in played[0].items():
        for mine, its in zip(played[1][number], actions, strict=True):
            jax.tree.map(np.testing.assert_allclose, mine, its)
            assert jax.tree.map(lambda x: np.asarray(x).dtype, mine) == jax.tree.map(lambda x: np.asarray(x).dtype, its)


def test_actions_of_a_chunk_are_played_one_after_the_other(tmp_path):
    layout = layout_of("vector", {"past_actions": "hidden", "chunk": 3, "context": 1})
    policy = AgentPolicy(player("vector", DecodeConfig(continuous="sample", play_chunk=2)), layout, 0, slots=2)
    alone = exported(tmp_path / "policy.stablehlo", policy, "vector", slots=2)
    episodes = {number: observed("vector", layout, number) for number in range(3)}
    played = []
    for each in (policy, alone):
        each.attach([SimpleNamespace(seed=-1) for _ in range(2)])
        played.append(in_turns(each, episodes))
    jax.tree.map(np.testing.assert_allclose, *played)


def test_whole_episodes_have_equal_returns_without_the_code_of_the_network(tmp_path):
    """In a process that has jax, numpy and the file of the module alone."""
    agent, path = generalist.load(trained()), tmp_path / "cartpole.stablehlo"
    agent.export_policy("CartPole-v1", path)
    task, seeds = find_task("CartPole-v1"), list(range(6))
    expected = rollout(task, agent.policy(task, slots=3).policy, seeds, slots=3)
    script = tmp_path / "play.py"
    script.write_text(PLAY.format(seeds=seeds, path=str(path)))
    code = Path(standalone.__file__).read_text()
    (tmp_path / "standalone_policy.py").write_text(code)
    done = subprocess.run([sys.executable, script.name], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["returns"] == [result.episode_return for result in expected]
    assert not {"generalist", "flax", "optax", "orbax"} & set(found["modules"])
    assert len(code.splitlines()) < 200


PLAY = """
import json, sys
import gymnasium
from standalone_policy import StandalonePolicy

policy, env, returns = StandalonePolicy({path!r}), gymnasium.make("CartPole-v1"), []
for seed in {seeds}:
    observation, _ = env.reset(seed=seed)
    policy.reset(0, seed=seed)
    total, over = 0.0, False
    while not over:
        [action] = policy.act([observation], [0])
        observation, reward, terminated, truncated, _ = env.step(action)
        total, over = total + float(reward), terminated or truncated
    returns.append(total)
print(json.dumps({{"returns": returns, "modules": sorted({{name.split(".")[0] for name in sys.modules}})}}))
"""


def test_it_is_one_program_for_every_platform(tmp_path):
    path = tmp_path / "cartpole.stablehlo"
    size = generalist.load(trained()).export_policy("CartPole-v1", path)
    assert path.stat().st_size == size
    with zipfile.ZipFile(path) as file:
        program = jax.export.deserialize(bytearray(file.read(standalone.PROGRAM)))
    assert program.platforms == ("cpu", "cuda", "tpu")


def test_what_cannot_stand_alone_is_refused(tmp_path):
    agent = generalist.load(trained())
    with pytest.raises(ValueError, match="unknown task"):
        agent.export_policy("CartPole", tmp_path / "x.stablehlo")
    chunks = layout_of("vector", {"past_actions": "hidden", "chunk": 2, "context": 2})
    looking_back = AgentPolicy(player("vector", DecodeConfig(play_chunk=2)), chunks, 0, slots=1)
    with pytest.raises(ValueError, match="play_chunk 1"):
        packed(looking_back, nnx.split(network("vector"))[0], "x")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"", b"PK\x05\x06" + b"\0" * 18, b"\0" * 99], ids=["empty", "no files", "zeros"])
def test_a_file_that_is_none_is_refused(tmp_path, content):
    path = tmp_path / "policy.stablehlo"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"policy\.stablehlo"):
        StandalonePolicy(path)


def test_a_newer_format_is_refused(tmp_path):
    path = tmp_path / "policy.stablehlo"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(standalone.RECIPE, json.dumps({"format": standalone.FORMAT + 1}))
    with pytest.raises(ValueError, match=f"holds format {standalone.FORMAT + 1}"):
        StandalonePolicy(path)


def test_what_is_not_a_number_is_refused(tmp_path):
    path = tmp_path / "cartpole.stablehlo"
    generalist.load(trained()).export_policy("CartPole-v1", path)
    with pytest.raises(ValueError, match="observation: NaN"):
        StandalonePolicy(path).act([np.full(4, np.nan, np.float32)], [0])
