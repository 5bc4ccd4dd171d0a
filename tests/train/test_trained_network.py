"""A network in fewer bits than it was trained in: what is kept so, what it then says, and from where."""

from contextlib import closing

import gymnasium as gym
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from tiny import trained

from generalist.configs.commands.cli import main
from generalist.play.agent import Agent
from generalist.play.writer import Writer
from generalist.tokenizers.parts import Words
from generalist.train.run import read_run
from generalist.train.trainable import name_of
from generalist.train.trained_network import kept_in, trained_network

TEXTS = [(Words("Go to the red ball."),), (Words("def f(x): return x"),)]


def dtypes(state) -> dict[str, np.dtype]:
    return {name_of(path): leaf.get_value().dtype for path, leaf in nnx.to_flat_state(state)}


def test_matrices_are_kept_in_few_bits_and_norms_are_not():
    _, whole, _ = trained_network(read_run(trained()))
    _, few, _ = trained_network(read_run(trained()), dtype="bfloat16")
    assert {*dtypes(whole).values()} == {jnp.dtype("float32")}
    for name, dtype in dtypes(few).items():
        assert dtype == ("bfloat16" if name.endswith(("/kernel", "/rows")) else "float32"), name
    for (path, mine), (_, other) in zip(nnx.to_flat_state(few), nnx.to_flat_state(whole), strict=True):
        expected = other.get_value().astype(mine.get_value().dtype)
        np.testing.assert_array_equal(mine.get_value(), expected, err_msg=name_of(path))


def test_what_is_turned_is_given_up_and_the_rest_is_not():
    _, state, _ = trained_network(read_run(trained()))
    assert {*dtypes(kept_in(state, "float32")).values()} == {jnp.dtype("float32")}
    kept_in(state, "bfloat16")
    for path, leaf in nnx.to_flat_state(state):
        assert leaf.get_value().is_deleted() == (path[-1] in ("kernel", "rows")), path


def test_an_agent_computes_in_it_and_acts_nearly_the_same():
    few, whole = (Agent.load(trained(), dtype=dtype) for dtype in ("bfloat16", None))
    assert few.run.config.agent.dtype == "bfloat16"
    assert whole.run.config.agent.dtype == "float32"
    with closing(gym.make_vec("CartPole-v1", num_envs=32, vectorization_mode="sync")) as envs:
        observations, _ = envs.reset(seed=0)
        mine, others = (agent.policy(envs)(observations) for agent in (few, whole))
    assert np.mean(mine == others) > 0.9


def test_a_public_model_says_nearly_the_same_in_half_the_bits(capsys):
    pytest.importorskip("transformers")
    from public_models import model

    few, whole = (Writer.load(model(), dtype=dtype) for dtype in ("bfloat16", None))
    assert {*dtypes(few.state).values()} == {jnp.dtype("float32"), jnp.dtype("bfloat16")}
    np.testing.assert_allclose(few.log_likelihoods(TEXTS), whole.log_likelihoods(TEXTS), rtol=0.01)
    assert (few.log_likelihoods(TEXTS) != whole.log_likelihoods(TEXTS)).all()
    assert main(["generate", str(model()), "The capital", "--dtype", "bfloat16", "--max-tokens", "4"]) == 0
    assert capsys.readouterr().out
