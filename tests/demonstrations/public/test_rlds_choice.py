"""What is taken of a record, by rule and as a `Form` says; on data sets that TFDS itself has prepared."""

import numpy as np
import pytest
import tensorflow_datasets as tfds
from gymnasium import spaces
from tfds_sets import ARMS, FLAGS, PUSHES, SCALARS, arms, ending, prepare, pushes

from generalist.demonstrations.public.form import Form
from generalist.demonstrations.public.rlds import open_rlds

F = tfds.features


@pytest.fixture(scope="module")
def arm(tmp_path_factory):
    return prepare(tmp_path_factory.mktemp("arm"), "arm_of_mine", ARMS, arms())


def said(source):
    return "\n".join(source.notices)


def test_cameras_state_and_instruction_are_taken_and_all_else_is_listed(arm):
    source = open_rlds(arm)
    assert set(source.observation_space) == {"image_0", "image_1", "state", "language_instruction"}
    (first, _) = source.episodes()
    assert first.observations["language_instruction"].tolist() == ["put the pot 0 to the left"] * 5
    listed = said(source)
    for name in (
        "steps/observation/depth (a picture of uint16)",
        "steps/boxes (of shape (None, 2), without a fixed size)",
        "steps/language_embedding (a model's view",
        "steps/discount",
        "episode_metadata/file_path",
        "episode_metadata/episode_id",
        "--observation KEY=PATH",
    ):
        assert name in listed, listed
    assert "steps/observation/state" not in listed.partition("not imported:")[2]


def test_what_is_asked_for_is_exactly_what_is_read(arm):
    pairs = (("eye", "observation/image_1"), ("arm", "steps/observation/state"), ("what", "language_embedding"))
    source = open_rlds(arm, form=Form(observation=pairs, action="steps/action", instruction="language_instruction"))
    assert set(source.observation_space) == {"eye", "arm", "what", "language_instruction"}
    plain = open_rlds(arm)
    for found, given in zip(source.episodes(), plain.episodes(), strict=True):
        np.testing.assert_array_equal(found.observations["eye"], given.observations["image_1"])
        np.testing.assert_array_equal(found.observations["arm"], given.observations["state"])
        np.testing.assert_array_equal(found.actions, given.actions)
    assert "steps/observation/image_0" in said(source)
    whole = open_rlds(arm, form=Form(observation=(("", "observation/state"),)))
    assert whole.observation_space == spaces.Box(-np.inf, np.inf, (7,), np.float32)
    assert "steps/language_instruction" in said(whole)


def test_a_value_of_the_episode_can_be_asked_for_and_is_there_at_every_step(arm):
    pairs = (
        ("state", "observation/state"),
        ("file", "episode_metadata/file_path"),
        ("id", "episode_metadata/episode_id"),
    )
    _, second = open_rlds(arm, form=Form(observation=pairs)).episodes()
    assert second.observations["file"].tolist() == ["/raw/1.npy"] * 3
    assert second.observations["id"].tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("form", "message"),
    [
        (
            Form(observation=(("x", "observation/stat"),)),
            "no column 'observation/stat': the nearest are observation/state",
        ),
        (
            Form(observation=(("x", "observation/depth"),)),
            "observation/depth is a picture of uint16, and cannot be read",
        ),
        (Form(observation=(("", "observation"),)), "name a key|cannot be read"),
        (Form(action="actoin"), "no column 'actoin': the nearest are action"),
        (Form(instruction="observation/state"), "--instruction needs the path of one text"),
        (Form(instruction="episode_metadata/language"), "no column 'episode_metadata/language'"),
    ],
)
def test_a_path_that_is_not_there_names_the_nearest(arm, form, message):
    with pytest.raises(ValueError, match=message):
        open_rlds(arm, form=form)


def one_step_sets(features, values, metadata=None):
    """Features and episodes of three steps with these values beside what every step has."""
    every = {
        "observation": {"state": F.Tensor(shape=(2,), dtype=np.float32)},
        "action": F.Tensor(shape=(1,), dtype=np.float64),
    }
    steps = [
        {"observation": {"state": np.float32([step, 1])}, "action": np.array([step + 0.5]), **values, **ending(step, 3)}
        for step in range(3)
    ]
    beside = {key: feature for key, (feature, _) in (metadata or {}).items()}
    return {"steps": F.Dataset({**every, **features, **SCALARS, **FLAGS}), **beside}, [
        {"steps": steps, **{key: value for key, (_, value) in (metadata or {}).items()}}
    ]


@pytest.mark.parametrize(
    ("features", "values", "metadata", "keys"),
    [
        ({}, {}, {}, set()),
        (
            {f"language_instruction{n}": F.Text() for n in ("", "_2", "_3")},
            {f"language_instruction{n}": "wipe" for n in ("", "_2", "_3")},
            {},
            {"language_instruction", "language_instruction_2", "language_instruction_3"},
        ),
        ({"info": {"instruction": F.Text()}}, {"info": {"instruction": "wipe"}}, {}, {"instruction"}),
        ({"instruction": {"text": F.Text()}}, {"instruction": {"text": "wipe"}}, {}, {"text"}),
        (
            {},
            {},
            {"language": ({"raw": F.Text(), "annotator": F.Text()}, {"raw": "wipe", "annotator": "x"})},
            {"raw"},
        ),
        ({"task": F.Text()}, {"task": "wipe"}, {}, {"task"}),
        ({"task": F.Text(), "note": F.Text()}, {"task": "wipe", "note": "x"}, {}, {"task"}),
        ({}, {}, {"language_instruction": (F.Text(), "wipe")}, {"language_instruction"}),
        (
            {},
            {},
            {"episode_metadata": ({"goal": F.Text(), "task_id": F.Text()}, {"goal": "wipe", "task_id": "7"})},
            {"goal"},
        ),
        (
            {"language_instruction": F.Text()},
            {"language_instruction": "wipe"},
            {"episode_metadata": ({"language_instruction": F.Text()}, {"language_instruction": "wipe"})},
            {"language_instruction"},
        ),
    ],
)
def test_instructions_are_taken_from_wherever_people_put_them(tmp_path, features, values, metadata, keys):
    source = open_rlds(prepare(tmp_path, "words", *one_step_sets(features, values, metadata)))
    (episode,) = source.episodes()
    shown = set(source.observation_space) if keys else set()
    assert shown - {"state"} == keys
    for key in keys:
        assert set(episode.observations[key]) == {"wipe"}


def test_an_instruction_written_as_bytes_in_numbers_is_read(tmp_path):
    """As `language_table` has it."""
    codes = np.zeros(16, np.int32)
    codes[:6] = list("zieh é".encode()[:6])
    text = bytes(codes[:6].tolist()).decode(errors="ignore")
    codes[5:7] = list("é".encode())
    features = {"observation": {"instruction": F.Tensor(shape=(16,), dtype=np.int32), "x": F.Scalar(dtype=np.float32)}}
    values = {"observation": {"instruction": codes, "x": np.float32(2)}}
    described, episodes = one_step_sets(features, values)
    for step in episodes[0]["steps"]:
        step["observation"] = values["observation"]
    (episode,) = open_rlds(prepare(tmp_path, "language_table", described, episodes)).episodes()
    assert set(episode.observations["instruction"]) == {text + "é"}
    numbers = {"observation": {"instruction": np.full(16, 30_000, np.int32), "x": np.float32(2)}}
    for step in episodes[0]["steps"]:
        step["observation"] = numbers["observation"]
    (episode,) = open_rlds(prepare(tmp_path, "pieces", described, episodes)).episodes()
    assert episode.observations["instruction"].shape == (4, 16)


def test_reward_and_flags_may_be_missing_or_of_another_shape(tmp_path):
    features = {
        "steps": F.Dataset(
            {"observation": F.Tensor(shape=(2,), dtype=np.float32), "action": F.Tensor(shape=(1,), dtype=np.int64)}
        )
    }
    steps = [{"observation": np.float32([step, 0]), "action": np.array([step % 3])} for step in range(4)]
    source = open_rlds(prepare(tmp_path, "bare", features, [{"steps": steps}]))
    (episode,) = source.episodes()
    assert (len(episode), episode.terminated, episode.truncated) == (4, False, True)
    assert (episode.actions.tolist(), episode.rewards.tolist()) == ([0, 1, 2, 0], [0, 0, 0, 0])
    assert "there is no steps/reward: every reward is 0" in said(source)
    features["steps"] = F.Dataset({**features["steps"].feature, "reward": F.Tensor(shape=(1,), dtype=np.float64)})
    steps = [step | {"reward": np.array([0.25 * number])} for number, step in enumerate(steps)]
    (episode,) = open_rlds(prepare(tmp_path, "boxed", features, [{"steps": steps}])).episodes()
    assert episode.rewards.tolist() == [0, 0.25, 0.5, 0.75]
    features["steps"] = F.Dataset({**features["steps"].feature, "reward": F.Tensor(shape=(3,), dtype=np.float64)})
    steps = [step | {"reward": np.ones(3)} for step in steps]
    source = open_rlds(prepare(tmp_path, "vectors", features, [{"steps": steps}]))
    assert next(source.episodes()).rewards.tolist() == [0, 0, 0, 0]
    assert "steps/reward is not one number a step" in said(source)


@pytest.mark.parametrize("taken", [True, False])
def test_the_last_step_is_what_the_user_says(tmp_path, taken):
    source = open_rlds(prepare(tmp_path, "pushing", PUSHES, pushes()), form=Form(last_action_taken=taken))
    assert [len(episode) for episode in source.episodes()] == ([5, 3, 4] if taken else [4, 2, 3])
    assert "as --last-action-taken says" in said(source)
    by_rule = open_rlds(tmp_path / "pushing")
    assert "the last step's action is taken (3 of 3 sampled episodes end with a reward)" in said(by_rule)
    assert "--last-action-taken False says otherwise" in said(by_rule)


@pytest.mark.parametrize("name", ["taco_play", "droid", "bc_z", "language_table", "jaco_play", "utokyo_x", "mine"])
def test_a_name_does_not_decide_how_an_episode_ends(tmp_path, name):
    described, episodes = one_step_sets({}, {})
    assert len(next(open_rlds(prepare(tmp_path / "real", name, described, episodes)).episodes())) == 3
    episodes[0]["steps"][-1]["action"] = np.zeros(1)
    source = open_rlds(prepare(tmp_path / "proper", name, described, episodes))
    (episode,) = source.episodes()
    assert (len(episode), len(episode.observations["state"])) == (2, 3)
    assert "the last step only holds the final observation" in said(source)
