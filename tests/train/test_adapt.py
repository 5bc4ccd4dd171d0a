"""Adapting an agent to new tasks: the job that is made of the foundation's, and what comes out of it."""

import shutil
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from flax import nnx
from tiny import CONFIG, _folder, demonstrations, train_here

from generalist.demonstrations.collect import collect
from generalist.demonstrations.storage import dataset_folder
from generalist.envs.files import read_json
from generalist.play.agent import Agent
from generalist.train.adapt import adapt
from generalist.train.adaptation import RATES, AdaptConfig
from generalist.train.adapted import adapted, missing_data
from generalist.train.adapter import save_adapter
from generalist.train.checkpoint import CheckpointError
from generalist.train.config import DocumentsConfig, MeshConfig, TrainableConfig
from generalist.train.loop import train
from generalist.train.run import EVALUATION, read_run

NEW = "MountainCarContinuous-v0"
FEW = AdaptConfig(episodes=3, steps=2, failures=True, keep=0.0)


@cache
def data() -> Path:
    """A folder with demonstrations of the tiny run's tasks, and of another one."""
    folder = shutil.copytree(demonstrations(), _folder() / "adapt-data")
    collect((NEW,), folder, seed=0, episodes=4, policy="random", workers=0, quiet=True)
    return folder


@cache
def foundation() -> Path:
    """A run with task embeddings, whose data folder has demonstrations of another task too."""
    run = _folder() / "foundation"
    config = replace(CONFIG, agent=replace(CONFIG.agent, source_embedding=True), steps=3)
    train(config, data(), run, quiet=True)
    (run / EVALUATION).write_text('{"episodes": 7}')
    return run


def job(config=FEW, tasks=(NEW,)):
    return adapted(read_run(foundation()), tasks, config, data())


def rows(run) -> np.ndarray:
    return np.asarray(dict(nnx.to_flat_state(Agent.load(run).state))["source", "rows"].get_value())


def test_the_job_knows_the_old_tasks_and_trains_on_the_new_one():
    config = job()
    assert config.names == ("CartPole-v1", "FrozenLake8x8-v1", NEW)
    assert config.weights == (0.0, 0.0, 1.0)
    assert (config.sources[2].episodes, config.sources[2].successes) == (3, False)
    assert (config.held_out, config.return_filter, config.steps) == (0.0, 0.0, 2)
    assert config.sources[2].layout == CONFIG.sources[0].layout  # the nearest of the trained ones
    optimizer = config.optimizer
    assert (optimizer.learning_rate, optimizer.final_fraction) == (CONFIG.optimizer.learning_rate / 2, 0.0)
    assert config.batch_size == 8  # rows of 32 positions, timesteps of two: 128 timesteps


@pytest.mark.parametrize("keep", [0.25, 0.5])
def test_what_is_kept_is_a_share_of_the_examples_as_the_foundation_had_them(keep):
    weights = np.array(job(replace(FEW, keep=keep)).weights)
    shares = weights / weights.sum()
    np.testing.assert_allclose(shares, [keep / 3, 2 * keep / 3, 1 - keep])


def test_the_old_tasks_are_kept_by_default_where_their_demonstrations_are(tmp_path):
    default = replace(FEW, keep=None)
    assert sum(job(default).weights[:2]) == pytest.approx(job(default).weights[2])
    assert job(replace(default, from_scratch=True)).weights == (1.0,)
    shutil.copytree(dataset_folder(data(), NEW), dataset_folder(tmp_path, NEW))
    alone = adapted(read_run(foundation()), (NEW,), default, tmp_path)
    assert alone.weights == (0.0, 0.0, 1.0)


def test_they_are_not_where_one_is_half_collected_or_a_corpus_is_gone(tmp_path):
    default, folder = replace(FEW, keep=None), tmp_path / "data"
    shutil.copytree(data(), folder)
    (dataset_folder(folder, "CartPole-v1") / "index.json").unlink()
    assert adapted(read_run(foundation()), (NEW,), default, folder).weights == (0.0, 0.0, 1.0)
    words = (DocumentsConfig(corpus=f"text:{tmp_path / 'gone'}"),)
    read = replace(read_run(foundation()), config=replace(read_run(foundation()).config, documents=words))
    assert adapted(read, (NEW,), default, data()).weights == (0.0, 0.0, 1.0, 0.0)
    assert missing_data(read, (NEW,), folder) == ["CartPole-v1", words[0].corpus]


def test_what_is_to_be_kept_must_be_there():
    own = ("CartPole-v1", "FrozenLake8x8-v1")
    with pytest.raises(ValueError, match=r"foundation was trained on nothing but CartPole-v1, Frozen.*: .*keep"):
        job(replace(FEW, keep=0.5), tasks=own)
    assert job(replace(FEW, keep=None), tasks=own).weights == (1.0, 1.0)


def test_the_default_batch_divides_over_the_devices_and_the_parts_of_an_update(tmp_path):
    assert job(replace(FEW, timesteps=4)).batch_size == 4
    read = read_run(foundation())
    parts = replace(read, config=replace(read.config, accumulation=3, batch_size=6))
    assert adapted(parts, (NEW,), replace(FEW, timesteps=4), data()).batch_size == 12
    wide = replace(FEW, timesteps=4, mesh=MeshConfig(), steps=1)  # of eight devices
    with pytest.raises(ValueError, match=r"batch_size 4 must be a multiple of .* = 8"):
        adapt(foundation(), (NEW,), replace(wide, batch_size=4), out=tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()
    assert adapt(foundation(), (NEW,), wide, out=tmp_path / "run", quiet=True).config.batch_size == 8


def test_the_cpu_is_split_before_anything_is_computed(monkeypatch, tmp_path):
    done = []
    monkeypatch.setattr("generalist.train.adapt.split_cpu", lambda devices: done.append(devices))

    def nearest(*_):
        done.append("nearest")
        raise ValueError("enough")

    monkeypatch.setattr("generalist.train.adapt.nearest_tasks", nearest)
    near = replace(FEW, new_tasks="nearest", mesh=MeshConfig(data=1, cpu_devices=2))
    with pytest.raises(ValueError, match="enough"):
        adapt(foundation(), (NEW,), near, out=tmp_path / "run", quiet=True)
    assert done == [2, "nearest"]


def test_a_task_that_is_known_is_trained_further():
    config = job(tasks=("CartPole-v1",))
    assert config.names == ("FrozenLake8x8-v1", "CartPole-v1")
    assert config.weights == (0.0, 1.0)


@pytest.mark.parametrize("how", ["lora", "head", "embedding"])
def test_less_is_trained_at_another_rate(how):
    trainable = TrainableConfig(how=how, rank=2)
    config = job(replace(FEW, trainable=trainable))
    assert config.optimizer.learning_rate == pytest.approx(CONFIG.optimizer.learning_rate * RATES[how])
    assert config.trainable == replace(trainable, also=("source",))  # a new task's embedding is never left as it began


def test_where_little_is_trained_embedders_that_are_new_are_trained_whole(tmp_path):
    only_places = train_here(
        tmp_path / "places", sources=(CONFIG.sources[1],), agent=replace(CONFIG.agent, source_embedding=True), steps=1
    )
    seeing = replace(CONFIG.sources[0].layout, past_actions="shown")
    wide = read_run(only_places)
    wide = replace(wide, config=replace(wide.config, sources=(replace(wide.config.sources[0], layout=seeing),)))
    known = {"FrozenLake8x8-v1": replace(wide.layouts["FrozenLake8x8-v1"], options=seeing)}
    config = adapted(
        replace(wide, layouts=known),
        (NEW,),
        replace(FEW, trainable=TrainableConfig(how="lora", rank=2)),
        data(),
    )
    assert config.trainable.also == ("source", "vector")


def test_an_adapted_run_plays_old_and_new_tasks_and_begins_with_the_foundation(tmp_path):
    """With a rate of almost nothing it is the foundation, and the new task's embedding is the mean of its family's."""
    still = replace(FEW, learning_rate=1e-12)
    run = adapt(foundation(), (NEW,), still, out=tmp_path / "run", quiet=True)
    before, after = rows(foundation()), rows(run)
    np.testing.assert_allclose(after[:2], before, atol=1e-6)
    np.testing.assert_allclose(after[2], before[0], atol=1e-6)  # the one of classic control
    agent = Agent.load(run)
    assert agent.tasks == ("CartPole-v1", "FrozenLake8x8-v1", NEW)
    assert agent.layout("CartPole-v1")[0] == Agent.load(foundation()).layout("CartPole-v1")[0]
    assert read_json(run.directory / EVALUATION, "") == {"episodes": 7}
    assert run.foundation == {"run": str(foundation()), "step": None, "parameters": True}


def test_from_scratch_nothing_but_the_statistics_is_taken(tmp_path):
    scratch = replace(FEW, from_scratch=True, learning_rate=1e-12, seed=7)
    known = adapt(foundation(), ("CartPole-v1",), scratch, out=tmp_path / "run", quiet=True)
    agent = Agent.load(known)
    assert agent.tasks == ("CartPole-v1",)
    assert known.layouts["CartPole-v1"].statistics == read_run(foundation()).layouts["CartPole-v1"].statistics
    tokens = [dict(nnx.to_flat_state(Agent.load(run).state))["tokens", "rows"] for run in (known, foundation())]
    assert np.abs(np.asarray(tokens[0].get_value()) - np.asarray(tokens[1].get_value())).max() > 0.1


def test_the_nearest_task_is_the_one_that_explains_the_demonstrations_best(tmp_path):
    """Its own, under another name that the foundation does not know."""
    own = tmp_path / "data"
    collect(("gym:CartPole-v1",), own, seed=5, episodes=4, policy="random", workers=0, quiet=True)
    longer = train_here(tmp_path / "run", agent=replace(CONFIG.agent, source_embedding=True), steps=60, keep=1)
    near = replace(FEW, new_tasks="nearest", learning_rate=1e-12)
    run = adapt(longer, ("gym:CartPole-v1",), near, data=own, out=tmp_path / "near", quiet=True)
    np.testing.assert_allclose(rows(run)[2], rows(longer)[0], atol=1e-6)


def test_it_goes_on_to_the_bit_with_lora(tmp_path):
    few = replace(FEW, trainable=TrainableConfig(how="lora", rank=2), steps=4)
    whole = adapt(foundation(), (NEW,), few, out=tmp_path / "whole", quiet=True)
    assert rows(whole).tolist() != rows(foundation()).tolist()
    again = adapt(foundation(), (NEW,), few, out=tmp_path / "whole", resume=True, quiet=True)
    assert rows(again).tolist() == rows(whole).tolist()


def test_it_goes_on_when_the_foundation_is_gone(tmp_path):
    gone = shutil.copytree(foundation(), tmp_path / "foundation")
    run = adapt(gone, (NEW,), FEW, out=tmp_path / "run", quiet=True)
    shutil.rmtree(gone)
    again = adapt(gone, (NEW,), FEW, out=run.directory, resume=True, quiet=True)
    assert again.foundation == run.foundation
    assert rows(again).tolist() == rows(run).tolist()
    with pytest.raises(FileNotFoundError, match="foundation is not a run directory"):
        adapt(gone, (NEW,), FEW, out=tmp_path / "other", resume=True, quiet=True)


def before_its_first_checkpoint(run) -> Path:
    """The run as a kill leaves it that comes before its first checkpoint."""
    shutil.rmtree(run.directory / "checkpoints")
    (run.directory / "metrics.jsonl").unlink()
    return run.directory


def test_without_the_foundation_a_run_that_has_no_checkpoint_yet_is_not_begun_at_random(tmp_path):
    gone = shutil.copytree(foundation(), tmp_path / "foundation")
    run = before_its_first_checkpoint(adapt(gone, (NEW,), FEW, out=tmp_path / "run", quiet=True))
    gone.rename(tmp_path / "moved")
    before = (run / "config.json").read_bytes()
    needed = r"run began with the parameters of .*/foundation .*and has no checkpoint yet: .*needed.*--overwrite"
    with pytest.raises(CheckpointError, match=needed):
        adapt(gone, (NEW,), FEW, out=run, resume=True, quiet=True)
    with pytest.raises(CheckpointError, match=needed):
        adapt(tmp_path / "moved", (NEW,), FEW, out=run, resume=True, quiet=True)
    assert (run / "config.json").read_bytes() == before
    (tmp_path / "moved").rename(gone)
    again = adapt(gone, (NEW,), replace(FEW, learning_rate=None), out=run, resume=True, quiet=True)
    assert np.abs(rows(again)[:2] - rows(gone)).max() < 0.1  # two updates away


def test_without_the_foundation_it_goes_on_with_the_same_job_alone(tmp_path):
    gone = shutil.copytree(foundation(), tmp_path / "foundation")
    run = adapt(gone, (NEW,), FEW, out=tmp_path / "run", quiet=True).directory
    shutil.rmtree(gone)
    for tasks, change, said in (
        (("CartPole-v1",), {}, rf"task\.0: {NEW} -> CartPole-v1"),
        ((NEW,), {"learning_rate": 1.0}, r"learning_rate: 0\.005 -> 1\.0"),
        ((NEW,), {"seed": 3, "episodes": 2}, "episodes: 3 -> 2, seed: 0 -> 3"),
        ((NEW,), {"trainable": TrainableConfig(how="head")}, "how: full -> head"),
        ((NEW,), {"from_scratch": True}, "from_scratch: False -> True"),
    ):
        with pytest.raises(ValueError, match=f"run was started with another configuration .*{said}"):
            adapt(gone, tasks, replace(FEW, **change), out=run, resume=True, quiet=True)
    assert adapt(gone, (NEW,), replace(FEW, steps=3), out=run, resume=True, quiet=True).config.steps == 3


def test_the_nearest_task_is_sought_again_until_there_is_a_checkpoint(tmp_path, monkeypatch):
    near = replace(FEW, new_tasks="nearest", learning_rate=1e-12)
    sought = []

    def nearest(config, data, weights):
        sought.append(config.names)
        return {NEW: "FrozenLake8x8-v1"}

    monkeypatch.setattr("generalist.train.adapt.nearest_tasks", nearest)
    run = before_its_first_checkpoint(adapt(foundation(), (NEW,), near, out=tmp_path / "run", quiet=True))
    again = adapt(foundation(), (NEW,), near, out=run, resume=True, quiet=True)
    np.testing.assert_allclose(rows(again)[2], rows(foundation())[1], atol=1e-6)
    adapt(foundation(), (NEW,), near, out=run, resume=True, quiet=True)
    assert len(sought) == 2


def test_what_is_trained_whole_on_few_demonstrations_alone_takes_few_updates():
    plain = AdaptConfig(episodes=3, failures=True, keep=0.0)
    ways = [plain, replace(plain, keep=0.5), replace(plain, from_scratch=True), replace(plain, steps=7)]
    ways.append(replace(plain, trainable=TrainableConfig(how="lora")))
    assert [job(way).steps for way in ways] == [600, 2400, 2400, 7, 2400]


def test_a_run_that_is_killed_has_lost_no_more_than_a_quarter():
    assert [job(replace(FEW, steps=steps)).checkpoint_every for steps in (1, 10, 2400)] == [1, 3, 600]
    assert job().keep == 1


def test_a_finished_adaptation_goes_on_to_more_updates(tmp_path):
    few = replace(FEW, steps=20)
    run = adapt(foundation(), (NEW,), few, out=tmp_path / "run", quiet=True)
    longer = adapt(foundation(), (NEW,), replace(few, steps=60), out=run.directory, resume=True, quiet=True)
    assert longer.config == replace(run.config, steps=60)
    with longer.open_checkpoints() as checkpoints:
        assert checkpoints.latest == 60


@pytest.mark.parametrize(
    ("change", "tasks", "error", "message"),
    [
        ({}, (), ValueError, r"no task to adapt to"),
        ({}, ("CartPol-v1",), ValueError, r"unknown task 'CartPol-v1': the nearest are CartPole-v1"),
        ({}, ("Acrobot-v1",), FileNotFoundError, r"no demonstrations of Acrobot-v1 .* generalist collect --task Acro"),
        ({"episodes": 9}, (NEW,), ValueError, r"too few episodes: 9 asked for, .* has 4; collect more"),
        ({"failures": False, "episodes": 4}, (NEW,), ValueError, r"4 asked for, .* has 0 that reached the goal, of 4"),
    ],
    ids=["no task", "unknown", "no demonstrations", "too few", "too few that succeeded"],
)
def test_bad_input_is_one_clear_error_and_nothing_is_written(tmp_path, change, tasks, error, message):
    with pytest.raises(error, match=message):
        adapt(foundation(), tasks, replace(FEW, **change), out=tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()


def test_a_foundation_is_not_overwritten_by_what_starts_from_it(tmp_path):
    same = tmp_path / "link"
    same.symlink_to(foundation())
    for out in (foundation(), same):
        with pytest.raises(ValueError, match=r"is the run to start from.* choose another --out"):
            adapt(foundation(), (NEW,), FEW, out=out, quiet=True, overwrite=True)
    with pytest.raises(ValueError, match=r"inside is inside the foundation, which is only read: choose another --out"):
        adapt(foundation(), (NEW,), FEW, out=same / "inside", quiet=True)
    assert not (foundation() / "inside").exists()
    with read_run(foundation()).open_checkpoints() as checkpoints:
        assert checkpoints.latest == 3


@pytest.mark.parametrize("step", [0, 7])
def test_a_checkpoint_that_is_not_there_is_refused_before_anything_is_replaced(tmp_path, step):
    (tmp_path / "config.json").write_text("a run that is there")
    with pytest.raises(CheckpointError, match=rf"checkpoints/{step}: there is no such checkpoint; there are .*3"):
        adapt(foundation(), (NEW,), FEW, out=tmp_path, quiet=True, step=step, overwrite=True)
    assert (tmp_path / "config.json").read_text() == "a run that is there"


def test_an_agent_with_an_adapter_is_merged_before_it_learns_more(tmp_path):
    few = replace(FEW, trainable=TrainableConfig(how="head"))
    save_adapter(adapt(foundation(), (NEW,), few, out=tmp_path / "run", quiet=True), tmp_path / "one.safetensors")
    agent = Agent.load(foundation(), adapter=tmp_path / "one.safetensors")
    with pytest.raises(ValueError, match=r"this agent has an adapter.*generalist adapter merge"):
        agent.adapt(NEW, out=tmp_path / "more", quiet=True)


def test_a_foundation_without_a_checkpoint_is_named(tmp_path):
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "config.json").write_bytes((foundation() / "config.json").read_bytes())
    with pytest.raises(CheckpointError, match=r"bare has no checkpoint yet; .*train it with --resume"):
        adapt(tmp_path / "bare", (NEW,), FEW, data=data(), out=tmp_path / "run", quiet=True)
    with pytest.raises(FileNotFoundError, match="nowhere is not a run directory"):
        adapt(tmp_path / "nowhere", (NEW,), FEW, out=tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()


def test_a_foundation_of_words_is_told_how_tasks_are_shown(tmp_path):
    texts = tmp_path / "texts"
    texts.mkdir()
    (texts / "one.txt").write_text("a few words to begin with\n" * 40)
    documents = (DocumentsConfig(corpus=f"text:{texts}"),)
    words = train_here(
        tmp_path / "words",
        sources=(),
        documents=documents,
        agent=replace(CONFIG.agent, source_embedding=True),
        steps=1,
        held_out=0.0,
    )
    foundation()  # its data folder has demonstrations of the new task
    with pytest.raises(
        ValueError, match=r"trained on no task, .* how MountainCarContinuous-v0 is shown: name a config"
    ):
        adapt(words, (NEW,), FEW, data=data(), out=tmp_path / "run", quiet=True)
    shown = replace(FEW, layout=CONFIG.sources[0].layout)
    run = adapt(words, (NEW,), shown, data=data(), out=tmp_path / "run", quiet=True)
    assert run.config.names == (NEW, f"text:{texts}")
    assert run.config.weights == (1.0, 0.0)
    assert run.layouts[NEW].options == CONFIG.sources[0].layout


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"keep": 1.0}, r"share .* in \[0, 1\)"),
        ({"from_scratch": True, "keep": 0.5}, "there is no foundation"),
        ({"learning_rate": 0.0}, r"learning_rate must be positive, got 0\.0"),
        ({"batch_size": 0}, "batch_size must be positive, got 0"),
        ({"episodes": None, "episodes_seed": 1}, "episodes_seed must be together with episodes"),
        ({"episodes_seed": -1}, "episodes_seed must be 0 or more, got -1"),
    ],
)
def test_settings_that_cannot_be(settings, message):
    with pytest.raises(ValueError, match=message):
        replace(FEW, **settings)
    with pytest.raises(TypeError, match=r"no setting 'epsodes': .*episodes"):
        AdaptConfig.of(epsodes=4)
    assert AdaptConfig.of(how="lora", rank=2, keep=0.5).trainable == TrainableConfig(how="lora", rank=2)
