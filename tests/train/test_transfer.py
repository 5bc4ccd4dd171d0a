"""Parameters that pass from one run to another by what they mean."""

from dataclasses import replace

import jax
import numpy as np
import pytest
from flax import nnx
from tiny import CONFIG, demonstrations, train_here, trained

from generalist.agent.config import InputSizes
from generalist.agent.network import Network
from generalist.agent.sharding import make_mesh, use_mesh
from generalist.play.agent import Agent
from generalist.tokenizers.layout import LayoutOptions
from generalist.tokenizers.vocabulary import Vocabulary
from generalist.train.checkpoint import CheckpointError
from generalist.train.config import OptimizerConfig, SourceConfig, TrainConfig
from generalist.train.foundation import Weights
from generalist.train.run import read_run
from generalist.train.start import Start
from generalist.train.transfer import PARTS, Side, check_allowed, plan, travel

AGENT = replace(CONFIG.agent, source_embedding=True, local_positions=8, patch_positions=4, patch_channels=4)
VOCABULARY = Vocabulary(text_size=16, bins=8, discrete_size=6)
EVERYTHING = PARTS


def side(tasks=("CartPole-v1",), *, text="bytes", vocabulary=VOCABULARY, agent=AGENT, **sizes) -> Side:
    config = TrainConfig(
        sources=tuple(SourceConfig(task=task) for task in tasks),
        agent=agent,
        vocabulary=vocabulary,
        sequence_length=32,
        batch_size=4,
    )
    return Side(config, InputSizes(vocabulary=vocabulary.size, sources=len(tasks), **sizes), text)


def network(of: Side, seed: int):
    with use_mesh(make_mesh(1)):
        return nnx.state(Network(of.config.agent, of.sizes, rngs=nnx.Rngs(seed)))


def passed(here: Side, there: Side, *, allow=EVERYTHING, **how):
    """The old state, what the new one was born with, and what it begins with; and what is said of it."""
    with use_mesh(make_mesh(1)):
        old, born = network(there, 1), network(here, 2)
        before = jax.tree.map(np.asarray, born)
        planned = plan(born, here, old, there, allow=allow, name="RUN", **how)
        return old, before, travel(born, old, planned), planned.travelled


def rows(state, *path) -> np.ndarray:
    return np.asarray(dict(nnx.to_flat_state(state))[path].get_value())


def test_equal_networks_pass_whole():
    one = side(vector_values=3, patch_size=2, image_shape=(8, 8, 3), answers=2)
    old, _, now, found = passed(one, one, allow=())
    assert not found.lines
    for (path, given), (other, taken) in zip(nnx.to_flat_state(old), nnx.to_flat_state(now), strict=True):
        assert path == other
        np.testing.assert_array_equal(given.get_value(), taken.get_value())


def test_the_embedding_of_a_task_goes_by_its_id():
    there = side(("CartPole-v1", "Taxi-v4", "Acrobot-v1"))
    here = side(("Acrobot-v1", "CartPole-v1"))
    old, _, now, found = passed(here, there)
    np.testing.assert_array_equal(rows(now, "source", "rows"), rows(old, "source", "rows")[[2, 0]])
    assert (dict(found.new), dict(found.left)) == ({}, {"source": "Taxi-v4"})


def test_a_new_task_begins_as_the_mean_of_its_family_or_of_all_or_as_another_or_as_at_birth():
    there = side(("CartPole-v1", "Taxi-v4", "Acrobot-v1"))
    here = side(("MountainCar-v0", "CartPole-v1", "metaworld/push-v3"))
    old, born, now, found = passed(here, there)
    trained_rows, new = rows(old, "source", "rows"), rows(now, "source", "rows")
    np.testing.assert_allclose(new[0], trained_rows[[0, 2]].mean(axis=0), rtol=1e-6)
    np.testing.assert_array_equal(new[1], trained_rows[0])
    np.testing.assert_allclose(new[2], trained_rows.mean(axis=0), rtol=1e-6)
    assert found.new["source"] == "MountainCar-v0, metaworld/push-v3"
    *_, like, _ = passed(here, there, new_tasks={"MountainCar-v0": "Taxi-v4"})
    np.testing.assert_array_equal(rows(like, "source", "rows")[0], trained_rows[1])
    np.testing.assert_allclose(rows(like, "source", "rows")[2], trained_rows.mean(axis=0), rtol=1e-6)
    with pytest.raises(ValueError, match=r"MountainCar-v0 is to begin as 'Taxy-v4', which was not trained: .*Taxi-v4"):
        passed(here, there, new_tasks={"MountainCar-v0": "Taxy-v4"})
    *_, drawn, _ = passed(here, there, new_tasks="random")
    np.testing.assert_array_equal(rows(drawn, "source", "rows")[0], rows(born, "source", "rows")[0])


def test_means_are_taken_in_full_precision_on_every_device():
    there, here = side(("CartPole-v1", "Acrobot-v1")), side(("MountainCar-v0",))
    with use_mesh(make_mesh(1)):
        old, born = network(there, 1), network(here, 2)
        rule = plan(born, here, old, there, allow=EVERYTHING).rules["source", "rows"]
        given = (dict(nnx.to_flat_state(state))["source", "rows"].get_value() for state in (born, old))
        assert "HIGHEST" in str(jax.make_jaxpr(rule)(*given))


def test_rows_of_the_token_table_go_by_what_their_ids_mean():
    there, larger = side(), Vocabulary(text_size=20, bins=16, discrete_size=9)
    here = side(vocabulary=larger)
    old, born, now, found = passed(here, there)
    before, birth, after = (rows(state, "tokens", "rows") for state in (old, born, now))
    small = VOCABULARY
    np.testing.assert_array_equal(after[:16], before[:16])
    np.testing.assert_array_equal(after[16:20], birth[16:20])
    bins = slice(*larger.continuous)
    np.testing.assert_array_equal(after[bins], np.repeat(before[slice(*small.continuous)], 2, axis=0))
    first, stop = larger.discrete
    np.testing.assert_array_equal(after[first : first + 6], before[slice(*small.discrete)])
    np.testing.assert_array_equal(after[first + 6 : stop], birth[first + 6 : stop])
    np.testing.assert_array_equal(after[slice(*larger.specials)], before[slice(*small.specials)])
    assert found.new == {"tokens": "4 text ids, 16 bins, each the nearest of 8, 3 discrete values"}
    assert not found.left
    *_, found = passed(there, here)
    assert found.left == {"tokens": "4 text ids, 3 discrete values"}


def test_ids_of_pictures_pass_where_the_visual_tokenizer_is_the_same():
    drawing = Vocabulary(text_size=16, bins=8, discrete_size=6, visual_size=4)
    there = replace(side(vocabulary=drawing), visual="one")
    old, _, now, found = passed(there, there)
    np.testing.assert_array_equal(rows(old, "tokens", "rows"), rows(now, "tokens", "rows"))
    assert not found.lines
    old, born, now, found = passed(replace(there, visual="another"), there)
    at = slice(*drawing.visual)
    np.testing.assert_array_equal(rows(now, "tokens", "rows")[at], rows(born, "tokens", "rows")[at])
    np.testing.assert_array_equal(rows(now, "tokens", "rows")[:16], rows(old, "tokens", "rows")[:16])
    assert (found.new["tokens"], found.left["tokens"]) == ("4 picture ids", "4 picture ids")
    _, born, now, found = passed(there, side())
    np.testing.assert_array_equal(rows(now, "tokens", "rows")[at], rows(born, "tokens", "rows")[at])
    assert found.new["tokens"] == "4 picture ids"


def test_text_ids_of_another_tokenizer_mean_nothing():
    old, born, now, found = passed(side(text="sentencepiece-1"), side())
    np.testing.assert_array_equal(rows(now, "tokens", "rows")[:16], rows(born, "tokens", "rows")[:16])
    np.testing.assert_array_equal(rows(now, "tokens", "rows")[16:38], rows(old, "tokens", "rows")[16:38])
    assert found.new["tokens"] == found.left["tokens"] == "16 text ids"


def test_a_longer_vector_changes_nothing_at_first():
    old, _, now, found = passed(side(vector_values=5), side(vector_values=3))
    before, after = rows(old, "vector", "hidden", "kernel"), rows(now, "vector", "hidden", "kernel")
    np.testing.assert_array_equal(after[:3], before)
    assert (after[3:] == 0).all()
    assert found.new == {"vector": "values of the longest vector 3 to 4"}
    *_, found = passed(side(vector_values=3), side(vector_values=5))
    assert found.left == {"vector": "values of the longest vector 3 to 4"}


def test_embedders_that_one_side_lacks_are_new_or_left_over():
    plain, seeing = side(), side(vector_values=2, patch_size=2, image_shape=(8, 8, 3), answers=2)
    *_, found = passed(seeing, plain)
    assert set(found.new) == {"vector", "patch", "image", "answer"}
    assert not found.left
    *_, found = passed(plain, seeing)
    assert (dict(found.new), set(found.left)) == ({}, {"vector", "patch", "image", "answer"})
    old, born, now, found = passed(side(patch_size=2), side(patch_size=4))
    assert set(found.new) == set(found.left) == {"patch"}
    np.testing.assert_array_equal(rows(now, "patch", "out", "kernel"), rows(born, "patch", "out", "kernel"))
    np.testing.assert_array_equal(rows(now, "patch", "conv1", "kernel"), rows(old, "patch", "conv1", "kernel"))


def test_more_and_fewer_tokens_of_a_direct_action():
    """Their order is what they mean; the layer over them passes whole."""
    old, born, now, found = passed(side(answers=5), side(answers=3), allow=("answer",))
    before, birth, after = (rows(state, "answer", "parts", "rows") for state in (old, born, now))
    np.testing.assert_array_equal(after, np.concatenate([before, birth[3:]]))
    for layer in ("hidden", "out"):
        np.testing.assert_array_equal(rows(now, "answer", layer, "kernel"), rows(old, "answer", layer, "kernel"))
    assert found.lines == ["answer: new: tokens of the longest action 3 to 4"]
    *_, found = passed(side(answers=3), side(answers=5))
    assert found.lines == ["answer: left over: tokens of the longest action 3 to 4"]
    with pytest.raises(CheckpointError, match=r"\(answer: new: tokens of .* 3 to 4\): allow it: --allow answer$"):
        passed(side(answers=5), side(answers=3), allow=("vector",))


def test_more_and_fewer_positions():
    longer = replace(AGENT, local_positions=12)
    old, born, now, found = passed(side(agent=longer), side())
    np.testing.assert_array_equal(rows(now, "local", "rows")[:8], rows(old, "local", "rows"))
    np.testing.assert_array_equal(rows(now, "local", "rows")[8:], rows(born, "local", "rows")[8:])
    assert found.lines == ["local: new: positions 8 to 11"]


def test_what_is_new_or_left_over_must_be_allowed_by_name():
    here, there = side(("Acrobot-v1", "Taxi-v4"), vector_values=4), side(("CartPole-v1", "Taxi-v4"), vector_values=3)
    with pytest.raises(CheckpointError) as raised:
        passed(here, there, allow=())
    assert str(raised.value) == (
        "not all parameters of RUN have their place here (source: new: Acrobot-v1; vector: new: values of the longest "
        "vector 3 to 3; source: left over: CartPole-v1): allow it: --allow source --allow vector"
    )
    with pytest.raises(CheckpointError, match=r"\(source: new: Acrobot-v1; .*\): allow it: --allow source$"):
        passed(here, there, allow=("vector",))
    with pytest.raises(ValueError, match=r"'sources' is no part .*source"):
        check_allowed(["sources"])


SAME_SHAPES = {"heads": AGENT.heads * 2, "head_size": AGENT.head_size // 2}


@pytest.mark.parametrize(
    "change", [{"width": 24}, {"layers": 2}, {"heads": 4}, {"vector_hidden": 8}, SAME_SHAPES], ids=str
)
def test_another_trunk_is_refused_with_both_shapes(change):
    with pytest.raises(CheckpointError, match=r"RUN holds another network .* is .* there, .* here.*take its width"):
        passed(side(agent=replace(AGENT, **change), vector_values=2), side(vector_values=2))


STILL = OptimizerConfig(learning_rate=1e-12, initial_rate=0.0, warmup_steps=0, weight_decay=0.0)
TOLD_APART = replace(CONFIG.agent, source_embedding=True)


def test_a_run_begins_with_another_whose_tasks_stood_in_another_order(tmp_path):
    """Their embeddings, and their statistics too, although this run sees other episodes."""
    first = train_here(tmp_path / "first", agent=TOLD_APART, steps=2)
    turned = tuple(replace(source, episodes=3) for source in reversed(CONFIG.sources))
    start = Start(weights=Weights(run=first))
    second = train_here(tmp_path / "second", agent=TOLD_APART, sources=turned, steps=1, start=start, optimizer=STILL)
    one, two = Agent.load(first), Agent.load(second)
    assert one.tasks == two.tasks[::-1]
    np.testing.assert_allclose(rows(two.state, "source", "rows")[::-1], rows(one.state, "source", "rows"), atol=1e-6)
    for task in one.tasks:
        assert two.run.layouts[task].statistics == one.run.layouts[task].statistics
    assert two.run.foundation == {"run": str(first), "step": None, "parameters": True}


def test_a_run_goes_on_when_the_one_it_began_with_is_gone(tmp_path):
    first = train_here(tmp_path / "first", steps=2)
    few = tuple(replace(source, episodes=3) for source in CONFIG.sources)
    whole = train_here(tmp_path / "whole", sources=few, start=Start(weights=Weights(run=first)))
    part = train_here(tmp_path / "part", sources=few, steps=3, start=Start(weights=Weights(run=first)))
    first.rename(tmp_path / "elsewhere")
    train_here(part, sources=few, start=Start(resume=True, weights=Weights(run=first)))
    # The rate follows the number of updates that was asked for first, so parameters differ; what was taken over not.
    assert read_run(part).layouts == read_run(whole).layouts
    assert read_run(part).foundation == read_run(whole).foundation


def test_a_task_of_weight_0_is_known_and_not_trained_on(tmp_path):
    first = train_here(tmp_path / "first", agent=TOLD_APART)
    idle = (replace(CONFIG.sources[0], weight=0.0), CONFIG.sources[1])
    start = Start(weights=Weights(run=first))
    second = train_here(tmp_path / "second", agent=TOLD_APART, sources=idle, steps=2, start=start)
    agent = Agent.load(second)
    assert agent.tasks == Agent.load(first).tasks
    assert agent.run.layouts["CartPole-v1"].statistics == read_run(first).layouts["CartPole-v1"].statistics
    assert set(agent.run.episodes) == {"FrozenLake8x8-v1"}
    with pytest.raises(ValueError, match=r"CartPole-v1: a source of weight 0 takes .* a run that knows it"):
        train_here(tmp_path / "third", agent=TOLD_APART, sources=idle)
    assert not (tmp_path / "third").exists()


def test_nothing_is_written_where_weights_do_not_fit(tmp_path):
    start = Start(weights=Weights(run=trained()))
    wider = (replace(CONFIG.sources[0], layout=LayoutOptions()), CONFIG.sources[1])
    with pytest.raises(CheckpointError, match=r"vector: left over: .*--allow vector"):
        train_here(tmp_path / "run", sources=wider, start=start)
    assert not (tmp_path / "run").exists()
    train_here(tmp_path / "run", sources=wider, steps=1, start=Start(weights=Weights(run=trained(), allow=("vector",))))
    assert demonstrations().exists()
