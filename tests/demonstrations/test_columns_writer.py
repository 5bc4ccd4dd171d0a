"""Columns are written piece by piece, whatever the pieces are; what does not fit is refused."""

import threading

import numpy as np
import pytest
from gymnasium import spaces

from generalist.demonstrations import columns_writer
from generalist.demonstrations.columns import LENGTHS, REWARDS, Columns
from generalist.demonstrations.columns_writer import SMALLEST_PICTURE, write_columns

RNG = np.random.default_rng(0)
SPACE = spaces.Dict(x=spaces.Box(-9, 9, (3,), np.float32), say=spaces.Text(20))
ACTION = spaces.Discrete(5)
STEPS = np.array([4, 1, 9])
X, ACTIONS, REWARD = RNG.normal(size=(14, 3)).astype(np.float32), RNG.integers(0, 5, 14), RNG.normal(size=14)
SAY = np.array([f"text {number % 6}" for number in range(14)], object)


def pieces(*cuts: tuple[int, int, int]):
    """(episode, first step, last step + 1) of each."""
    return [
        (episode, [X[first:stop], SAY[first:stop], ACTIONS[first:stop]], REWARD[first:stop])
        for episode, first, stop in cuts
    ]


WHOLE = [(0, 0, 4), (1, 4, 5), (2, 5, 14)]


def written(path, cuts, made_from="these") -> Columns:
    write_columns(path, SPACE, ACTION, STEPS, pieces(*cuts), made_from=made_from)
    return Columns(path)


@pytest.mark.parametrize(
    "cuts",
    [
        WHOLE,
        [(0, 0, 1), (0, 1, 4), (1, 4, 5), (2, 5, 6), (2, 6, 13), (2, 13, 14)],
        [(0, 0, 0), (0, 0, 4), (1, 4, 5), (1, 5, 5), (2, 5, 14)],
    ],
)
def test_an_episode_may_come_in_pieces(tmp_path, cuts):
    columns = written(tmp_path / "a.columns", cuts)
    observations, actions = columns.take(np.arange(14))
    np.testing.assert_array_equal(observations["x"], X)
    assert observations["say"].tolist() == SAY.tolist()
    np.testing.assert_array_equal(actions, ACTIONS)
    np.testing.assert_array_equal(columns.file.array(REWARDS), REWARD.astype(np.float32))
    assert columns.file.array(LENGTHS).tolist() == STEPS.tolist()
    for episodes, steps in (([0], slice(0, 4)), ([1], slice(4, 5)), ([2], slice(5, 14)), ([0, 1, 2], slice(14))):
        mean, std = columns.statistics(episodes)["observation/x"]
        np.testing.assert_allclose(mean, X[steps].mean(0, dtype=np.float64), rtol=1e-6)
        np.testing.assert_allclose(std, X[steps].std(0, dtype=np.float64), rtol=1e-6, atol=1e-9)
    assert columns.made_from == "these"


@pytest.mark.parametrize(
    "cuts",
    [
        [],
        WHOLE[:2],
        [(0, 0, 5), (1, 5, 5), (2, 5, 14)],
        [(0, 0, 4), (1, 4, 6), (2, 6, 14)],
        [(0, 0, 4), (2, 4, 13), (1, 13, 14)],
        [(1, 0, 1), (0, 1, 5), (2, 5, 14)],
        [*WHOLE, (3, 0, 0)],
        [*WHOLE, (2, 0, 1)],
    ],
)
def test_pieces_that_do_not_fit_are_refused_and_leave_nothing(tmp_path, cuts):
    with pytest.raises(ValueError, match=r"a\.columns"):
        written(tmp_path / "a.columns", cuts)
    assert not list(tmp_path.iterdir())


def test_leaves_of_several_lengths_are_refused(tmp_path):
    given = pieces(*WHOLE)
    given[1][1][2] = ACTIONS[:2]
    with pytest.raises(ValueError, match=r"a\.columns: after episode 0 came episode 1, or leaves of several lengths"):
        write_columns(tmp_path / "a.columns", SPACE, ACTION, STEPS, given, made_from="")
    assert not list(tmp_path.iterdir())


def test_what_pieces_raise_is_raised_and_leaves_nothing(tmp_path):
    def broken():
        yield from pieces(*WHOLE[:2])
        raise RuntimeError("a shard is damaged")

    with pytest.raises(RuntimeError, match="a shard is damaged"):
        write_columns(tmp_path / "a.columns", SPACE, ACTION, STEPS, broken(), made_from="")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("remembered", [3, 1000])
def test_equal_texts_are_written_once_while_they_are_remembered(tmp_path, monkeypatch, remembered):
    monkeypatch.setattr(columns_writer, "TEXTS", remembered)
    columns = written(tmp_path / "a.columns", WHOLE)
    assert columns.observations(np.arange(14))["say"].tolist() == SAY.tolist()
    one = len("text 0")
    assert columns.file.heap_size == (6 * one if remembered == 1000 else 14 * one)


def form_of(rows: np.ndarray, tmp_path) -> str:
    space = spaces.Box(0, 255, rows.shape[1:], np.uint8)
    path = tmp_path / "a.columns"
    given = [(0, [rows, np.zeros(len(rows), int)], np.zeros(len(rows)))]
    write_columns(path, space, ACTION, np.array([len(rows)]), given, made_from="")
    np.testing.assert_array_equal(Columns(path).observations(np.arange(len(rows))), rows)
    return Columns(path).form("observation", 0)


def test_pictures_are_compressed_where_that_halves_them(tmp_path):
    noise = RNG.integers(0, 256, (200, 32, 64), np.uint8)
    for part, form in ((20, "zstd"), (40, "raw")):
        rows = noise.copy()
        rows[:, :, part:] = 9
        (tmp_path / form).mkdir()
        assert form_of(rows, tmp_path / form) == form
    smallest = np.zeros((5, 1, SMALLEST_PICTURE), np.uint8)
    (tmp_path / "small").mkdir()
    assert form_of(smallest[..., 1:], tmp_path / "small") == "raw"
    (tmp_path / "just").mkdir()
    assert form_of(smallest, tmp_path / "just") == "zstd"


def test_pictures_that_turn_into_noise_stay_right(tmp_path):
    """What the first piece recommends need not suit the others."""
    rows = np.zeros((50, 32, 64), np.uint8)
    rows[5:] = RNG.integers(0, 256, (45, 32, 64), np.uint8)
    path = tmp_path / "a.columns"
    given = [
        (at, [rows[part], np.zeros(len(rows[part]), int)], np.zeros(len(rows[part])))
        for at, part in enumerate((slice(5), slice(5, 50)))
    ]
    write_columns(path, spaces.Box(0, 255, (32, 64), np.uint8), ACTION, np.array([5, 45]), given, made_from="")
    assert Columns(path).form("observation", 0) == "zstd"
    np.testing.assert_array_equal(Columns(path).observations(np.arange(50)), rows)


@pytest.mark.parametrize("made_from", ["these", "others"])
def test_of_two_at_once_the_second_keeps_what_the_first_made(tmp_path, made_from):
    """The first one's columns must stay as they are, because it reads them by then."""
    path, begun, go_on, taken = tmp_path / "a.columns", threading.Event(), threading.Event(), []

    def slowly():
        for piece in pieces(*WHOLE):
            yield piece
            begun.set()
            go_on.wait(20)

    def counted():
        for piece in pieces(*WHOLE):
            taken.append(piece)
            yield piece

    first = threading.Thread(
        target=write_columns, args=(path, SPACE, ACTION, STEPS, slowly()), kwargs={"made_from": "these"}
    )
    first.start()
    begun.wait(20)
    second = threading.Thread(
        target=write_columns, args=(path, SPACE, ACTION, STEPS, counted()), kwargs={"made_from": made_from}
    )
    second.start()
    second.join(0.2)
    assert second.is_alive()
    go_on.set()
    first.join(20)
    second.join(20)
    assert len(taken) == (1 if made_from == "these" else 3)
    assert Columns(path).made_from == made_from
    assert list(tmp_path.iterdir()) == [path]
