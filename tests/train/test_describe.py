"""Counts against the network itself, tokens against the layouts, tasks that cannot be made."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from generalist.agent.config import InputSizes
from generalist.agent.network import parameter_count
from generalist.agent.sharding import make_mesh, use_mesh
from generalist.configs import smoke
from generalist.demonstrations.collect import collect
from generalist.envs import table
from generalist.envs.table import find_task
from generalist.envs.task import MissingExtra
from generalist.train import describe as module
from generalist.train.config import SourceConfig
from generalist.train.data import packed_rows
from generalist.train.describe import describe
from generalist.train.sources import open_mixture
from generalist.train.step import make_create

CONFIG = smoke.config().train
NOWHERE = Path("nowhere")


def test_without_demonstrations():
    found = describe(CONFIG, NOWHERE, (1, 1, 1))
    cart, lake = found.tasks
    assert (cart.tokens, cart.observation, cart.separator, cart.action, cart.targets) == (2, 1, 1, 0, 1)
    assert (lake.tokens, lake.observation, lake.separator, lake.action, lake.timesteps) == (3, 1, 1, 1, 21)
    assert (cart.tokens_per_second, cart.episodes) == (2 * 50, None)
    assert found.padding_from == "horizons"
    assert 0 <= found.padding < 0.1
    assert json.loads(json.dumps(found.to_json()))["memory"]["with_remat"]["total"] == found.memory[True].total


def test_the_parameters_are_those_of_the_network():
    found = describe(CONFIG, NOWHERE, (1, 1, 1))
    sizes = InputSizes(vocabulary=CONFIG.vocabulary.size, sources=2, vector_values=4)
    with use_mesh(make_mesh(1)):
        network, _ = make_create(CONFIG, sizes)()
    assert found.parameter_count == parameter_count(network)
    assert found.memory[False].parameters == 4 * found.parameter_count
    assert set(found.parameters) == {"token table", "local positions", "vector embedder", "blocks", "final norm"}


def test_direct_actions_have_parameters_and_no_tokens():
    sources = tuple(
        replace(source, layout=replace(source.layout, past_actions="hidden", actions="direct", chunk=3))
        for source in CONFIG.sources
    )
    found = describe(replace(CONFIG, sources=sources), NOWHERE, (1, 1, 1))
    sizes = InputSizes(vocabulary=CONFIG.vocabulary.size, sources=2, vector_values=4, answers=3)
    with use_mesh(make_mesh(1)):
        network, _ = make_create(CONFIG, sizes)()
    assert found.parameter_count == parameter_count(network)
    assert found.parameters["direct actions"] == parameter_count(network.answer)
    assert [(task.tokens, task.action, task.targets) for task in found.tasks] == [(2, 0, 3)] * 2
    assert found.capacity.answers == 64 // 2 * 3


def test_padding_with_demonstrations_is_that_of_real_batches(tmp_path, monkeypatch):
    collect([find_task(source.task) for source in CONFIG.sources], tmp_path, seed=0, episodes=6, workers=0)
    config = replace(CONFIG, return_filter=0.0)
    found = describe(config, tmp_path, (1, 1, 1))
    mixture = open_mixture(config, tmp_path)
    stream = packed_rows(mixture.sources, mixture.weights, mixture.capacity, rows=8)
    seen = [float((next(stream).tokens["segment"] == 0).mean()) for _ in range(20)]
    assert found.padding_from == "demonstrations"
    assert [task.episodes for task in found.tasks] == [5, 5], "one of six is held out"
    assert found.padding == pytest.approx(sum(seen) / len(seen), abs=0.005)
    assert found.capacity == mixture.capacity
    without(monkeypatch, "CartPole-v1")
    cart, _ = describe(config, tmp_path, (1, 1, 1)).tasks
    assert cart == replace(found.tasks[0], frames_per_second=None), "demonstrations do without the environment"


def without(monkeypatch, *ids):
    """`task_in_file` whose tasks of these ids lack an extra."""

    def missing(render_mode=None):
        raise MissingExtra("babyai", ModuleNotFoundError("No module named 'minigrid'"))

    def find(id):
        task = table.task_in_file(id)
        return replace(task, make=missing) if id in ids else task

    monkeypatch.setattr(module, "task_in_file", find)


def test_a_missing_extra_is_listed_and_the_rest_is_described(monkeypatch):
    without(monkeypatch, "CartPole-v1")
    found = describe(CONFIG, NOWHERE, (1, 1, 1))
    assert [task.task for task in found.tasks] == ["FrozenLake8x8-v1"]
    assert found.missing[0][0] == "CartPole-v1"
    assert "pip install 'generalist[babyai]'" in found.missing[0][1]


def test_without_any_task_the_missing_extra_is_the_error(monkeypatch):
    without(monkeypatch, "CartPole-v1", "FrozenLake8x8-v1")
    with pytest.raises(MissingExtra, match=r"generalist\[babyai\]"):
        describe(CONFIG, NOWHERE, (1, 1, 1))


def test_a_missing_task_keeps_its_row_of_the_source_embedding(monkeypatch):
    config = replace(CONFIG, agent=replace(CONFIG.agent, source_embedding=True))
    without(monkeypatch, "CartPole-v1")
    found = describe(config, NOWHERE, (1, 1, 1))
    assert found.parameters["source embedding"] == 2 * CONFIG.agent.width


def test_weights_are_shares_of_all_sources():
    weighted = tuple(replace(source, weight=weight) for source, weight in zip(CONFIG.sources, (1.0, 3.0), strict=True))
    found = describe(replace(CONFIG, sources=weighted), NOWHERE, (1, 1, 1))
    assert [task.weight for task in found.tasks] == [0.25, 0.75]


def test_only_real_tokens_count_in_an_update():
    found = describe(CONFIG, NOWHERE, (1, 1, 1))
    assert found.tokens_per_update == pytest.approx(8 * 64 * (1 - found.padding))
    assert found.flops_per_token == pytest.approx(found.update_flops / found.tokens_per_update)
    assert not found.remat
    assert found.memory[True].blocks < found.memory[False].blocks


def test_a_mesh_divides_state_and_batch():
    one, four = (describe(CONFIG, NOWHERE, mesh).memory[False] for mesh in ((1, 1, 1), (1, 4, 1)))
    assert four.batch * 4 == one.batch
    assert four.activations * 4 == one.activations
    assert one.parameters / 4 <= four.parameters < one.parameters
    assert four.optimizer < one.optimizer


def test_a_mesh_that_does_not_divide_the_batch_is_refused():
    with pytest.raises(ValueError, match=r"8 rows .* do not divide over 3 devices"):
        describe(CONFIG, NOWHERE, (3, 1, 1))


def test_any_gymnasium_id():
    config = replace(CONFIG, sources=(SourceConfig(task="gym:Blackjack-v1"),))
    assert describe(config, NOWHERE, (1, 1, 1)).tasks[0].observation == 3
