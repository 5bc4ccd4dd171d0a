"""Steps by random access equal the arrays they were written from; statistics equal NumPy's over the same rows."""

import json
import os
import pickle
import warnings

import gymnasium as gym
import numpy as np
import pytest
from arrays import columns_of
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from generalist.demonstrations import columns as reading
from generalist.demonstrations.columns import Columns, Moments
from generalist.demonstrations.columns_writer import write_columns
from generalist.envs.spaces import space_leaves, value_at
from generalist.tokenizers.continuous import LARGEST

RNG = np.random.default_rng(0)
LENGTHS = np.array([7, 1, 30, 2])
STEPS = int(LENGTHS.sum())
UNICODE = ["", "go left", "grün 漢 😀", "a" * 300, "\0", "left"]


def drawn(count: int, *shape: int) -> np.ndarray:
    """Pictures of few colours in large areas."""
    rows = np.zeros((count, *shape), np.uint8)
    for row in rows:
        row[int(RNG.integers(5, 20)) :, int(RNG.integers(5, 20)) :] = RNG.integers(0, 256, shape[2:])
    return rows


def texts(count: int) -> np.ndarray:
    return np.array([UNICODE[int(RNG.integers(len(UNICODE)))] for _ in range(count)], object)


OBSERVATION = spaces.Dict(
    {
        "picture": spaces.Box(0, 255, (40, 40, 3), np.uint8),
        "noise": spaces.Box(0, 255, (40, 40, 3), np.uint8),
        "frames": spaces.Box(0, 255, (3, 24, 24), np.uint8),
        "small": spaces.Box(0, 255, (4, 4), np.uint8),
        "inner": spaces.Dict(
            {"z": spaces.Text(400), "a": spaces.Tuple([spaces.Box(-1, 1, (2, 3), np.float32), spaces.Text(9)])}
        ),
        "half": spaces.Box(-1, 1, (5,), np.float16),
        "double": spaces.Box(-np.inf, np.inf, (), np.float64),
        "nothing": spaces.Box(-1, 1, (0,), np.float32),
        "whole": spaces.Box(-5, 5, (2,), np.int64),
        "unsigned": spaces.Box(0, 2**63, (), np.uint64),
        "one": spaces.Discrete(4, start=-2),
        "many": spaces.MultiDiscrete([[2, 3], [4, 5]]),
        "bits": spaces.MultiBinary((2, 3)),
    }
)
ACTION = spaces.Tuple([spaces.Discrete(5), spaces.Box(-1, 1, (2,), np.float64)])
VALUES = {
    "picture": drawn(STEPS, 40, 40, 3),
    "noise": RNG.integers(0, 256, (STEPS, 40, 40, 3), np.uint8),
    "frames": drawn(STEPS, 3, 24, 24),
    "small": drawn(STEPS, 4, 4),
    "inner": {"z": texts(STEPS), "a": (RNG.random((STEPS, 2, 3), np.float32), texts(STEPS))},
    "half": RNG.normal(size=(STEPS, 5)).astype(np.float16),
    "double": RNG.normal(1e6, 1e-3, size=STEPS),
    "nothing": np.zeros((STEPS, 0), np.float32),
    "whole": RNG.integers(-5, 6, (STEPS, 2)),
    "unsigned": RNG.integers(0, 2**63, STEPS, np.uint64),
    "one": RNG.integers(-2, 2, STEPS),
    "many": RNG.integers(0, 2, (STEPS, 2, 2)),
    "bits": RNG.integers(0, 2, (STEPS, 2, 3)).astype(np.int8),
}
ACTIONS = (RNG.integers(0, 5, STEPS), RNG.normal(size=(STEPS, 2)))


@pytest.fixture(scope="module")
def columns() -> Columns:
    return columns_of(OBSERVATION, ACTION, VALUES, ACTIONS, LENGTHS)


def assert_steps(columns: Columns, steps: np.ndarray) -> None:
    for space, found, values in zip((OBSERVATION, ACTION), columns.take(steps), (VALUES, ACTIONS), strict=True):
        for path, leaf in space_leaves(space):
            rows, wanted = value_at(found, path), value_at(values, path)[steps]
            np.testing.assert_array_equal(rows, wanted, str(path))
            assert rows.shape == wanted.shape
            assert isinstance(leaf, spaces.Text) or rows.dtype == leaf.dtype


def test_any_steps_in_any_order_are_the_arrays(columns):
    for steps in ([3], [], range(STEPS), [5, 5, 0, STEPS - 1, 5], RNG.permutation(STEPS)):
        assert_steps(columns, np.asarray(steps, int))
    assert len(columns) == STEPS
    assert columns.lengths.tolist() == LENGTHS.tolist()
    assert columns.starts.tolist() == [0, 7, 8, 38, 40]
    assert (columns.observation_space, columns.action_space) == (OBSERVATION, ACTION)


def test_drawn_pictures_are_compressed_and_nothing_else(columns):
    names = [path[0] for path, _ in space_leaves(OBSERVATION)]
    forms = {name: columns.form("observation", at) for at, name in enumerate(names)}
    assert {name for name, form in forms.items() if form == "zstd"} == {"picture", "frames"}
    assert {name for name, form in forms.items() if form == "text"} == {"inner"}
    assert [columns.form("action", at) for at in range(2)] == ["raw", "raw"]
    size = os.path.getsize(columns.file.path)
    assert VALUES["noise"].nbytes < size < VALUES["noise"].nbytes + VALUES["picture"].nbytes


def test_sent_to_another_process_they_are_opened_again(columns):
    sent = pickle.dumps(columns)
    assert len(sent) < 1000
    assert_steps(pickle.loads(sent), np.array([4, 9]))


def test_rows_of_one_leaf_and_others_instead_of_some(columns):
    at = [path for path, _ in space_leaves(OBSERVATION)].index(("half",))
    steps = np.array([8, 2])
    np.testing.assert_array_equal(columns.rows("observation", at, steps), VALUES["half"][steps])
    np.testing.assert_array_equal(columns.rows("action", 1, steps), ACTIONS[1][steps])
    found = columns.observations(steps, instead={at: "other"})
    assert found["half"] == "other"
    np.testing.assert_array_equal(found["one"], VALUES["one"][steps])


@pytest.mark.parametrize("steps", [[-1], [STEPS], [0, STEPS + 10**9]])
def test_steps_that_are_not_there_are_an_error(columns, steps):
    with pytest.raises(IndexError, match=r"columns has the steps \[0, 40\), not"):
        columns.take(np.array(steps))
    with pytest.raises(IndexError):
        columns.rows("action", 0, np.array(steps))


def test_very_many_texts_are_read_right_and_not_all_kept(monkeypatch):
    monkeypatch.setattr(reading, "TEXTS", 50)
    given = np.array([f"text {number % 170}" for number in RNG.permutation(500)], object)
    columns = columns_of(spaces.Text(20), spaces.Discrete(2), given, np.zeros(500, int))
    for _ in range(60):
        steps = RNG.integers(0, 500, 9)
        assert columns.observations(steps).tolist() == given[steps].tolist()
        assert len(columns._reader(columns._columns["observation"][0])._known) <= 50
    assert columns.observations(np.arange(500)).tolist() == given.tolist()


def test_equal_texts_have_one_place_and_different_ones_have_not(columns):
    at = [path for path, _ in space_leaves(OBSERVATION)].index(("inner", "z"))
    given = VALUES["inner"]["z"]
    starts, sizes = columns.text_places(at, np.arange(STEPS))
    assert len(set(zip(starts, given, strict=True))) == len(set(starts)) == len(set(given))
    assert sizes.tolist() == [len(text.encode()) for text in given]


@pytest.mark.parametrize("read", ["take", "rows", "places", "statistics", "sent"])
def test_a_file_that_is_replaced_or_gone_is_named_at_the_next_read(read):
    columns = columns_of(spaces.Text(9), spaces.Discrete(2), np.array(["a", "b"], object), np.zeros(2, int))
    path, steps, sent = columns.file.path, np.array([0]), pickle.dumps(columns)
    reads = {
        "take": lambda: columns.take(steps),
        "rows": lambda: columns.rows("observation", 0, steps),
        "places": lambda: columns.text_places(0, steps),
        "statistics": lambda: columns.statistics([0]),
        "sent": lambda: pickle.loads(sent),
    }
    reads[read]()
    write_columns(
        path,
        spaces.Text(9),
        spaces.Discrete(2),
        np.array([1]),
        [(0, [np.array(["c"], object), np.zeros(1, int)], np.zeros(1))],
        made_from="other data",
    )
    with pytest.raises(ValueError, match=rf"{path.name} was replaced or changed while it was in use"):
        reads[read]()
    path.unlink()
    with pytest.raises(FileNotFoundError if read == "sent" else ValueError, match=path.name):
        reads[read]()


MANY = 9000
"""Episodes of one step; every block of their file holds one kind of thing."""


@pytest.fixture(scope="module")
def large() -> Columns:
    space = spaces.Dict(n=spaces.Box(-1, 1, (2,)), p=spaces.Box(0, 255, (40, 40), np.uint8), t=spaces.Text(9))
    given = {
        "n": np.zeros((MANY, 2), np.float32),
        "p": np.broadcast_to(np.uint8(7), (MANY, 40, 40)),
        "t": np.array([f"{number:09}" for number in range(MANY)], object),
    }
    return columns_of(space, spaces.Discrete(2), given, np.zeros(MANY, int), np.ones(MANY, np.int64))


MIDDLE = np.array([MANY // 2])
PARTS = {
    "observation/0": lambda columns: columns.take(MIDDLE),
    "observation/2/start": lambda columns: columns.text_places(2, MIDDLE),
    "text": lambda columns: columns.rows("observation", 2, MIDDLE),
    "picture": lambda columns: columns.observations(MIDDLE),
    "observation/0/moments": lambda columns: columns.statistics(MIDDLE),
    "lengths": lambda columns: columns,
}


@pytest.mark.parametrize("part", PARTS)
def test_damage_is_named_by_whoever_reads_it(large, part):
    file, path = large.file, large.file.path.with_name("damaged.columns")
    if part in file:
        shape, dtype, offset = file._arrays[part]
        at = offset + int(np.prod(shape[1:])) * np.dtype(dtype).itemsize * int(MIDDLE[0])
    else:
        reader = large._reader(large._columns["observation"][2 if part == "text" else 1])
        at = file._heap + int(reader.places(MIDDLE)[0][0]) + 3
    data = bytearray(file.path.read_bytes())
    data[at] ^= 4
    path.write_bytes(data)
    with pytest.raises(ValueError, match=rf"{path.name} is damaged"):
        PARTS[part](Columns(path))


# ---- statistics


def expected(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """NumPy's mean and std of each value, infinities left out."""
    found = []
    for values in rows.astype(np.float64).reshape(len(rows), -1).T:
        kept = np.clip(values[~np.isinf(values)], -LARGEST, LARGEST)
        found.append((kept.mean(), kept.std()) if len(kept) else (0.0, 1.0))
    return tuple(np.array(found).reshape(-1, 2).T)


def rows_of(values: np.ndarray, episodes) -> np.ndarray:
    ends = np.cumsum(LENGTHS)
    return np.concatenate([values[ends[each] - LENGTHS[each] : ends[each]] for each in episodes])


@pytest.mark.parametrize("episodes", [[0, 1, 2, 3], [2], [1], [3, 0], [1, 3]])
def test_statistics_are_those_of_the_chosen_episodes(columns, episodes):
    found = columns.statistics(episodes)
    floats = {"inner/a/0": VALUES["inner"]["a"][0], "half": VALUES["half"], "double": VALUES["double"]}
    assert set(found) == {f"observation/{name}" for name in floats} | {"observation/nothing"}
    assert found["observation/nothing"] == ([], [])
    for name, values in floats.items():
        for one, other in zip(found[f"observation/{name}"], expected(rows_of(values, episodes)), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-10, err_msg=name)
    assert json.loads(json.dumps(found)) == {path: [list(part) for part in parts] for path, parts in found.items()}


def float_columns(values: np.ndarray, lengths) -> Columns:
    space = spaces.Dict(v=spaces.Box(-np.inf, np.inf, values.shape[1:], values.dtype.type))
    return columns_of(space, spaces.Discrete(2), {"v": values}, np.zeros(len(values), int), lengths)


def test_statistics_of_more_episodes_than_are_looked_at_together():
    values = RNG.normal(3, 2, (3000, 2))
    mean, std = float_columns(values, np.ones(3000, int)).statistics(np.arange(100, 2900))["observation/v"]
    np.testing.assert_allclose(mean, values[100:2900].mean(0))
    np.testing.assert_allclose(std, values[100:2900].std(0))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_infinities_are_left_out_and_huge_values_stay_finite(dtype):
    largest = np.finfo(dtype).max
    values = np.array([[1, np.inf, -np.inf, largest], [3, np.inf, 5, -largest], [np.inf, -np.inf, 7, largest]], dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mean, std = float_columns(values, [1, 2]).statistics([0, 1])["observation/v"]
    np.testing.assert_allclose(mean[:3], [2, 0, 6])
    np.testing.assert_allclose(std[:3], [1, 1, 1])
    for one, other in zip((mean, std), expected(values), strict=True):
        np.testing.assert_allclose(one, other)


def test_nan_names_the_episode_and_the_path():
    values = np.zeros((9, 2), np.float32)
    values[5, 1] = np.nan
    columns = float_columns(values, [2, 2, 3, 2])
    with pytest.raises(ValueError, match=r"observation/v\[1\]: NaN in episode 2, step 1 of "):
        columns.statistics([3, 2, 0])
    assert columns.statistics([0, 1, 3])["observation/v"] == ([0, 0], [0, 0])


@given(hnp.arrays(np.float64, (6, 2), elements=st.floats(allow_nan=False)), st.integers(0, 6), st.integers(0, 6))
def test_moments_of_parts_are_those_of_the_whole(rows, one, other):
    one, other = sorted((one, other))
    whole = Moments.of(rows)
    joined = Moments.of(rows[:one]).joined(Moments.of(rows[one:other])).joined(Moments.of(rows[other:]))
    np.testing.assert_array_equal(joined.count, whole.count)
    scale = np.abs(np.clip(np.where(np.isinf(rows), 0, rows), -LARGEST, LARGEST)).max(0)
    assert (np.abs(joined.mean - whole.mean) <= 1e-12 * scale).all()
    assert (np.abs(joined.std - whole.std) <= 1e-7 * scale).all()
    assert np.isfinite(whole.std).all()


def test_an_action_alone_has_columns_too():
    columns = columns_of(spaces.Dict({}), gym.spaces.Box(-1, 1, (2,)), {}, np.ones((3, 2), np.float32))
    assert columns.observations(np.array([0])) == {}
    assert columns.statistics([0]) == {}
