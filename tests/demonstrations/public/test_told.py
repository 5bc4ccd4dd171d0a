"""Episodes chosen by what the robot was told, of LeRobot and RLDS."""

import numpy as np
import pytest
import tensorflow_datasets as tfds
from lerobot_sets import box, rows, write_set
from tfds_sets import FLAGS, SCALARS, ending, prepare

from generalist.configs.commands.arguments import parse
from generalist.configs.commands.import_command import Import
from generalist.demonstrations.public.convert import import_data
from generalist.demonstrations.public.form import Form
from generalist.demonstrations.public.lerobot import open_lerobot
from generalist.demonstrations.public.rlds import open_rlds
from generalist.demonstrations.public.told import of_suite, told
from generalist.demonstrations.storage import Demonstrations, dataset_folder

F = tfds.features
LENGTHS = (4, 2, 5, 3, 2)
TEXTS = ("turn on the stove", "Put the bowl, on the plate.", "fly to the moon")
TOLD = (1, 0, 1, 2, 0)
BEGINS = np.cumsum([0, *LENGTHS])
STATE = np.arange(2 * sum(LENGTHS), dtype=np.float32).reshape(-1, 2)
ACTION = np.tile(np.arange(sum(LENGTHS), dtype=np.float32)[:, None] / 100, 7)


def lerobot(folder, version="v3.0"):
    features = {"observation.state": box(2), "action": box(7)}
    columns = {"observation.state": rows(STATE), "action": rows(ACTION)}
    place = folder / "kitchen"
    write_set(place, features, columns, LENGTHS, version=version, texts=TEXTS, told=np.repeat(TOLD, LENGTHS))
    return open_lerobot(place)


def rlds(folder):
    features = {
        "observation": {"state": F.Tensor(shape=(2,), dtype=np.float32)},
        "action": F.Tensor(shape=(7,), dtype=np.float32),
        "language_instruction": F.Text(),
        **SCALARS,
        **FLAGS,
    }
    episodes = [
        {
            "steps": [
                {
                    "observation": {"state": STATE[begin + step]},
                    "action": ACTION[begin + step],
                    "language_instruction": TEXTS[number],
                    **ending(step, length, step == length - 1),
                }
                for step in range(length)
            ]
        }
        for begin, length, number in zip(BEGINS, LENGTHS, TOLD, strict=False)
    ]
    return open_rlds(prepare(folder, "kitchen", {"steps": F.Dataset(features)}, episodes))


KINDS = {"v2.1": lambda folder: lerobot(folder, "v2.1"), "v3.0": lerobot, "rlds": rlds}


@pytest.fixture(params=KINDS)
def source(tmp_path, request):
    return KINDS[request.param](tmp_path)


def first_states(episodes):
    """Which episodes of the data these are, by the state that each begins with."""
    begun = [float(episode.observations["state"][0, 0]) for episode in episodes]
    return [STATE[BEGINS[:-1], 0].tolist().index(value) for value in begun]


def test_only_the_episodes_with_the_instruction_are_read_and_it_is_remembered(source, tmp_path):
    chosen = told(source, "put the BOWL on the plate")
    assert len(chosen) == 2
    assert first_states(chosen.episodes()) == [0, 2]
    assert first_states(chosen.episodes(1)) == [2]
    summary = import_data(chosen, tmp_path / "data", quiet=True)
    assert (summary.episodes, summary.kept) == (2, 0)
    assert import_data(chosen, tmp_path / "data", quiet=True).kept == 2
    with pytest.raises(ValueError, match="told was put the bowl on the plate, now turn on the stove"):
        import_data(told(source, "turn on the stove"), tmp_path / "data", quiet=True)
    with pytest.raises(ValueError, match="told was put the bowl on the plate, now None"):
        import_data(source, tmp_path / "data", quiet=True)


def test_an_unknown_instruction_names_the_nearest(source):
    with pytest.raises(ValueError, match=r"'turn the stove' was told: the nearest are 'turn on the stove' \(2 ep"):
        told(source, "turn the stove")


def test_each_task_of_a_suite_gets_its_episodes_and_the_others_are_named(source):
    chosen, lines = of_suite(source, "libero_goal")
    found = {each.task_id: first_states(each.episodes()) for each in chosen}
    assert found == {"libero_goal/put_the_bowl_on_the_plate": [0, 2], "libero_goal/turn_on_the_stove": [1, 4]}
    assert {episode.metadata.task_id for each in chosen for episode in each.episodes()} == set(found)
    assert lines == ["'fly to the moon', 1 episode, passed over: no task of libero_goal"]


def test_an_instruction_of_several_scenes_is_passed_over(source):
    chosen, lines = of_suite(source, "libero_90")
    assert chosen == []
    scenes = "libero_90/KITCHEN_SCENE3_turn_on_the_stove, libero_90/KITCHEN_SCENE9_turn_on_the_stove"
    assert f"'turn on the stove', 2 episodes, passed over: {scenes} all have this instruction" in lines


def test_what_cannot_be_chosen_from_is_said(source, tmp_path):
    with pytest.raises(ValueError, match=r"unknown suite 'libero_goals': did you mean libero_goal\?"):
        of_suite(source, "libero_goals")
    with pytest.raises(ValueError, match="kitchen has no episode of a task of libero_object"):
        of_suite(source, "libero_object")


def test_a_lerobot_description_without_texts_is_said(tmp_path):
    columns = {"observation.state": rows(STATE), "action": rows(ACTION), "said": np.zeros(len(STATE), int)}
    features = {"observation.state": box(2), "action": box(7), "said": box(1, dtype="int64")}
    source = open_lerobot(write_set(tmp_path / "set", features, columns, LENGTHS), form=Form(instruction="said"))
    with pytest.raises(ValueError, match="said says it step by step"):
        told(source, "push the block")


def test_the_command_makes_a_data_set_of_every_task(tmp_path, capsys):
    lerobot(tmp_path)
    parse(Import, [f"lerobot:{tmp_path / 'kitchen'}", "--suite", "libero_goal"], prog="generalist import")()
    out = capsys.readouterr()
    for name in ("put_the_bowl_on_the_plate", "turn_on_the_stove"):
        opened = Demonstrations.open(dataset_folder("data", f"libero_goal/{name}"))
        assert len(opened) == 2
    assert "'fly to the moon', 1 episode, passed over" in " ".join(out.err.split())
    parse(Import, [f"lerobot:{tmp_path / 'kitchen'}", "--told", "fly to the moon"], prog="generalist import")()
    assert len(Demonstrations.open(dataset_folder("data", "kitchen"))) == 1
    with pytest.raises(ValueError, match="leave --task and --told away"):
        parse(Import, ["lerobot:x", "--suite", "libero_goal", "--told", "x"], prog="generalist import")()
