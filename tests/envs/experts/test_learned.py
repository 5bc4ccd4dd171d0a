"""The file of a learned expert: what it does, what is refused, and the ones that are part of the package."""

import resource
import zipfile
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from generalist.demonstrations.collect import CollectionError, collect
from generalist.demonstrations.storage import Demonstrations
from generalist.envs.experts import learned
from generalist.envs.experts.learned import MOST_BYTES, Actor, file_policy, learned_expert, read_actor, write_actor
from generalist.envs.reference import measure
from generalist.envs.seeds import selection_seed
from generalist.envs.table import find_task

PENDULUM = find_task("Pendulum-v1")


def make_actor(sizes=(3, 8, 1), low=-2.0, high=2.0, shape=None) -> Actor:
    rng = np.random.default_rng(0)
    shapes = pairwise(sizes)
    layers = tuple((np.float32(rng.normal(size=one)), np.float32(rng.normal(size=one[1]))) for one in shapes)
    bounds = (np.full(shape or sizes[-1], bound, np.float32) for bound in (low, high))
    return Actor(layers, *bounds, {"task": "Pendulum-v1", "steps": 5})


@pytest.fixture
def file(tmp_path):
    write_actor(tmp_path / "pendulum.npz", make_actor())
    return tmp_path / "pendulum.npz"


def changed(file, **arrays) -> None:
    """The same file with other arrays; None leaves one out."""
    with np.load(file) as old:
        merged = {name: old[name] for name in old.files} | arrays
    np.savez(file, **{name: array for name, array in merged.items() if array is not None})


class Nested(gym.Env):
    """Two parts, of which the one declared last stands first in the space's order; actions of two by one."""

    observation_space = spaces.Dict({"b": spaces.Box(-9, 9, (2,)), "a": spaces.Box(-9, 9, (1, 1), np.float64)})
    action_space = spaces.Box(-2, 6, (2, 1))


def test_the_way_from_observation_to_action(tmp_path):
    """One hidden unit by hand: relu, tanh, and [-1, 1] stretched to [-2, 6]."""
    first = np.array([[1], [10], [100]], np.float32), np.array([-2], np.float32)
    last = np.array([[0.5, 0]], np.float32), np.array([0, 9], np.float32)
    bounds = np.full((2, 1), -2, np.float32), np.full((2, 1), 6, np.float32)
    write_actor(tmp_path / "by_hand.npz", Actor((first, last), *bounds, {}))
    act = learned_expert(tmp_path / "by_hand.npz", Nested())
    action = act({"a": np.array([[3.0]]), "b": np.zeros(2, np.float32)})
    assert action.dtype == np.float32
    assert action == pytest.approx(np.array([[2 + 4 * np.tanh(0.5)], [6]]))
    assert act({"a": np.array([[1.0]]), "b": np.zeros(2, np.float32)})[0, 0] == 2, "below zero the unit is silent"
    high = act({"a": np.array([[0.0]]), "b": np.array([0.3, 0], np.float32)})
    assert high[0, 0] == pytest.approx(2 + 4 * np.tanh(0.5)), "b stands after a"


def test_a_round_trip_keeps_every_number(file):
    written, found = make_actor(), read_actor(file)
    assert found.provenance == written.provenance
    for one, other in zip(written.layers, found.layers, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
    assert np.array_equal(found.low, written.low)
    assert np.array_equal(found.high, written.high)


def test_the_same_actor_is_the_same_file(file, tmp_path):
    write_actor(tmp_path / "again.npz", make_actor())
    assert (tmp_path / "again.npz").read_bytes() == file.read_bytes()


def test_actions_stay_in_their_space_however_large_the_observation():
    """Also where the bounds' difference is rounded up: -0.2 + (0.1 + 0.2) is above 0.1 in float32."""
    box = spaces.Box(-0.2, 0.1, (1,))
    assert box.low + (box.high - box.low) > box.high
    actor = make_actor(low=-0.2, high=0.1)
    actions = [actor(np.float32([1, -1, 1]) * scale) for scale in np.float32([0, 1, -1, 1e3, -1e3, 1e30, -1e30])]
    assert all(map(box.contains, actions))
    assert max(float(action[0]) for action in actions) == box.high[0]


def test_what_is_no_file_of_arrays_is_refused(file):
    content = file.read_bytes()
    for damaged in (
        content[:-40],
        content[: len(content) // 2],
        b"",
        b"no arrays",
        content[:200] + b"xx" + content[202:],
    ):
        file.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"pendulum.npz is damaged or no file of arrays .*generalist expert TASK"):
            read_actor(file)
    with pytest.raises(ValueError, match=r"cannot read the actor .*nowhere.npz \(No such file"):
        read_actor(file.with_name("nowhere.npz"))


def test_whatever_byte_is_changed_the_file_is_named_or_plays(file):
    """Most are noticed by the checksums of the zip file; some, such as a date's, change nothing."""
    content, refusals = file.read_bytes(), []
    for place in range(0, len(content), 3):
        for value in (content[place] ^ 0xFF, content[place] ^ 1):
            file.write_bytes(content[:place] + bytes([value]) + content[place + 1 :])
            try:
                read_actor(file)
            except ValueError as error:
                refusals.append(str(error))
    assert len(refusals) > 0.4 * len(content)
    assert all("pendulum.npz" in refusal for refusal in refusals)


def test_nothing_is_unpickled(file):
    class Trap:
        def __reduce__(self):
            return pytest.fail, ("it was unpickled",)

    changed(file, provenance=np.array(Trap(), dtype=object))
    with pytest.raises(ValueError, match=r"pendulum.npz is damaged .*allow_pickle=False"):
        read_actor(file)


FLOATS = np.float32([[1]])


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"weight_0": np.zeros((3, 7), np.float32)}, r"layer 0 has weights \(3, 7\) and biases \(8,\)"),
        ({"weight_1": np.zeros((9, 1), np.float32)}, r"layer 1 has weights \(9, 1\) .*need \(8, outputs\)"),
        ({"weight_0": np.zeros(3, np.float32)}, r"layer 0 has weights \(3,\).*need \(observation, outputs\)"),
        ({"low": np.zeros(2, np.float32)}, r"bounds have shapes \(2,\) and \(1,\): need 1 values"),
        ({"high": np.float32([[2]])}, r"bounds have shapes \(1,\) and \(1, 1\)"),
        ({"low": np.float32([3])}, r"need low < high"),
        ({"bias_1": np.zeros(1)}, "must be float32 and finite"),
        ({"bias_1": np.float32([np.nan])}, "must be float32 and finite"),
        ({"bias_1": None}, "it has the arrays .*need bias_0, bias_1"),
        ({"extra": FLOATS}, "it has the arrays bias_0, bias_1, extra"),
        ({"weight_0": None, "weight_1": None, "bias_0": None, "bias_1": None}, "there are no layers"),
        ({"provenance": np.array("[]")}, r"its provenance is \[\]: need a JSON object of format 1"),
        ({"provenance": np.array('{"format": 2}')}, "need a JSON object of format 1"),
        ({"provenance": np.array("{")}, "Expecting property name"),
    ],
)
def test_arrays_that_are_no_actor_are_refused(file, arrays, message):
    changed(file, **arrays)
    with pytest.raises(ValueError, match=rf"pendulum.npz holds no actor that can be played: .*{message}"):
        read_actor(file)


@pytest.mark.parametrize(
    ("id", "message"),
    [
        ("MountainCarContinuous-v0", "sees 3 values: need one for observations of Box"),
        ("CartPole-v1", "sees 3 values"),
        ("babyai/GoToObj", "sees 3 values"),
    ],
)
def test_an_actor_of_another_task_is_refused(file, id, message):
    with pytest.raises(ValueError, match=rf"pendulum.npz is an actor of Pendulum-v1 and {message}"):
        learned_expert(file, find_task(id).make())


@pytest.mark.parametrize(
    "actions", [spaces.Discrete(3), spaces.Box(-1, 2, (1,)), spaces.Box(-2, 1, (1,)), spaces.Box(-2, 2, (2,))]
)
def test_an_actor_for_other_actions_is_refused(file, actions):
    with pytest.raises(ValueError, match=r"pendulum.npz is an actor of Pendulum-v1 and acts in \[\[-2"):
        learned_expert(file, SimpleNamespace(observation_space=PENDULUM.make().observation_space, action_space=actions))


def test_a_file_is_a_policy_of_collect(file, tmp_path):
    (summary,) = collect([PENDULUM], tmp_path, seed=0, episodes=2, policy=str(file), workers=0, quiet=True)
    demonstrations = Demonstrations.open(summary.folder)
    metadata = demonstrations.episode(0).metadata
    assert metadata.expert == file_policy(file)[0]
    assert metadata.expert.startswith("sac:pendulum.npz@")
    seen = demonstrations.episode(0)
    act = learned_expert(file, PENDULUM.make())
    assert np.array_equal(seen.actions, [act(observation) for observation in seen.observations[:-1]])


def test_another_actor_of_the_same_name_does_not_go_on_with_the_collection(file, tmp_path):
    settings = {"seed": 0, "episodes": 1, "policy": str(file), "workers": 0, "quiet": True}
    collect([PENDULUM], tmp_path, **settings)
    write_actor(file, replace(make_actor(), provenance={}))
    with pytest.raises(ValueError, match=r"sac:pendulum.npz@"):
        collect([PENDULUM], tmp_path, **settings)


def test_collecting_with_an_actor_of_another_task_names_the_file(file, tmp_path):
    with pytest.raises(CollectionError, match=r"pendulum.npz is an actor of Pendulum-v1"):
        collect(["MountainCarContinuous-v0"], tmp_path, seed=0, policy=str(file), workers=0, quiet=True)


SHIPPED = sorted(path.stem for path in learned.SHIPPED.glob("*.npz"))


def test_each_shipped_actor_is_small_and_says_where_it_comes_from():
    assert SHIPPED
    for name in SHIPPED:
        path = learned.shipped_path(name)
        assert path.stat().st_size < 200_000
        provenance = read_actor(path).provenance
        assert learned.shipped_method(provenance["steps"]) in find_task(provenance["task"]).provenance
        assert learned.shipped_method(0).startswith(provenance["algorithm"])
        assert learned.shipped_method(0).endswith(f"Stable-Baselines3 {provenance['versions']['stable-baselines3']}")
        assert {"selected_at", "settings"} <= set(provenance)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_actor_acts_in_its_space_and_beats_random_play(name):
    task = find_task(read_actor(learned.shipped_path(name)).provenance["task"])
    box = task.make().action_space

    def watched(env):
        act = task.expert(env)

        def checked(observation):
            action = act(observation)
            assert box.contains(action)
            return action

        return checked

    scores = measure(replace(task, expert=watched), "expert", 1, seed_of=selection_seed)
    assert scores.mean > task.random_reference.mean + 3 * task.random_reference.std


def test_what_would_fill_the_memory_is_not_unpacked(file):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed, packed.open("weight_0.npy", "w") as member:
        for _ in range((MOST_BYTES >> 20) + 1):
            member.write(bytes(1 << 20))
    assert file.stat().st_size < 1 << 20
    with pytest.raises(ValueError, match=r"it unpacks to [\d,]+ bytes, an actor has at most"):
        read_actor(file)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1 << 17  # KiB
