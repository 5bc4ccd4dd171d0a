import pickle

import pytest

from generalist.envs import task as task_module
from generalist.envs.table import all_tasks, find_task
from generalist.envs.task import MissingExtra, Reference, Task, UnknownTask, needs_extra


def row(**changes):
    fields = {
        "id": "x",
        "family": "gym",
        "make": int,
        "expert": None,
        "horizon": 10,
        "score": "return",
        "has_success": False,
        "episodes": 1,
    }
    return Task(**fields | changes)


def test_find_task_finds_every_row():
    for task in all_tasks():
        assert find_task(task.id) is task


@pytest.mark.parametrize(
    ("typo", "meant"),
    [
        ("CartPole-v0", "CartPole-v1"),
        ("cartpole", "CartPole-v1"),
        ("GoToObj", "babyai/GoToObj"),
        ("push-v3", "metaworld/push-v3"),
        ("metaworld/pusch-v3", "metaworld/push-v3"),
        ("FrozenLake8x8", "FrozenLake8x8-v1"),
    ],
)
def test_an_unknown_id_names_the_nearest(typo, meant):
    with pytest.raises(UnknownTask, match=f"'{typo}'.*{meant}"):
        find_task(typo)


def test_an_id_like_nothing_points_at_the_list():
    with pytest.raises(ValueError, match="generalist tasks"):
        find_task("zzzzzzzzz")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"horizon": 0}, "horizon"),
        ({"episodes": 0}, "episodes"),
        ({"noise": -0.1}, "noise"),
        ({"score": "reward"}, "score"),
        ({"score": "success"}, "has_success"),
    ],
)
def test_a_row_that_makes_no_sense_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        row(**changes)


def test_a_missing_package_is_an_error_with_the_command():
    with (
        pytest.raises(MissingExtra, match=r"pip install 'generalist\[metaworld\]'") as caught,
        needs_extra("metaworld"),
    ):
        import a_package_that_is_not_there  # noqa: F401
    assert isinstance(caught.value, ImportError)
    assert caught.value.extra == "metaworld"


def test_an_extra_that_has_no_wheel_for_this_python_says_so(monkeypatch):
    monkeypatch.setitem(task_module.LAST_PYTHON, "metaworld", ((3, 5), "nobody builds it"))
    assert str(MissingExtra("metaworld", ImportError("no"))) == (
        "no. It cannot be installed here: nobody builds it. Use Python 3.5"
    )


def test_other_errors_pass_through_needs_extra():
    with pytest.raises(ZeroDivisionError), needs_extra("metaworld"):
        _ = 1 / 0


def test_tasks_survive_pickling():
    for task in (*all_tasks(), find_task("gym:CartPole-v1")):
        again = pickle.loads(pickle.dumps(task))
        assert again.id == task.id
        assert again.random_reference == task.random_reference


def test_references_compare_by_value():
    fields = {"mean": 1.0, "std": 0.5, "episodes": 3, "first_seed": 7}
    assert Reference(**fields) == Reference(**fields)
