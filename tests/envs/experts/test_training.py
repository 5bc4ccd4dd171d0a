"""Training by the library itself, as short as it can be: what is written is what it would do, and what is refused."""

import sys
import tempfile

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from generalist.envs.experts import ppo, sac, training
from generalist.envs.experts.learned import learned_expert, play, read_actor
from generalist.envs.experts.settings import ROUND, Settings
from generalist.envs.experts.training import new_model, train_expert
from generalist.envs.reference import measure
from generalist.envs.seeds import SELECTION_BLOCK
from generalist.envs.table import find_task
from generalist.envs.task import MissingExtra, Task

pytest.importorskip("stable_baselines3")
PENDULUM = find_task("Pendulum-v1")
SHORT = Settings(steps=320, every=128, episodes=1, batch=32, actor=(16, 8), critic=(16,))


class Nested(gym.Env):
    """Five steps, whose reward is the first action; a nested state and a two-dimensional box of actions."""

    observation_space = spaces.Dict({"b": spaces.Box(-9, 9, (2,)), "a": spaces.Box(-9, 9, (1, 2), np.float64)})
    action_space = spaces.Box(np.float32([[-3, 0]]), np.float32([[1, 5]]))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        self.count = 0
        return self.observation_space.sample(), {}

    def step(self, action):
        self.count += 1
        return self.observation_space.sample(), float(action[0, 0]), False, self.count == 5, {}


def task_of(make, **fields) -> Task:
    given = {"id": "mine", "family": "gym", "expert": None, "horizon": 5, "score": "return", "has_success": False}
    return Task(make=lambda render_mode=None: make(), **given | fields)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The file of a short training, what it reported, and the reset seeds of its evaluations."""
    path = tmp_path_factory.mktemp("sac") / "pendulum.npz"
    reports, seeds = [], []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "REPORTED", ROUND)
        patch.setattr(training, "selection_seed", lambda n: seeds.append(n) or SELECTION_BLOCK[0] + n)
        train_expert(PENDULUM, SHORT, path, report=reports.append)
    return path, reports, seeds


def test_a_training_leaves_no_folder_of_logs_among_temporary_files(tmp_path, monkeypatch):
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))

    train_expert(PENDULUM, SHORT, tmp_path / "pendulum.npz")

    assert not list(folder.glob("SB3-*"))


@pytest.mark.parametrize("make", [PENDULUM.make, Nested])
def test_the_actor_of_the_file_is_the_librarys(make):
    """Networks drawn at random, and biases too: the library begins with zeros."""
    import torch

    env = make()
    model = new_model(training._flat(env), SHORT)
    with torch.no_grad():
        for parameter in model.policy.actor.parameters():
            parameter.add_(0.5 * torch.randn_like(parameter))
    act = play(sac.actor_of(model, {}), env.observation_space)
    env.observation_space.seed(0)
    for _ in range(200):
        observation = env.observation_space.sample()
        flat = spaces.flatten(env.observation_space, observation).astype(np.float32)
        expected, _ = model.predict(flat, deterministic=True)
        assert act(observation) == pytest.approx(expected, abs=1e-5)
        assert env.action_space.contains(act(observation))


def test_every_setting_reaches_the_library():
    fields = {"updates": 0.5, "batch": 7, "learning_rate": 0.01, "discount": 0.9, "averaging": 0.1}
    model = new_model(training._flat(Nested()), Settings(steps=1000, seed=5, **fields, actor=(4, 3), critic=(6,)))
    assert (model.seed, model.gradient_steps, model.batch_size) == (5, 32, 7)
    assert (model.learning_rate, model.gamma, model.tau) == (0.01, 0.9, 0.1)
    assert (model.buffer_size, model.learning_starts) == (1064, 100)
    assert [layer[0].shape[1] for layer in sac.actor_of(model, {}).layers] == [4, 3, 2]
    assert model.critic.q_networks[0][0].out_features == 6
    large = new_model(training._flat(Nested()), Settings(steps=10**6))
    assert (large.buffer_size, large.learning_starts) == (sac.BUFFER, sac.WARM_UP)


def test_training_reports_its_progress_and_writes_the_best(trained):
    path, reports, seeds = trained
    assert [report.steps for report in reports] == [64, 128, 192, 256, 320]
    assert [report.last is None for report in reports] == [True, False, False, False, False]
    scores = [reports[place].last for place in (1, 3, 4)]
    assert len(set(scores)) == 3, "each is of another actor"
    assert reports[-1].best == max(scores)
    provenance = read_actor(path).provenance
    assert provenance["steps"] == (128, 256, 320)[int(np.argmax(scores))]
    assert provenance["selected_at"]["mean"] == max(scores)
    assert provenance["task"] == "Pendulum-v1"
    assert provenance["settings"]["steps"] == 320
    assert {"stable-baselines3", "torch", "gymnasium"} <= set(provenance["versions"])
    assert set(seeds) == {0}, "only selection seeds were played"


def test_the_file_plays_as_well_as_it_was_when_it_was_chosen(trained):
    path, reports, _ = trained
    task = task_of(PENDULUM.make, expert=lambda env: learned_expert(path, env), horizon=200)
    assert measure(task, "expert", 1, seed_of=lambda n: SELECTION_BLOCK[0] + n).mean == reports[-1].best


def test_the_same_seed_is_the_same_actor(tmp_path):
    short = Settings(**{**vars(SHORT), "steps": 128})
    for name, seed in (("one", 0), ("again", 0), ("other", 1)):
        train_expert(PENDULUM, Settings(**{**vars(short), "seed": seed}), tmp_path / f"{name}.npz")
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "again.npz").read_bytes()
    one, other = (read_actor(tmp_path / f"{name}.npz").layers[0][0] for name in ("one", "other"))
    assert not np.array_equal(one, other)


def test_a_nested_state_and_actions_of_any_shape_are_learned(tmp_path):
    """The reward is the first action: after some updates it is above that of the untrained actor."""
    task = task_of(Nested)
    settings = Settings(steps=512, every=128, episodes=1, batch=32, learning_rate=0.02, discount=0.5, critic=(16,))
    done = train_expert(task, settings, tmp_path / "nested.npz")
    assert done.best is not None
    assert done.best > 4, "at most 5, random play about -5"
    act = learned_expert(tmp_path / "nested.npz", Nested())
    assert act(Nested().observation_space.sample()).shape == (1, 2)


class Lever(gym.Env):
    """Five steps that look alike; the reward is 1 for the action numbered 3, which is the last of three."""

    observation_space = spaces.Box(-1, 1, (2,))
    action_space = spaces.Discrete(3, start=1)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.count = 0
        return np.ones(2, np.float32), {}

    def step(self, action):
        self.count += 1
        return np.ones(2, np.float32), float(action == 3), False, self.count == 5, {}


def test_numbered_actions_are_learned_by_ppo(tmp_path):
    settings = Settings(steps=4096, every=2048, episodes=1, batch=64, learning_rate=0.01, actor=(8,), critic=(8,))
    done = train_expert(task_of(Lever), settings, tmp_path / "lever.npz")
    assert done.best == 5
    chooser = read_actor(tmp_path / "lever.npz")
    assert chooser.provenance["algorithm"] == ppo.ALGORITHM
    act = learned_expert(tmp_path / "lever.npz", Lever())
    assert act(Lever().observation_space.sample()) == 3
    with pytest.raises(ValueError, match="has 3 actions: need one for actions of Discrete"):
        learned_expert(tmp_path / "lever.npz", Other())


class Other(Lever):
    action_space = spaces.Discrete(3)


def test_the_policy_of_the_file_is_ppos():
    env = Lever()
    env.reset(seed=0)
    model = new_model(
        training._flat(env), Settings(steps=256, batch=32, seed=5, discount=0.9, actor=(4, 3), critic=(6,))
    )
    assert (model.seed, model.n_steps, model.batch_size, model.gamma) == (5, 256, 32, 0.9)
    assert model.policy.mlp_extractor.value_net[0].out_features == 6
    act = play(ppo.actor_of(model, {}), env.observation_space)
    env.observation_space.seed(0)
    chosen = []
    for _ in range(50):
        observation = env.observation_space.sample()
        expected, _ = model.predict(observation, deterministic=True)
        chosen.append(act(observation))
        assert chosen[-1] == 1 + expected
    assert len(set(chosen)) > 1


def test_what_ended_by_time_alone_is_not_learned_as_an_end():
    model = new_model(training._flat(Nested()), SHORT)
    model.learn(64)
    buffer = model.replay_buffer
    assert buffer.dones[:64].sum() == 12
    assert buffer.sample(64).dones.sum() == 0


def test_ctrl_c_keeps_the_best_so_far(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "REPORTED", ROUND)

    def stop(after):
        def report(progress):
            if progress.steps == after:
                raise KeyboardInterrupt

        return report

    with pytest.raises(KeyboardInterrupt):
        train_expert(PENDULUM, SHORT, tmp_path / "early.npz", report=stop(64))
    assert not (tmp_path / "early.npz").exists()
    progress = train_expert(PENDULUM, SHORT, tmp_path / "late.npz", report=stop(192))
    assert progress.steps == 192
    assert read_actor(tmp_path / "late.npz").provenance["selected_at"]["mean"] == progress.best


def test_pytorchs_threads_are_as_before():
    import torch

    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        with training._one_thread():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


class Unbounded(Nested):
    action_space = spaces.Box(-np.inf, np.inf, (1,))


class Switches(Nested):
    action_space = spaces.MultiDiscrete([2, 3])


class Rows(Nested):
    observation_space = spaces.Sequence(spaces.Box(-1, 1, (2,)))


class Words(Nested):
    observation_space = spaces.Dict({"mission": spaces.Text(9), "state": spaces.Box(-1, 1, (2,))})


class Frames(Nested):
    observation_space = spaces.Box(0, 255, (8, 8, 3), np.uint8)


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (task_of(Switches), r"mine has actions of MultiDiscrete.*: SAC needs a Box of floats, PPO a Discrete"),
        (task_of(Unbounded), "mine has unbounded actions.*need.* finite bounds"),
        (task_of(Frames), "mine shows image, .*the actor needs a state of numbers"),
        (task_of(Words), "mine shows text, "),
        (task_of(Rows), "mine shows parts of no fixed size"),
    ],
)
def test_tasks_that_neither_can_learn_are_refused(task, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        train_expert(task, SHORT, tmp_path / "x.npz")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"every": 0}, "every must be at least 1"),
        ({"episodes": 0}, "episodes must be at least 1"),
        ({"batch": 0}, "batch must be at least 1"),
        ({"seed": -1}, "seed must be at least 0"),
        ({"updates": 0.01}, "updates must be at least 1/64"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0"),
        ({"discount": 1.5}, "discount must be above 0 and at most 1, got 1.5"),
        ({"averaging": 0.0}, "averaging must be above 0"),
        ({"actor": ()}, "actor must be hidden sizes"),
        ({"critic": (8, 0)}, "critic must be hidden sizes"),
    ],
)
def test_settings_that_make_no_sense_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        Settings(**{"steps": 10} | fields)


def test_files_that_cannot_be_written_are_refused_before_training(trained, tmp_path):
    path, _, _ = trained
    before = path.read_bytes()
    for out, message in (
        (path, "is there already: name another file, or replace it with --overwrite"),
        (tmp_path / "actor.zip", "must end in .npz, got"),
        (tmp_path / "none" / "actor.npz", "there is no folder"),
    ):
        with pytest.raises(ValueError, match=message):
            train_expert(PENDULUM, SHORT, out)
    assert path.read_bytes() == before


def test_without_the_library_its_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "stable_baselines3", None)
    with pytest.raises(MissingExtra, match=r"pip install 'generalist\[sac\]'"):
        train_expert(PENDULUM, SHORT, tmp_path / "x.npz")
