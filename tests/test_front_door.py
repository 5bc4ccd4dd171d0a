"""The front door: every name is there, light until it is used, documented, and its example runs as it is written."""

import ast
import doctest
import inspect
import os
import pickle
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

import generalist

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ast.parse((ROOT / "generalist" / "__init__.py").read_text())
PUBLIC = sorted(set(generalist.__all__) - {"__version__"})
HEAVY = {"jax", "flax", "numpy", "gymnasium", "tensorflow_datasets", "tensorflow", "matplotlib", "rich", "tyro"}
PARTS = sorted(
    name.removeprefix("generalist.")
    for name in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-dir"]
    if name != "generalist"
)


def run_example(docstring: str, name: str) -> None:
    """Every `>>>` of a docstring must give what stands below it."""
    test = doctest.DocTestParser().get_doctest(docstring, {}, name, None, 0)
    runner = doctest.DocTestRunner(verbose=False, optionflags=doctest.ELLIPSIS)
    said: list[str] = []
    result = runner.run(test, out=said.append, clear_globs=False)
    assert result.attempted, f"{name} has no example"
    assert not result.failed, "".join(said)


def example_of(value: Any) -> str:
    docstring = inspect.getdoc(value) or ""
    assert "\nExample:\n" in docstring
    return docstring


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder in which the examples of the package and of `fit` were run; the others start from what they leave.

    That is data/, runs/smoke and runs/words.
    """
    folder, before = tmp_path_factory.mktemp("home"), Path.cwd()
    os.chdir(folder)
    try:
        for value in (generalist, generalist.fit):
            run_example(example_of(value), value.__name__)
    finally:
        os.chdir(before)
    return folder


@pytest.mark.slow
def test_the_examples_of_the_package_and_of_fit_run(home):
    assert (home / "runs" / "smoke" / "report.html").exists()
    assert (home / "runs" / "words" / "checkpoints" / "4").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(PUBLIC) - {"fit"}))
def test_the_example_of_every_name_runs(home, monkeypatch, name):
    monkeypatch.chdir(home)
    run_example(example_of(getattr(generalist, name)), name)


def test_an_example_that_is_wrong_is_seen():
    with pytest.raises(AssertionError, match=r"Expected:\s+3"):
        run_example(">>> 1 + 1\n3\n", "wrong")
    with pytest.raises(AssertionError, match="has no example"):
        run_example("Nothing to run.", "none")


@pytest.mark.slow
def test_what_it_gives_survives_pickling(home, monkeypatch):
    monkeypatch.chdir(home)
    run = generalist.load("runs/smoke").run
    demonstrations = generalist.Demonstrations.open("data/cart_pole_v1")
    again = pickle.loads(pickle.dumps(demonstrations))
    assert (len(again), again.task_id) == (len(demonstrations), "CartPole-v1")
    assert pickle.loads(pickle.dumps(run)).config == run.config
    assert pickle.loads(pickle.dumps(generalist.find_task("CartPole-v1"))).make().reset(seed=0)
    for name in ("Agent", "Demonstrations", "Writer", "collect", "evaluate", "fit", "find_task", "load"):
        value = getattr(generalist, name)
        assert pickle.loads(pickle.dumps(value)) == value


def in_a_new_process(code: str) -> str:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_it_imports_nothing_heavy():
    listed = "import sys, generalist; dir(generalist); generalist.__version__; print(*sys.modules)"
    loaded = {name.split(".")[0] for name in in_a_new_process(listed).split()}
    assert "generalist" in loaded
    assert loaded & HEAVY == set()


def test_what_needs_no_network_is_found_without_jax():
    code = "import sys, generalist; generalist.find_task; generalist.task_set; print(*sys.modules)"
    loaded = in_a_new_process(code).split()
    assert "gymnasium" in loaded
    assert not {"jax", "tensorflow_datasets"} & set(loaded)


@pytest.mark.parametrize("name", generalist.__all__)
def test_every_name_is_there_and_documented(name):
    assert name in dir(generalist)
    value = getattr(generalist, name)
    assert isinstance(value, str) or inspect.getdoc(value)


def test_the_names_are_the_same_for_python_and_for_type_checkers():
    """`__all__`, the table of where they are, and what is imported for type checkers alone."""
    (checked,) = (
        node for node in SOURCE.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    told = {
        alias.asname or alias.name: f"{node.module}:{alias.name}"
        for node in checked.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    told |= {"load": "generalist.play.agent:Agent.load"}
    assert told == generalist._NAMES
    assert sorted(generalist.__all__) == sorted({*told, "__version__"})


@pytest.mark.parametrize(
    ("typo", "meant"), [("laod", "load"), ("agnet", "agent"), ("Evaluate", "evaluate"), ("find_tasks", "find_task")]
)
def test_a_typo_names_the_nearest(typo, meant):
    with pytest.raises(AttributeError, match=rf"no attribute '{typo}': did you mean .*\b{meant}\b"):
        getattr(generalist, typo)


def test_a_typo_is_answered_once():
    """Python adds a guess of its own to an AttributeError that knows its object."""
    command = [sys.executable, "-c", "import generalist; generalist.evaluat"]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert done.stderr.lower().count("did you mean") == 1


def test_names_that_python_asks_for_by_itself_are_plainly_missing():
    assert not hasattr(generalist, "__wrapped__")
    with pytest.raises(AttributeError, match=r"no attribute '_ipython_display_'$"):
        _ = generalist._ipython_display_


@pytest.mark.parametrize("part", PARTS)
def test_the_parts_are_there(part):
    assert getattr(generalist, part).__name__ == f"generalist.{part}"
    assert part in dir(generalist)


def test_no_import_hides_a_name():
    """Importing `generalist.eval.evaluate` makes `generalist.eval` an attribute, and nothing else."""
    code = """
import generalist
import generalist.eval.evaluate, generalist.configs.fit, generalist.demonstrations.collect, generalist.play.agent
from generalist import Agent, collect, evaluate, find_task, fit, load
assert all(callable(each) for each in (Agent, collect, evaluate, find_task, fit, load))
assert generalist.evaluate is generalist.eval.evaluate.evaluate
assert generalist.load.__self__ is Agent
print("seen")
"""
    assert in_a_new_process(code) == "seen\n"
    assert not set(generalist.__all__) & set(PARTS)


def test_the_version_is_the_project_s():
    assert generalist.__version__ == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def test_a_folder_of_the_same_name_where_one_works_hides_nothing(tmp_path):
    """The folder above a checkout has one, and so has a user's cache."""
    (tmp_path / "generalist").mkdir()
    code = "import generalist.agent.config; print(generalist.__file__)"
    found = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert Path(found.stdout.strip()) == Path(generalist.__file__)
