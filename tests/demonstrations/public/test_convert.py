import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace

import numpy as np
import pytest
from gymnasium import spaces

from generalist.demonstrations.public.convert import import_data, in_task_spaces, open_source, with_actions
from generalist.demonstrations.public.reader import PublicData, array_space, make_episode
from generalist.demonstrations.storage import Demonstrations, dataset_folder

OBSERVATION = spaces.Dict({"state": spaces.Box(-np.inf, np.inf, (3,)), "mission": spaces.Text(99)})
ACTION = spaces.Box(-1, 1, (2,))
TOTAL = 121


def episodes(start=0):
    for number in range(start, TOTAL):
        rng, steps = np.random.default_rng(number), 1 + number % 4
        yield make_episode(
            "test:numbers",
            "robot/numbers",
            (OBSERVATION, ACTION),
            observations={"state": rng.random((steps, 3), np.float32), "mission": ["go", "é", "é", "go"][:steps]},
            actions=rng.random((steps, 2), np.float32),
            rewards=rng.random(steps),
            terminated=True,
            truncated=False,
        )


SOURCE = PublicData(
    name="test:numbers",
    task_id="robot/numbers",
    observation_space=OBSERVATION,
    action_space=ACTION,
    episodes_total=TOTAL,
    read=episodes,
)


def assert_imported(out, count):
    opened = Demonstrations.open(dataset_folder(out, "robot/numbers"))
    assert (len(opened), opened.task_id, opened.settings["policy"]) == (count, "robot/numbers", "test:numbers")
    assert (opened.observation_space, opened.action_space) == (OBSERVATION, ACTION)
    for number, given in zip(range(count), episodes(), strict=False):
        if number % 13 and number < count - 1:
            continue
        found = opened.episode(number)
        assert found.metadata == given.metadata
        for key in OBSERVATION:
            np.testing.assert_array_equal(found.observations[key], given.observations[key])
        np.testing.assert_array_equal(found.actions, given.actions)
        np.testing.assert_array_equal(found.rewards, given.rewards)
        assert (found.terminated, found.truncated) == (True, False)


def test_what_is_imported_opens_as_demonstrations(tmp_path):
    summary = import_data(SOURCE, tmp_path, quiet=True)
    assert (summary.episodes, summary.kept, summary.task_id) == (TOTAL, 0, "robot/numbers")
    assert summary.steps == sum(1 + number % 4 for number in range(TOTAL))
    assert summary.size > 100_000
    assert len(list(summary.folder.glob("*.array_record-*-of-00004"))) == 4
    assert_imported(tmp_path, TOTAL)
    again = import_data(replace(SOURCE, read=None), tmp_path, quiet=True)  # pyright: ignore[reportArgumentType]
    assert again.kept == TOTAL  # nothing is read twice


def test_a_part_is_imported_and_another_number_needs_overwrite(tmp_path):
    assert import_data(SOURCE, tmp_path, episodes=7, quiet=True).episodes == 7
    with pytest.raises(ValueError, match="episodes was 7, now 8"):
        import_data(SOURCE, tmp_path, episodes=8, quiet=True)
    import_data(SOURCE, tmp_path, episodes=8, overwrite=True, quiet=True)
    assert_imported(tmp_path, 8)
    with pytest.raises(ValueError, match="asked 0"):
        import_data(SOURCE, tmp_path, episodes=0, quiet=True)


def test_a_failure_keeps_whole_shards_and_the_next_import_reads_on_after_them(tmp_path):
    def failing(start):
        for number, episode in enumerate(episodes(start), start):
            if number == 70:
                raise ValueError("bad.parquet is corrupt")
            yield episode

    with pytest.raises(ValueError, match=r"bad\.parquet"):
        import_data(replace(SOURCE, read=failing), tmp_path, quiet=True)
    starts = []

    def counting(start):
        starts.append(start)
        return episodes(start)

    assert import_data(replace(SOURCE, read=counting), tmp_path, quiet=True).kept == 60  # two shards of four
    assert starts == [60]
    assert_imported(tmp_path, TOTAL)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_an_import_that_was_killed_goes_on(tmp_path):
    script = tmp_path / "killed.py"
    script.write_text(
        textwrap.dedent(f"""
        import importlib.util, os, signal, sys
        from dataclasses import replace
        spec = importlib.util.spec_from_file_location("test_convert", {__file__!r})
        module = importlib.util.module_from_spec(spec)
        sys.modules["test_convert"] = module
        spec.loader.exec_module(module)

        def killed(start):
            for number, episode in enumerate(module.episodes(start), start):
                if number == 40:
                    os.kill(os.getpid(), signal.SIGKILL)
                yield episode

        module.import_data(replace(module.SOURCE, read=killed), {str(tmp_path)!r}, quiet=True)
        """)
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, str(script)], env=environment, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert import_data(SOURCE, tmp_path, quiet=True).kept == 30
    assert_imported(tmp_path, TOTAL)
    assert not list(dataset_folder(tmp_path, "robot/numbers").glob(".part-*"))


def test_a_source_that_ends_early_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="ends after 121 episodes, it says it has 130"):
        import_data(replace(SOURCE, episodes_total=130), tmp_path, quiet=True)


COUNTED = spaces.Box(np.iinfo(np.int64).min, np.iinfo(np.int64).max, (), np.int64)


def discrete_source(task_id="CartPole-v1", values=(0, 1, 1)):
    observation = spaces.Box(-np.inf, np.inf, (4,))

    def read(start):
        yield make_episode(
            "test:poles",
            task_id,
            (observation, COUNTED),
            observations=np.ones((3, 4), np.float32),
            actions=np.array(values),
            rewards=np.ones(3),
            terminated=True,
            truncated=False,
        )

    return PublicData(
        name="test:poles",
        task_id=task_id,
        observation_space=observation,
        action_space=COUNTED,
        episodes_total=1,
        read=read,
    )


def test_the_number_of_actions_comes_from_the_task_or_the_user(tmp_path):
    with pytest.raises(ValueError, match="--actions N"):
        import_data(discrete_source(), tmp_path, quiet=True)
    assert with_actions(discrete_source(), 5).action_space == spaces.Discrete(5)
    with pytest.raises(ValueError, match=r"test:poles, episode 0 .*from 0 to 1, outside Discrete\(1\)"):
        next(with_actions(discrete_source(), 1).episodes())
    with pytest.raises(ValueError, match="no discrete action"):
        with_actions(SOURCE, 3)
    adapted, differs = in_task_spaces(discrete_source())
    assert (adapted.action_space, differs) == (spaces.Discrete(2), "")
    assert adapted.observation_space.high[0] == np.float32(4.8)
    import_data(adapted, tmp_path, quiet=True)
    episode = Demonstrations.open(dataset_folder(tmp_path, "CartPole-v1")).episode(0)
    assert episode.actions.tolist() == [0, 1, 1]


def test_data_that_a_task_does_not_show_is_kept_and_the_difference_is_said():
    source, differs = in_task_spaces(SOURCE)
    assert source is SOURCE
    assert "robot/numbers is no task of ours" in differs
    assert "--task gym:Hopper-v4 plays it" in in_task_spaces(replace(SOURCE, task_id="Hopper-v4"))[1]
    source, differs = in_task_spaces(replace(SOURCE, task_id="CartPole-v1"))
    assert source.observation_space is OBSERVATION
    assert "cannot play CartPole-v1" in differs
    assert "['mission'], ['state']" in differs


def mixed_source(action_space, actions):
    observation = spaces.Box(-np.inf, np.inf, (2,), np.float32)
    episode = make_episode(
        "test:arm",
        "robot/arm",
        (observation, action_space),
        observations=np.zeros((3, 2), np.float32),
        actions=actions,
        rewards=np.zeros(3),
        terminated=True,
        truncated=False,
    )
    return PublicData(
        name="test:arm",
        task_id="robot/arm",
        observation_space=observation,
        action_space=action_space,
        episodes_total=1,
        read=lambda start: iter([episode][start:]),
    )


def test_integers_among_the_parts_of_an_action_are_counted(tmp_path):
    arm, offset = spaces.Box(-np.inf, np.inf, (3,), np.float32), array_space((2,), np.int16)
    mixed = spaces.Dict({"arm": arm, "hand": spaces.Dict({"grip": array_space((), np.int32), "offset": offset})})
    actions = {"arm": np.ones((3, 3)), "hand": {"grip": np.array([0, 3, 1]), "offset": np.full((3, 2), -7)}}
    source = mixed_source(mixed, actions)
    with pytest.raises(ValueError, match=r"how many values action\['hand'\]\['grip'\] has is not known.*--actions N"):
        import_data(source, tmp_path, quiet=True)
    counted = with_actions(source, 4)
    assert counted.action_space["hand"] == spaces.Dict({"grip": spaces.Discrete(4, dtype=np.int32), "offset": offset})
    assert counted.action_space["arm"] == arm
    episode = Demonstrations.open(import_data(counted, tmp_path, quiet=True).folder).episode(0)
    assert episode.actions["hand"]["grip"].tolist() == [0, 3, 1]
    with pytest.raises(ValueError, match=r"action\['hand'\]\['grip'\] has values from 0 to 3, outside Discrete\(3, "):
        next(with_actions(source, 3).episodes())
    rows = mixed_source(spaces.Tuple([arm, array_space((2,), np.int64)]), (np.ones((3, 3)), np.eye(3, 2)))
    assert with_actions(rows, 2).action_space[1] == spaces.MultiDiscrete([2, 2])


def test_what_is_no_damage_is_not_to_be_downloaded_again():
    with pytest.raises(ValueError, match="outside") as wrong:
        next(with_actions(discrete_source(), 1).episodes())
    assert "again" not in str(wrong.value)


def test_continuous_actions_are_clipped_to_the_task():
    observation = spaces.Box(-np.inf, np.inf, (3,))
    wide = spaces.Box(-np.inf, np.inf, (1,))

    def read(start):
        observations, actions = np.zeros((2, 3), np.float32), np.array([[6.46], [-1.0]])
        parts = {"observations": observations, "actions": actions, "rewards": np.zeros(2)}
        yield make_episode("test:p", "Pendulum-v1", (observation, wide), **parts, terminated=False, truncated=True)

    source = PublicData(
        name="test:p",
        task_id="Pendulum-v1",
        observation_space=observation,
        action_space=wide,
        episodes_total=1,
        read=read,
    )
    adapted, _ = in_task_spaces(source)
    assert next(adapted.episodes()).actions.tolist() == [[2.0], [-1.0]]


def test_an_unknown_scheme_lists_the_valid_ones():
    for source, said in (
        ("minary:x", "did you mean minari:PATH"),
        ("s3:x", "schemes are rlds, minari, jat, lerobot"),
        ("data/x", "schemes are"),
        ("jat:", "schemes are"),
    ):
        with pytest.raises(ValueError, match=said):
            open_source(source)
