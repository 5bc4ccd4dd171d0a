"""The commands as a user types them: the whole path, killed and begun again, on foreign environments, on bad input."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny import metrics_of

from generalist.configs.commands import cli
from generalist.envs.files import read_json, write_json
from generalist.eval.report.record import load_report

PROGRAM = [sys.executable, "-c", "import sys; from generalist.configs.commands.cli import main; sys.exit(main())"]
TRAIN = ["train", "smoke", "--resume", "--train.checkpoint-every", "5"]
WORLDS = '''
import gymnasium as gym
import numpy as np


class World(gym.Env):
    """Ten steps; the reward is 1 for the first action of the space's list."""

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.count = 0
        return self.seen(), {}

    def step(self, action):
        self.count += 1
        return self.seen(), float(np.sum(action)), self.count == 10, False, {}


class Arm(World):
    """As Gymnasium-Robotics has them: a Dict of goals and a Box of joints."""

    observation_space = gym.spaces.Dict(
        observation=gym.spaces.Box(-np.inf, np.inf, (10,), np.float64),
        achieved_goal=gym.spaces.Box(-np.inf, np.inf, (3,), np.float64),
        desired_goal=gym.spaces.Box(-np.inf, np.inf, (3,), np.float64),
    )
    action_space = gym.spaces.Box(-1, 1, (4,), np.float32)

    def seen(self):
        return {name: self.np_random.normal(size=space.shape) for name, space in self.observation_space.items()}


class Buttons(World):
    observation_space = gym.spaces.Box(-1, 1, (3,), np.float32)
    action_space = gym.spaces.MultiDiscrete([3, 2, 5])

    def seen(self):
        return self.np_random.uniform(-1, 1, 3).astype(np.float32)


class Picture(World):
    observation_space = gym.spaces.Box(0, 255, (20, 24, 3), np.uint8)
    action_space = gym.spaces.Discrete(3)

    def seen(self):
        return self.np_random.integers(0, 256, (20, 24, 3)).astype(np.uint8)


for world in (Arm, Buttons, Picture):
    gym.register(f"{world.__name__}-v0", world)


def reach(env):
    return lambda observation: np.tanh(observation["desired_goal"].sum() * np.ones(4)).astype(np.float32)
'''
FOREIGN = [f"gym:little_worlds:{name}-v0" for name in ("Arm", "Buttons", "Picture")]


def start(arguments: list[str], where: Path, program: list[str] = PROGRAM) -> subprocess.Popen:
    environment = os.environ | {"PYTHONPATH": str(where), "JAX_PLATFORMS": "cpu"}
    return subprocess.Popen(
        program + arguments, cwd=where, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def generalist(arguments: list[str], where: Path) -> str:
    """Run a command that must succeed; its output."""
    process = start(arguments, where)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    return output


def killed(arguments: list[str], where: Path, when: Callable[[], bool]) -> None:
    """Run a command and kill it with SIGKILL as soon as `when()`."""
    process = start(arguments, where)
    try:
        while process.poll() is None and not when():
            time.sleep(0.002)
    finally:
        process.send_signal(signal.SIGKILL)
        output, _ = process.communicate()
    assert process.returncode == -signal.SIGKILL, f"it ended too early to be killed:\n{output}"


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """Data, run and report of the smoke config, made by the commands alone."""
    folder = tmp_path_factory.mktemp("home")
    tasks = ["--task", "CartPole-v1", "--task", "FrozenLake8x8-v1"]
    generalist(["collect", *tasks, "--episodes", "8", "--workers", "2"], folder)
    generalist(TRAIN, folder)
    generalist(["eval", "runs/smoke", "--episodes", "2", "--workers", "1"], folder)
    return folder


@pytest.fixture
def copy(home, tmp_path, monkeypatch) -> Path:
    """The same, to be damaged."""
    shutil.copytree(home, tmp_path, dirs_exist_ok=True)
    return tmp_path


@pytest.mark.slow
def test_the_smoke_path_leaves_a_report(home):
    assert (home / "runs" / "smoke" / "report.html").stat().st_size > 10_000
    report = load_report(home / "runs" / "smoke" / "report.json")
    assert [task["id"] for task in report["tasks"]] == ["CartPole-v1", "FrozenLake8x8-v1"]
    assert metrics_of(home / "runs" / "smoke")[-1]["step"] == 40


@pytest.mark.slow
def test_training_killed_and_begun_again_equals_uninterrupted_training(home, tmp_path):
    shutil.copytree(home / "data", tmp_path / "data")
    run = tmp_path / "runs" / "smoke"
    killed(TRAIN, tmp_path, lambda: (run / "checkpoints" / "10").exists())
    assert metrics_of(run)[-1]["step"] < 40
    generalist(TRAIN, tmp_path)
    assert metrics_of(run) == metrics_of(home / "runs" / "smoke")


def stopped(process: subprocess.Popen, when: Callable[[], bool]) -> str:
    """Send SIGTERM as soon as `when()`; the process must end with code 0. Its output."""
    try:
        while process.poll() is None and not when():
            time.sleep(0.002)
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=300)
    finally:
        process.kill()
    assert process.returncode == 0, output
    return output


@pytest.mark.slow
def test_training_stopped_by_sigterm_saves_and_goes_on(home, tmp_path):
    shutil.copytree(home / "data", tmp_path / "data")
    run = tmp_path / "runs" / "smoke"
    output = stopped(start(TRAIN, tmp_path), lambda: (run / "checkpoints" / "10").exists())
    [step] = re.findall(r"stopped on SIGTERM after update (\d+) of 40, whose checkpoint is saved", output)
    assert "the same command with --resume goes on" in output
    assert int(step) < 40
    assert (run / "checkpoints" / step).exists()
    generalist(TRAIN, tmp_path)
    assert metrics_of(run) == metrics_of(home / "runs" / "smoke")


@pytest.mark.slow
def test_a_quickstart_stopped_by_sigterm_goes_on(tmp_path):
    """In each of its parts; the quickstart's own experiment is replaced by the smoke one."""
    code = (
        "import sys; from dataclasses import replace; from pathlib import Path\n"
        "from generalist.configs.commands.errors import run\n"
        "from generalist.configs.commands.launch import quickstart\n"
        "from generalist.configs.smoke import config\n"
        "small = replace(config(), evaluation=replace(config().evaluation, episodes=2, workers=1))\n"
        "if __name__ == '__main__':\n"
        "    sys.exit(run(lambda _: quickstart(Path('out'), experiment=small) and None, []))\n"
    )
    out, program = tmp_path / "out", tmp_path / "program.py"
    program.write_text(code)
    lines = out / "run" / "metrics.jsonl"
    parts = [
        lambda: any(out.rglob("*.array_record*")),
        lambda: lines.exists() and lines.stat().st_size > 0,
        lambda: any((out / "run" / "evaluation").glob("*.json")),
    ]
    for when in parts:
        process = start([], tmp_path, [sys.executable, str(program)])
        assert "stopped on SIGTERM" in (output := stopped(process, when))
        assert output.endswith("the same command goes on\n")
        assert "Traceback" not in output
        assert not (out / "report.html").exists()
    assert metrics_of(out / "run")[-1]["step"] == 40
    process = start([], tmp_path, [sys.executable, str(program)])
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert (out / "report.html").exists()


@pytest.mark.slow
def test_an_evaluation_killed_and_begun_again_goes_on(home, copy):
    run = copy / "runs" / "smoke"
    shutil.rmtree(run / "evaluation")
    (run / "report.json").unlink()
    command = ["eval", "runs/smoke", "--data", "data", "--episodes", "2", "--workers", "1"]
    killed(command, copy, lambda: any((run / "evaluation").glob("*.agent.json")))
    assert not (run / "report.json").exists()
    [first] = (run / "evaluation").glob("*.agent.json")
    written = first.stat().st_mtime_ns
    generalist(command, copy)
    assert first.stat().st_mtime_ns == written
    found, expected = (load_report(folder / "runs" / "smoke" / "report.json") for folder in (copy, home))
    for one, other in zip(found["tasks"], expected["tasks"], strict=True):
        for policy in ("agent", "random", "expert", "linear"):
            assert one[policy]["returns"] == other[policy]["returns"]


@pytest.mark.slow
def test_environments_of_other_packages_by_commands_alone(tmp_path):
    """A Dict observation, a MultiDiscrete action and an image; a policy of one's own, and the random one."""
    (tmp_path / "little_worlds.py").write_text(WORLDS)
    every = [argument for task in FOREIGN for argument in ("--task", task)]
    generalist(["collect", "--task", FOREIGN[0], "--episodes", "6", "--policy", "little_worlds:reach"], tmp_path)
    generalist(["collect", *every[2:], "--episodes", "6", "--policy", "random"], tmp_path)
    generalist(["train", "smoke", *every, "--out", "run", "--train.steps", "4"], tmp_path)
    generalist(["eval", "run", "--episodes", "2", "--prompts", "0"], tmp_path)
    report = load_report(tmp_path / "run" / "report.json")
    assert [task["id"] for task in report["tasks"]] == FOREIGN
    for task in report["tasks"]:
        assert task["agent"]["lengths"] == [10, 10]
        assert task["expert"] is None
        assert task["linear"]["returns"]
    assert [task["undefined"] is None for task in report["tasks"]] == [True, False, False], "only one had a policy"
    assert "demonstrated" in report["tasks"][0]


def refusal(arguments: list[str], capsys) -> str:
    """The one line of a command that must be refused."""
    code = cli.main(arguments)
    output = capsys.readouterr()
    assert code == 2, output
    lines = [line for line in output.err.splitlines() if line.startswith("error:")]
    assert len(lines) == 1, output.err
    assert "Traceback" not in output.err
    return lines[0]


def untouched(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["collect", "--task", "CartPol-v1"], "unknown task 'CartPol-v1': the nearest are CartPole-v1"),
        (["collect", "--task", "gym:nowhere:Some-v0"], "cannot import its module 'nowhere'"),
        (["train", "smok"], "unknown config 'smok': did you mean smoke?"),
        (["train", "smoke", "--task", "CartPol-v1"], "unknown task 'CartPol-v1'"),
        (["train", "smoke", "--train.stepz", "3"], "did you mean --train.steps"),
        (["train", "smoke", "--train.steps", "0", "--out", "new"], "steps must be positive"),
        (["train", "smoke", "--data", "nowhere", "--out", "new"], "generalist collect --task CartPole-v1"),
        (["train", "smoke", "--resume", "--overwrite"], "choose one of --resume and --overwrite"),
        (["train", "smoke"], "already holds a run; add --resume to go on with it or --overwrite"),
        (["train", "smoke", "--resume", "--train.seed", "5"], "another configuration"),
        (["eval", "nowhere"], "is not a run directory"),
        (["eval", "runs/smoke", "--task", "CartPol-v1"], "unknown task 'CartPol-v1'"),
        (["eval", "runs/smoke", "--task", "gym:FrozenLake-v1", "--prompts", "1"], "use --prompts 0"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_one_clear_line_and_touches_nothing(home, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(home)
    before = untouched(home)
    assert message in refusal(arguments, capsys)
    assert untouched(home) == before


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_a_damaged_checkpoint_is_named(copy, monkeypatch, capsys):
    monkeypatch.chdir(copy)
    run = copy / "runs" / "smoke"
    for path in (run / "checkpoints" / "40").rglob("d/*"):
        cut(path)
    before = untouched(run)
    for command in (["eval", "runs/smoke"], ["train", "smoke", "--resume", "--train.checkpoint-every", "5"]):
        line = refusal(command, capsys)
        assert "checkpoints/40 is refused: " in line
        assert "/d/" in line
        assert "Whole are 35. Restore the file from a copy" in line
    assert untouched(run) == before


def test_a_truncated_shard_is_named(copy, monkeypatch, capsys):
    monkeypatch.chdir(copy)
    shard = next((copy / "data" / "cart_pole_v1").rglob("*.array_record*"))
    cut(shard)
    assert shard.name in refusal(["train", "smoke", "--out", "new"], capsys)
    assert not (copy / "new").exists()


def test_another_vocabulary_version_is_named(copy, monkeypatch, capsys):
    monkeypatch.chdir(copy)
    path = copy / "runs" / "smoke" / "config.json"
    stored = read_json(path, "")
    stored["config"]["vocabulary"]["version"] = 99
    write_json(path, stored)
    before = untouched(copy)
    for command in (["eval", "runs/smoke"], TRAIN):
        assert "vocabulary version 99, this version of generalist has 2" in refusal(command, capsys)
    assert untouched(copy) == before


def test_a_damaged_config_is_named(copy, monkeypatch, capsys):
    monkeypatch.chdir(copy)
    cut(copy / "runs" / "smoke" / "config.json")
    line = refusal(["eval", "runs/smoke"], capsys)
    assert "config.json is damaged" in line
    (copy / "runs" / "smoke" / "config.json").write_text(json.dumps({"schema": 7}))
    assert "schema 7" in refusal(["eval", "runs/smoke"], capsys)


def test_a_missing_extra_names_the_command_that_installs_it(tmp_path, monkeypatch, capsys):
    for name in [name for name in sys.modules if name.split(".")[0] == "minigrid"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "minigrid", None)
    line = refusal(["collect", "--task", "babyai/GoToObj", "--workers", "0", "--episodes", "1"], capsys)
    assert "pip install 'generalist[babyai]'" in line


def test_a_command_that_fails_ends_its_process_with_two(tmp_path):
    process = start(["eval", "nowhere"], tmp_path)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 2
    [loading, error] = output.splitlines()
    assert loading == "evaluating nowhere: loading"
    assert error == "error: nowhere is not a run directory: it has no config.json; train one with generalist train"
