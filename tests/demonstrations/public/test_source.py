"""An import knows its source: what is the same goes on, what is another is refused by name."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from gymnasium import spaces

from generalist.demonstrations.public.convert import import_data
from generalist.demonstrations.public.form import Form
from generalist.demonstrations.public.reader import Origin, PublicData, make_episode
from generalist.demonstrations.public.source import BLOCK, WHOLE, fingerprint
from generalist.demonstrations.storage import Demonstrations, dataset_folder

BOX = spaces.Box(-np.inf, np.inf, (2,))


def folder_of(place, value, size=100):
    place.mkdir(parents=True)
    (place / "meta.json").write_text(json.dumps({"value": value}))
    (place / "values.bin").write_bytes(bytes([value]) * size)
    return place


def source_of(folder, count=4, bad=()):
    """`count` episodes whose values are the folder's."""
    value = float(json.loads((folder / "meta.json").read_text())["value"])

    def read(start):
        for number in range(start, count):
            if number in bad:
                raise ValueError(f"{folder}, episode {number} is damaged")
            rows = np.full((2, 2), value + number, np.float32)
            parts = {"observations": rows, "actions": rows, "rewards": np.zeros(2)}
            yield make_episode("test:demos", "robot/demos", (BOX, BOX), **parts, terminated=True, truncated=False)

    return PublicData(
        name="test:demos",
        task_id="robot/demos",
        observation_space=BOX,
        action_space=BOX,
        episodes_total=count,
        read=read,
        origin=Origin(folder=folder, version="1.0.0"),
    )


def values(out):
    found = Demonstrations.open(dataset_folder(out, "robot/demos"))
    return [float(found.episode(number).actions[0, 0]) for number in range(len(found))]


def test_another_source_of_the_same_name_is_refused_by_name(tmp_path):
    first, second = (folder_of(tmp_path / robot / "demos", value) for robot, value in (("a", 1), ("b", 90)))
    import_data(source_of(first), tmp_path / "out", quiet=True)
    with pytest.raises(
        ValueError, match=rf"was imported from {first} \(1.0.0, 4 episodes.*not those of {second}.*--task NAME"
    ):
        import_data(source_of(second), tmp_path / "out", quiet=True)
    assert values(tmp_path / "out") == [1, 2, 3, 4]
    import_data(source_of(second), tmp_path / "out", overwrite=True, quiet=True)
    assert values(tmp_path / "out") == [90, 91, 92, 93]
    (first / "meta.json").write_text(json.dumps({"value": 7}))
    with pytest.raises(ValueError, match="was imported from"):
        import_data(source_of(first), tmp_path / "out", quiet=True)


def test_the_same_files_elsewhere_go_on(tmp_path):
    first = folder_of(tmp_path / "a", 1)
    import_data(source_of(first), tmp_path / "out", quiet=True)
    moved = tmp_path / "elsewhere" / "b"
    shutil.copytree(first, moved)
    shutil.rmtree(first)
    assert import_data(source_of(moved), tmp_path / "out", quiet=True).kept == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"episodes": 3}, "episodes was 4, now 3.*an import is not extended"),
        ({"form": Form(action="elsewhere")}, "other options .action was , now elsewhere"),
        ({"form": Form(last_action_taken=True)}, "last_action_taken was None, now True"),
        ({"actions": 5}, "actions was 0, now 5"),
    ],
)
def test_the_same_source_read_otherwise_is_refused(tmp_path, options, message):
    source = source_of(folder_of(tmp_path / "a", 1))
    import_data(source, tmp_path / "out", quiet=True)
    with pytest.raises(ValueError, match=message):
        import_data(source, tmp_path / "out", quiet=True, **options)


def test_an_import_of_an_older_version_goes_on_and_says_what_was_not_compared(tmp_path):
    source = source_of(folder_of(tmp_path / "a", 1))
    import_data(replace(source, origin=None), tmp_path / "out", quiet=True)
    summary = import_data(source, tmp_path / "out", quiet=True)
    assert summary.kept == 4
    assert "no fingerprint" in summary.notice


def test_a_fingerprint_is_of_names_sizes_and_contents(tmp_path):
    one = folder_of(tmp_path / "one", 3, size=WHOLE + 10 * BLOCK)
    two = tmp_path / "two"
    shutil.copytree(one, two)
    assert fingerprint(one) == fingerprint(two)
    (two / ".cache").mkdir()
    (two / ".cache" / "lock").write_text("of a download")
    assert fingerprint(one) == fingerprint(two)
    data = bytearray((two / "values.bin").read_bytes())
    for place in (0, -1):
        data[place] ^= 1
        (two / "values.bin").write_bytes(data)
        assert fingerprint(one) != fingerprint(two)
        data[place] ^= 1
    (two / "values.bin").write_bytes(data[:-1])
    assert fingerprint(one) != fingerprint(two)
    (two / "values.bin").write_bytes(data)
    assert fingerprint(one) == fingerprint(two)
    (two / "values.bin").rename(two / "numbers.bin")
    assert fingerprint(one) != fingerprint(two)


def test_bad_episodes_are_passed_over_and_kept_by_number(tmp_path):
    folder = folder_of(tmp_path / "a", 1)
    source = source_of(folder, count=9, bad=(0, 3, 8))
    with pytest.raises(ValueError, match=r"test:demos, episode 0: .*episode 0 is damaged \(--skip-bad passes over"):
        import_data(source, tmp_path / "out", quiet=True)
    summary = import_data(source, tmp_path / "out", skip_bad=True, quiet=True)
    assert (summary.episodes, sorted(summary.skipped), summary.kept) == (6, [0, 3, 8], 0)
    assert "episode 3 is damaged" in summary.skipped[3]
    assert values(tmp_path / "out") == [2, 3, 5, 6, 7, 8]
    again = import_data(source, tmp_path / "out", skip_bad=True, quiet=True)
    assert (again.kept, again.skipped) == (6, summary.skipped)


def test_a_whole_shard_may_be_bad_but_not_all_of_them(tmp_path):
    folder = folder_of(tmp_path / "a", 1)
    summary = import_data(source_of(folder, 4, bad=(0, 1)), tmp_path / "out", skip_bad=True, quiet=True)
    assert (summary.episodes, values(tmp_path / "out")) == (2, [3, 4])
    found = Demonstrations.open(dataset_folder(tmp_path / "out", "robot/demos"))
    assert found.columns(quiet=True).actions(np.arange(4)).shape == (4, 2)
    with pytest.raises(ValueError, match="none of the 4 episodes of test:demos could be read"):
        import_data(source_of(folder, 4, bad=range(4)), tmp_path / "none", skip_bad=True, quiet=True)


def test_an_import_that_stops_keeps_which_episodes_it_passed_over(tmp_path):
    folder = folder_of(tmp_path / "a", 1)
    source = source_of(folder, count=9, bad=(1, 6))

    def stopping(start):
        for number, episode in enumerate(source.read(start), start):
            if number == 5:
                raise KeyboardInterrupt
            yield episode

    with pytest.raises(KeyboardInterrupt):
        import_data(replace(source, read=stopping), tmp_path / "out", skip_bad=True, quiet=True)
    summary = import_data(source, tmp_path / "out", skip_bad=True, quiet=True)
    assert (summary.kept, sorted(summary.skipped)) == (3, [1, 6])
    assert values(tmp_path / "out") == [1, 3, 4, 5, 6, 8, 9]


@pytest.mark.parametrize("part", ["observations", "actions", "rewards"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_named(part, value):
    parts = {"observations": np.zeros((4, 2), np.float32), "actions": np.zeros((4, 2)), "rewards": np.zeros(4)}
    parts[part][2, ...] = value
    with pytest.raises(ValueError, match=rf"{part[:-1]} is not finite at step 2: {value}"):
        make_episode("test:demos", "robot/demos", (BOX, BOX), **parts, terminated=True, truncated=False)


def test_numbers_that_do_not_fit_the_space_are_refused():
    parts = {"observations": np.zeros((3, 2)), "actions": np.full((3, 2), 1e300), "rewards": np.zeros(3)}
    with pytest.raises(ValueError, match="action is not finite at step 0"):
        make_episode("test:demos", "robot/demos", (BOX, BOX), **parts, terminated=True, truncated=False)
