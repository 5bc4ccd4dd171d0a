"""Every command and every example of the README runs: on the smoke experiment, in place of the quickstart's."""

import re
import shlex
import sys
from pathlib import Path

import pytest

from generalist.demonstrations.storage import Demonstrations, dataset_folder
from generalist.envs.sets import task_set
from generalist.envs.table import all_tasks

README = (Path(__file__).resolve().parent.parent / "README.md").read_text()
PYTHON = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
COMMANDS = [
    line
    for block in re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
    if line.startswith("generalist ")
]
MY_PACKAGE = """
import gymnasium

class MyEnv(gymnasium.Env):
    observation_space = gymnasium.spaces.Dict(
        arm=gymnasium.spaces.Box(-1, 1, (3,)), buttons=gymnasium.spaces.MultiBinary(2)
    )
    action_space = gymnasium.spaces.MultiDiscrete([2, 3])

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        self.count = 0
        return self.observation_space.sample(), {}

    def step(self, action):
        self.count += 1
        return self.observation_space.sample(), float(action[0]), self.count == 5, False, {}

gymnasium.register("MyEnv-v0", MyEnv)

def make_policy(env):
    return lambda observation: env.action_space.sample()
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder in which the quickstart, shrunk to the smoke experiment, has been run, and `my_package` lies."""
    from generalist.configs.commands.launch import quickstart
    from generalist.configs.smoke import config

    folder = tmp_path_factory.mktemp("readme")
    (folder / "my_package.py").write_text(MY_PACKAGE)
    quickstart(folder / "runs" / "quickstart", experiment=config())
    return folder


@pytest.fixture
def at_home(home, monkeypatch):
    monkeypatch.chdir(home)
    monkeypatch.syspath_prepend(str(home))
    monkeypatch.setenv("PYTHONPATH", str(home))
    yield home
    sys.modules.pop("my_package", None)


@pytest.mark.slow
def test_it_says_how_many_tasks_there_are():
    assert f"{len(all_tasks())} tasks in families" in README.replace(",", "")


def test_the_quickstart_leaves_data_run_and_report(home):
    out = home / "runs" / "quickstart"
    asked = {task.id: task.episodes for task in task_set("quickstart")}
    assert len(Demonstrations.open(dataset_folder(out / "data", "CartPole-v1"))) == asked["CartPole-v1"] == 40
    assert (out / "run" / "config.json").exists()
    assert "<html" in (out / "report.html").read_text()
    assert (out / "report.json").exists()


@pytest.mark.slow
def test_examples(at_home, capsys):
    notebook = {"__name__": "readme"}
    for example in PYTHON:
        exec(compile(example, "README.md", "exec"), notebook)
        assert capsys.readouterr().out.strip()
    assert len(PYTHON) == 4


@pytest.mark.slow
def test_commands(at_home):
    from generalist.configs.commands.cli import main

    done = []
    for command in COMMANDS:
        arguments = shlex.split(command)[1:]
        if arguments[0] == "quickstart":
            continue  # the fixture did that
        if arguments[0] == "collect":
            arguments += ["--episodes", "8", "--workers", "1"]
        if arguments[0] == "train":
            arguments = ["smoke" if part == "quickstart" else part for part in arguments]
            arguments += [] if "--task" in arguments else ["--data", "runs/quickstart/data", "--out", "runs/wide"]
            arguments += ["--train.steps", "4"]
        if arguments[0] == "eval":
            arguments += ["--episodes", "2"]
        assert main(arguments) == 0, command
        done.append(arguments[0])
    assert done == ["collect", "train", "eval"] * 2
