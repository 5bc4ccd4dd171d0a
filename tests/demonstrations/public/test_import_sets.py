"""Data sets that TFDS's own library has prepared, imported by the command and opened: equal values."""

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from gymnasium import spaces
from PIL import Image
from tfds_sets import ARMS, GAME, PUSHES, arms, games, prepare, pushes

from generalist.configs.commands.cli import main
from generalist.demonstrations.collect import collect
from generalist.demonstrations.public.rlds import open_rlds
from generalist.demonstrations.storage import Demonstrations, dataset_folder


def imported(source: Path, out: Path, *options: str) -> Demonstrations:
    name = source.parent.name
    assert main(["import", f"rlds:{source}", "--out", str(out), *options]) == 0
    return Demonstrations.open(dataset_folder(out, name))


def pixels(file: io.BytesIO) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(file.getvalue())))


def test_pushes_in_pixels(tmp_path, capsys):
    given = pushes()
    found = imported(prepare(tmp_path, "my_pushes", PUSHES, given), tmp_path / "data")
    assert found.returns.tolist() == [1, 1, 1]
    for number, one in enumerate(given):
        episode, steps = found.episode(number), one["steps"]
        np.testing.assert_array_equal(episode.actions, [step["action"] for step in steps])
        states = [step["observation"]["state"] for step in steps]
        np.testing.assert_array_equal(episode.observations["state"], [*states, states[-1]])
        frames = [pixels(step["observation"]["image"]) for step in steps]
        np.testing.assert_array_equal(episode.observations["image"], [*frames, frames[-1]])
        assert (episode.terminated, episode.truncated) == (True, False)
    assert "the last step's action is taken (3 of 3 sampled episodes end with a reward)" in said(capsys)


def said(capsys) -> str:
    return " ".join(" ".join(capsys.readouterr()).split())


def test_an_arm_with_two_cameras_and_an_instruction(tmp_path, capsys):
    given = arms()
    found = imported(prepare(tmp_path, "my_arm", ARMS, given), tmp_path / "data")
    for number, one in enumerate(given):
        episode, steps = found.episode(number), one["steps"]
        np.testing.assert_array_equal(episode.actions, [step["action"] for step in steps])
        for camera in ("image_0", "image_1"):
            frames = [pixels(step["observation"][camera]) for step in steps]
            np.testing.assert_array_equal(episode.observations[camera], [*frames, frames[-1]])
        assert set(episode.observations["language_instruction"]) == {f"put the pot {number} to the left"}
    assert "not imported:" in said(capsys)


def test_a_game_of_rlds_proper_with_an_empty_episode(tmp_path, capsys):
    given = games()
    source = prepare(tmp_path, "my_game", GAME, given)
    assert main(["import", f"rlds:{source}", "--out", str(tmp_path / "data")]) == 2
    assert "rlds:my_game, episode 1: " in (message := said(capsys))
    assert "the episode has no steps" in message
    assert "--skip-bad passes over" in message
    found = imported(source, tmp_path / "data", "--skip-bad")
    assert found.lengths.tolist() == [5, 2]
    assert found.action_space == spaces.Discrete(4)
    for number, one in enumerate([given[0], given[2]]):
        episode, steps = found.episode(number), one["steps"]
        assert episode.actions.tolist() == [step["action"] for step in steps[:-1]]
        np.testing.assert_array_equal(episode.observations, [step["observation"] for step in steps])
        assert set(episode.rewards) == {1}
    message = said(capsys)
    assert "the last step only holds the final observation" in message
    assert "episode 1 is passed over: " in message
    [[number, why]] = found.settings["skipped"]
    assert number == 1
    assert "no steps" in why


def test_an_episode_of_one_step_that_is_only_an_observation_is_said_to_be_one(tmp_path):
    given = games((4, 1, 5))
    with pytest.raises(ValueError, match="one step, which only holds the final observation"):
        list(open_rlds(prepare(tmp_path, "short", GAME, given)).episodes())


@pytest.mark.parametrize("renamed", [False, True])
@pytest.mark.parametrize("files", ["all", "tfds"])
def test_our_own_recordings_come_back_as_they_were(tmp_path, files, renamed):
    """Also where only what TFDS knows was copied."""
    ids = ["CartPole-v1", "babyai/GoToRedBallNoDists"]
    collect(ids, out=tmp_path / "first", episodes=3, workers=0, quiet=True)
    for id in ids:
        given = Demonstrations.open(dataset_folder(tmp_path / "first", id))
        folder = dataset_folder(tmp_path / "copy", id)
        shutil.copytree(given.folder, folder)
        if files == "tfds":
            for name in ("collection.json", "spaces.json", "index.json", "steps.columns"):
                (folder / name).unlink()
        options = ["--task", f"gym:{id}"] if renamed and "/" not in id else []
        assert main(["import", f"rlds:{folder}", "--out", str(tmp_path / "second"), *options]) == 0
        found = Demonstrations.open(dataset_folder(tmp_path / "second", options[1] if options else id))
        assert (found.observation_space, found.action_space) == (given.observation_space, given.action_space)
        for number in range(3):
            one, other = found.episode(number), given.episode(number)
            assert (one.terminated, one.truncated) == (other.terminated, other.truncated)
            np.testing.assert_equal(one.observations, other.observations)
            np.testing.assert_equal(one.actions, other.actions)
            np.testing.assert_array_equal(one.rewards, other.rewards)
            kept = [(e.metadata.seed, e.metadata.success, e.metadata.expert, e.metadata.noise) for e in (one, other)]
            assert kept[0] == kept[1]


def test_a_recording_is_not_imported_into_itself(tmp_path, capsys):
    collect("CartPole-v1", out=tmp_path, episodes=2, workers=0, quiet=True)
    folder = dataset_folder(tmp_path, "CartPole-v1")
    assert main(["import", f"rlds:{folder}", "--out", str(tmp_path), "--overwrite"]) == 2
    assert "is the source itself" in said(capsys)
    assert len(Demonstrations.open(folder)) == 2
