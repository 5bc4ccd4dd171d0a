"""Data sets written by the formats' own libraries, from import to `Demonstrations.open`."""

import numpy as np
import pytest
from gymnasium import spaces
from public_sets import LENGTHS, bridge, game, pusht

from generalist.demonstrations.public.convert import import_data, open_source
from generalist.demonstrations.storage import Demonstrations


def imported(source, folder):
    return Demonstrations.open(import_data(open_source(source), folder, quiet=True).folder)


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
@pytest.mark.parametrize("film", [True, False])
def test_pusht(tmp_path, version, film):
    if film:
        pytest.importorskip("av")
    data = imported(pusht(tmp_path / "pusht", version=version, film=film), tmp_path / "data")
    assert data.lengths.tolist() == list(LENGTHS)
    assert data.observation_space["image"] == spaces.Box(0, 255, (96, 96, 3), np.uint8)
    for number in range(len(data)):
        episode = data.episode(number)
        state, frames = episode.observations["state"], episode.observations["image"]
        for (row, column), frame in zip((state / 512 * 88).astype(int), frames, strict=True):
            assert frame[row + 2 : row + 6, column + 2 : column + 6].mean((0, 1))[0] > 150  # the square is where it is
            assert frame[row + 2 : row + 6, column + 2 : column + 6].mean((0, 1))[1] < 60
        np.testing.assert_allclose(episode.actions, state[:-1] + (256 - state[:-1]) * 0.2, rtol=1e-5)
        assert episode.terminated == (number >= 2)


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
def test_bridge(tmp_path, version):
    data = imported(bridge(tmp_path / "bridge", version=version), tmp_path / "data")
    assert set(data.observation_space) == {"images.image_0", "images.image_1", "state", "task"}
    told = [str(data.episode(number).observations["task"][0]) for number in range(len(data))]
    assert told == ["put the carrot on the plate", "open the drawer", "fold the cloth", "put the carrot on the plate"]
    first = data.episode(0)
    assert first.actions.shape == (LENGTHS[0], 7)
    assert not np.array_equal(first.observations["images.image_0"], first.observations["images.image_1"])


@pytest.mark.filterwarnings("ignore::UserWarning:minari")
@pytest.mark.parametrize(("shape", "data_format"), [((84, 84, 4), "hdf5"), ((210, 160, 3), "arrow")])
def test_a_game(tmp_path, monkeypatch, shape, data_format):
    pytest.importorskip("minari")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    source = open_source(game("own/game-v0", shape=shape, data_format=data_format))
    data = Demonstrations.open(import_data(source, tmp_path / "data", quiet=True).folder)
    assert data.action_space == spaces.Discrete(6)
    assert data.episode(2).observations.shape == (LENGTHS[2] + 1, *shape)
    assert data.returns.tolist() == [float((data.episode(i).actions == 3).sum()) for i in range(4)]


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
def test_a_set_with_an_empty_episode(tmp_path, version):
    source = open_source(pusht(tmp_path / "pusht", version=version, lengths=(5, 0, 6), film=False))
    with pytest.raises(ValueError, match="episode 1 has no steps"):
        import_data(source, tmp_path / "data", quiet=True)
    kept = import_data(source, tmp_path / "first", episodes=1, quiet=True)
    assert kept.steps == 5
    assert len(next(source.episodes(2))) == 6
