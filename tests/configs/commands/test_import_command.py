import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from gymnasium import spaces

from generalist.configs.commands.arguments import parse
from generalist.configs.commands.export_command import Export
from generalist.configs.commands.import_command import Import
from generalist.configs.smoke import config
from generalist.demonstrations.storage import Demonstrations, dataset_folder
from generalist.envs.table import find_task
from generalist.train.sources import open_mixture

minari = pytest.importorskip("minari")
LENGTHS = [5, 3, 4]


def run(command, *args):
    name = {Import: "import", Export: "export"}[command]
    parse(command, args, prog=f"generalist {name}")()


@pytest.fixture(autouse=True)
def _local_data_sets(tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))


@pytest.fixture
def reacher(tmp_path):
    """JAT's data of a task with 10 observed values, as today's Reacher has, in float32, as JAT has them."""
    rng = np.random.default_rng(0)
    rows = [
        {
            "continuous_observations": rng.random((steps, 10)).tolist(),
            "continuous_actions": (3 * rng.random((steps, 2))).tolist(),
            "rewards": [-1.0] * steps,
        }
        for steps in LENGTHS
    ]
    matrix = pa.list_(pa.list_(pa.float32()))
    kinds = {"continuous_observations": matrix, "continuous_actions": matrix, "rewards": pa.list_(pa.float32())}
    (tmp_path / "mujoco-reacher").mkdir()
    table = pa.Table.from_pylist(rows, schema=pa.schema(kinds))
    pq.write_table(table, tmp_path / "mujoco-reacher" / "train-00000-of-00001.parquet")
    return rows


def test_what_is_imported_is_a_task_of_ours_and_can_be_exported(reacher, capsys):
    run(Import, "jat:mujoco-reacher")
    out = capsys.readouterr()
    assert re.search(r"Reacher-v5 +jat:mujoco-reacher +3 +0 +12 +[\d.]+ +-4\.00 +0\.82", out.out)
    assert "recorded in an older version" in out.err
    opened = Demonstrations.open(dataset_folder("data", "Reacher-v5"))
    env = find_task("Reacher-v5").make()
    assert (opened.observation_space, opened.action_space) == (env.observation_space, env.action_space)
    env.close()
    for number, row in enumerate(reacher):
        given = np.float32(row["continuous_observations"])
        np.testing.assert_array_equal(opened.episode(number).observations[:-1], given)
        np.testing.assert_array_equal(
            opened.episode(number).actions, np.clip(np.float32(row["continuous_actions"]), -1, 1)
        )
    run(Import, "jat:mujoco-reacher")
    assert re.search(r"jat:mujoco-reacher +3 +3 ", capsys.readouterr().out)

    run(Export, "Reacher-v5", "--to", "minari:mine/reacher-v0")
    assert re.search(r"Reacher-v5 +mine/reacher-v0 +3 +12 ", capsys.readouterr().out)
    theirs = minari.load_dataset("mine/reacher-v0")
    np.testing.assert_array_equal(theirs[1].actions, opened.episode(1).actions)

    run(Import, "minari:mine/reacher-v0", "--task", "Reacher-v5", "--out", "again", "--episodes", "2")
    again = Demonstrations.open(dataset_folder("again", "Reacher-v5"))
    assert again.lengths.tolist() == LENGTHS[:2]
    np.testing.assert_array_equal(again.episode(1).observations, opened.episode(1).observations)


def test_discrete_actions_are_counted_by_the_user_where_nobody_else_does(tmp_path, capsys):
    buffer = minari.data_collector.EpisodeBuffer(
        observations=np.zeros((4, 2), np.float32),
        actions=np.array([0, 2, 1]),
        rewards=np.ones(3),
        terminations=np.zeros(3, bool),
        truncations=np.array([False, False, True]),
    )
    storage = minari.dataset.minari_storage.MinariStorage.new(
        tmp_path / "counted",
        spaces.Box(-1, 1, (2,)),
        spaces.Box(np.iinfo(np.int64).min, np.iinfo(np.int64).max, (), np.int64),
    )
    storage.update_metadata({"dataset_id": "x/counted-v0", "minari_version": "0.5.4"})
    storage.update_episodes([buffer])
    with pytest.raises(ValueError, match="--actions N"):
        run(Import, "minari:counted")
    run(Import, "minari:counted", "--actions", "3")
    assert Demonstrations.open(dataset_folder("data", "x/counted-v0")).action_space == spaces.Discrete(3)
    assert "no task of ours" in capsys.readouterr().err


def test_bad_sources_and_targets_are_one_clear_error(reacher):
    with pytest.raises(ValueError, match="did you mean jat:PATH"):
        run(Import, "jot:mujoco-reacher")
    with pytest.raises(ValueError, match="rlds, minari, jat, lerobot"):
        run(Import, "mujoco-reacher")
    with pytest.raises(ValueError, match="minari:ID"):
        run(Export, "Reacher-v5", "--to", "minary:mine/reacher-v0")
    with pytest.raises(FileNotFoundError, match="minari:ID"):
        run(Export, "Reacher-v5", "--to", "mine/reacher-v0")
    with pytest.raises(ValueError, match="generalist collect"):
        run(Export, "Reacher-v5", "--to", "minari:mine/reacher-v0")
    with pytest.raises(ValueError, match="rlds:PATH, minari:PATH_OR_ID"):
        run(Import)
    run(Import, "jat:mujoco-reacher", "--episodes", "2")
    with pytest.raises(ValueError, match="overwrite"):
        run(Import, "jat:mujoco-reacher")
    run(Import, "jat:mujoco-reacher", "--overwrite")


def test_what_is_imported_can_be_trained_on(reacher):
    run(Import, "jat:mujoco-reacher")
    settings = config().train
    source = replace(settings.sources[0], task="Reacher-v5")
    mixture = open_mixture(replace(settings, sources=(source,)), Path("data"))
    assert mixture.names == ("Reacher-v5",)
    assert mixture.sources[0][0]
