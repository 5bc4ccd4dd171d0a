"""A part is kept, found again, and refused where it is damaged."""

import re

import numpy as np
import pytest

from generalist.agent.config import DecodeConfig
from generalist.envs.table import find_task
from generalist.eval.config import EvaluationConfig
from generalist.eval.parts import Parts, stored_part
from generalist.eval.report.record import PolicyRecord, TaskRecord
from generalist.eval.versions import episode_versions

TASK = find_task("CartPole-v1")
RECORD = TaskRecord.of(
    TASK,
    [1, 2],
    {"agent": PolicyRecord(returns=(500.0, 12.0), successes=None, lengths=(500, 12), seconds=1.5)},
)


def parts(folder, step: int = 40) -> Parts:
    return Parts(folder, EvaluationConfig(episodes=2), step, folder / "data")


def test_a_part_is_found_again_unless_it_is_of_something_else(tmp_path):
    assert parts(tmp_path).load(TASK, "agent") is None
    parts(tmp_path).save(TASK, "agent", RECORD)
    assert parts(tmp_path).load(TASK, "agent") == RECORD
    assert parts(tmp_path, step=41).load(TASK, "agent") is None


def test_what_was_fitted_on_other_episodes_does_not_count(tmp_path):
    """The agent's own part is of its checkpoint, whatever others learn from."""

    def learning(*episodes: int) -> Parts:
        return Parts(tmp_path, EvaluationConfig(episodes=2), 40, tmp_path / "data", {TASK.id: np.array(episodes)})

    for part in ("agent", "baselines", "mlp"):
        learning(0, 1, 3).save(TASK, part, RECORD)
        assert learning(0, 1, 3).load(TASK, part) == RECORD
    for other in (learning(0, 1, 2), learning(0, 1), parts(tmp_path)):
        assert other.load(TASK, "agent") == RECORD
        assert other.load(TASK, "baselines") is None
        assert other.load(TASK, "mlp") is None


def test_a_part_from_before_there_were_chunks_counts_where_none_is_played(tmp_path):
    fresh = parts(tmp_path)
    assert set(fresh.settings["decode"]) == {"continuous", "discrete", "temperature"}
    fresh.save(TASK, "agent", RECORD)
    asked = EvaluationConfig(episodes=2, decode=DecodeConfig(play_chunk=2))
    assert Parts(tmp_path, asked, 40, tmp_path / "data").load(TASK, "agent") is None


def test_asking_for_specialists_measures_nothing_else_again(tmp_path):
    parts(tmp_path).save(TASK, "agent", RECORD)
    asked = EvaluationConfig(episodes=2, specialists=("mlp",))
    assert Parts(tmp_path, asked, 40, tmp_path / "data").load(TASK, "agent") == RECORD


def test_a_damaged_part_is_named_and_told_how_to_be_measured_again(tmp_path):
    parts(tmp_path).save(TASK, "agent", RECORD)
    (path,) = tmp_path.glob("*.json")
    good = path.read_text()
    for bad in (good.replace("500.0", "508.0"), good[:-40], ""):
        path.write_text(bad)
        with pytest.raises(ValueError, match=rf"{re.escape(str(path))} is damaged .*delete this file, and it alone"):
            parts(tmp_path).load(TASK, "agent")
    path.unlink()
    assert parts(tmp_path).load(TASK, "agent") is None


def test_a_part_knows_the_versions_of_its_environment(tmp_path):
    assert stored_part(tmp_path, TASK, "agent") is None
    parts(tmp_path).save(TASK, "agent", RECORD)
    stored = stored_part(tmp_path, TASK, "agent")
    assert stored is not None
    assert stored["versions"] == episode_versions(TASK)
    assert set(stored["versions"]) == {"generalist", "gymnasium", "numpy"}
    assert "metaworld" in episode_versions(find_task("metaworld/push-v3"))
